"""docs/deployment.md: the rights that it gives a user of one's own Valkey are enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from postino.paths import Home
from tests.blocks import ROOT, blocks
from tests.daemons import Daemon, environment


def test_the_rights_in_the_document_are_all_that_a_daemon_needs(serve: Callable[..., Any], home: Home) -> None:
    (line,) = (block.text for block in blocks(ROOT / "docs/deployment.md") if block.text.startswith("user postino on "))
    server = serve("--maxmemory-policy", "noeviction")
    server.ask("ACL", "SETUSER", *line.split()[1:])
    daemon = Daemon(home, environment(home, POSTINO_VALKEY_URL=server.url.replace("unix://", "unix://postino:SECRET@")))

    daemon.start()

    try:
        assert daemon.posted("messages", {"to": "ada", "body": "hello"})["durability"] == "fsync"
        assert [each["body"] for each in daemon.posted("messages/ada/read", {"ack": "now"})["items"]] == ["hello"]
        assert daemon.posted("agents/ada/rename", {"name": "bob"})["ok"] is True
        daemon.posted("broadcasts", {"body": "to all"})
        assert daemon.health()["ok"] is True
        assert "denied" not in home.log.read_text()
    finally:
        daemon.kill()
