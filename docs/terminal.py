"""Draw docs/terminal.svg anew: `python docs/terminal.py`, with the extra `tui`.

A real run: agents and a person write to each other on a daemon in a temporary home, and the terminal inbox shows it.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from postino.client import Client  # noqa: E402
from postino.tui.app import Inbox  # noqa: E402
from postino.tui.mailroom import InboxClient, Mailroom  # noqa: E402
from tests.daemons import Daemon, daemon_of  # noqa: E402
from tests.homes import scratch_home  # noqa: E402

SIZE = (96, 27)
REPORT = """Build **812** is green, `test_login` too. [The log](https://ci.example/812) has the details:

| suite | tests | seconds |
|-|-|-|
| unit | 1,204 | 31 |
| browser | 96 | 88 |

Shall I merge now, or wait for the review?"""


def correspond(daemon: Daemon) -> None:
    """Let agents write to each other and to robert."""
    with Client(daemon.home.socket) as client:
        client.send("builder", "Please fix the login test.", sender="planner", thread="fix-42")
        client.ack("builder", [client.read("builder")["items"][0]["id"]])
        client.send("planner", "Done, the build runs.", sender="builder", thread="fix-42")
        client.send("reviewer", "Branch fix-42 is ready, 40 lines.", sender="builder", thread="fix-42")
        client.send("poison", "Nobody can read this.", sender="ci")
        for _ in range(5):
            client.nack("poison", [client.read("poison")["items"][0]["id"]])
        client.send("human", "Which branch is the base of release 1.4?", sender="planner", thread="rel-1.4")
        client.send("robert", "The nightly run is red since 3f2a.", sender="ci")
        for name in ("planner", "builder", "reviewer"):
            client.heartbeat(name)
    asked = {"to": "robert", "from": "builder", "thread": "fix-42", "body": REPORT, "choices": ["Merge", "Wait"]}
    daemon.posted("messages", asked)


def screen(app: Inbox) -> str:
    """Return what is shown."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


async def draw(daemon: Daemon) -> str:
    """Return the screen as SVG, without addresses of fonts."""
    app = Inbox(Mailroom(lambda headers: InboxClient(daemon.home.socket, via="cli", headers=headers)), "robert")
    async with app.run_test(size=SIZE) as pilot:
        while not all(each in screen(app) for each in ("[Merge]", "live", "opened")):
            await pilot.pause(0.2)
        picture = app.export_screenshot(title="postino")
    picture = re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)
    picture = re.sub(r"<!-- Generated .*?-->", "", picture)
    return re.sub(r"font-family: [^;]*;", "font-family: ui-monospace, Menlo, Consolas, monospace;", picture)


if __name__ == "__main__":
    os.environ.pop("NO_COLOR", None)
    with scratch_home() as home, daemon_of(home, POSTINO_HUMAN_NAME="robert") as made:
        correspond(made)
        (DOCS / "terminal.svg").write_text(asyncio.run(draw(made)))
