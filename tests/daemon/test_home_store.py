"""A home remembers its store: no start of a daemon splits the mail over two."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from postino import home_store
from postino.home_store import HomeStore
from postino.paths import Home
from postino.store.identity import FORMAT
from tests import servers
from tests.daemons import Daemon, environment
from tests.waiting import until

KEY = "{po}:meta"


@pytest.fixture
def postino(home: Home) -> Iterator[Any]:
    """Run a command on the home: `postino("up", POSTINO_VALKEY_URL=...)` returns its exit code and what it printed."""

    def run(*args: str, **settings: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "postino", *args],
            env=environment(home, **settings),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    yield run
    run("down")


def serve_on(home: Home, **settings: str) -> None:
    """Start the daemon that the first command would start, without its imports."""
    Daemon(home.prepare(), environment(home, **settings)).start()


def ids(postino: Any, agent: str) -> list[str]:
    code, text = postino("read", "--agent", agent, "--json")
    assert code == 0, text
    return [each["id"] for each in json.loads(text)["items"]]


def meta(server: servers.Server, *command: str) -> Any:
    return server.ask("HGET", KEY, "id") if not command else server.ask(*command)


def log_of(home: Home) -> str:
    return home.log.read_text()


def test_whoever_starts_the_daemon_without_an_address_gets_the_same_store(home: Home, postino: Any, serve: Any) -> None:
    own = serve()
    url = own.url.replace("unix://", "unix://default:@")
    serve_on(home, POSTINO_VALKEY_URL=url)
    assert postino("send", "bob", "in yours", "--id", "m1")[0] == 0
    assert postino("down")[0] == 0

    assert postino("send", "bob", "from cron", "--id", "m2")[0] == 0

    assert ids(postino, "bob") == ["m1", "m2"]
    assert not home.data.exists(), "no embedded store was made"
    assert home.store.stat().st_mode & 0o777 == 0o600
    remembered = home_store.read(home)
    assert remembered == HomeStore(url, "po:", own.ask("HGET", KEY, "id"))
    assert own.ask("HGET", KEY, "format") == str(FORMAT)
    assert "store" not in postino("up")[1]


def test_another_address_is_refused_with_both_named_and_the_command_that_switches(
    home: Home, postino: Any, serve: Any
) -> None:
    serve_on(home)
    assert postino("send", "bob", "in the embedded", "--id", "m1")[0] == 0
    assert postino("down")[0] == 0
    own = serve()
    secret = own.url.replace("unix://", "unix://default:hunter2@")
    own.ask("CONFIG", "SET", "requirepass", "hunter2")

    code, text = postino("up", POSTINO_VALKEY_URL=secret)

    assert code == 3
    assert f"This home uses the embedded store, not {own.url};" in text
    assert "`postino up --switch-store`" in text
    assert "hunter2" not in text + log_of(home)
    assert own.ask("DBSIZE", password="hunter2") == 0, "nothing was written there"
    assert ids(postino, "bob") == ["m1"]


def test_the_switch_is_made_on_purpose_and_back(home: Home, postino: Any, serve: Any) -> None:
    serve_on(home)
    assert postino("send", "bob", "in the embedded", "--id", "m1")[0] == 0
    own = serve()

    assert postino("up", "--switch-store", POSTINO_VALKEY_URL=own.url)[0] == 0
    assert ids(postino, "bob") == []
    code, text = postino("up", POSTINO_VALKEY_URL="unix:///elsewhere")
    assert code == 0
    assert f"it uses {own.url}, not unix:///elsewhere as POSTINO_VALKEY_URL says here" in text
    assert postino("up", "--switch-store")[0] == 0

    assert ids(postino, "bob") == ["m1"]


def test_a_switch_to_a_store_that_is_not_there_leaves_the_former(home: Home, postino: Any) -> None:
    serve_on(home)
    assert postino("send", "bob", "hello", "--id", "m1")[0] == 0

    code, text = postino("up", "--switch-store", POSTINO_VALKEY_URL="redis://127.0.0.1:1")

    assert code != 0 and "127.0.0.1:1 does not serve" in text
    assert ids(postino, "bob") == ["m1"]


def test_the_same_store_under_another_address_is_the_same(home: Home, postino: Any, serve: Any) -> None:
    own = serve()
    (own.directory / "other").symlink_to(own.directory / "s")
    serve_on(home, POSTINO_VALKEY_URL=own.url)
    assert postino("send", "bob", "hello", "--id", "m1")[0] == 0
    assert postino("down")[0] == 0
    other = f"unix://{own.directory}/other"

    assert postino("up", POSTINO_VALKEY_URL=other)[0] == 0

    assert ids(postino, "bob") == ["m1"]
    remembered = home_store.read(home)
    assert remembered is not None and remembered.url == other


def test_an_emptied_store_is_told_and_gets_its_id_again(home: Home, postino: Any, serve: Any) -> None:
    own = serve()
    serve_on(home, POSTINO_VALKEY_URL=own.url)
    assert postino("down")[0] == 0
    before = own.ask("HGET", KEY, "id")
    own.ask("FLUSHALL")

    assert postino("up")[0] == 0

    assert "store_emptied" in log_of(home)
    assert own.ask("HGET", KEY, "id") == before


def test_an_emptied_store_that_a_new_home_has_seen_first_is_used_under_its_new_id(
    home: Home, postino: Any, serve: Any
) -> None:
    own = serve()
    serve_on(home, POSTINO_VALKEY_URL=own.url)
    # as the daemon of a new home would find and leave it, but surely before the other one
    script = "redis.call('FLUSHALL') redis.call('HSET', KEYS[1], 'id', 'another', 'format', ARGV[1])"
    own.ask("EVAL", script, "1", KEY, str(FORMAT))

    until(lambda: '"another"' in home.store.read_text(), "the daemon has seen that")
    assert postino("send", "bob", "hello", "--id", "m1")[0] == 0
    assert postino("down")[0] == 0
    assert postino("up")[0] == 0

    assert ids(postino, "bob") == ["m1"]
    assert "store_emptied" in log_of(home)


def test_another_store_at_the_same_address_is_refused(home: Home, postino: Any, serve: Any) -> None:
    own = serve()
    serve_on(home, POSTINO_VALKEY_URL=own.url)
    assert postino("down")[0] == 0
    own.ask("HSET", KEY, "id", "somebody-elses")
    keys = own.ask("DBSIZE")

    code, text = postino("up")

    assert code == 3
    assert f"{own.url} now is another store than the one this home uses" in text
    assert own.ask("DBSIZE") == keys


def test_a_running_daemon_does_not_use_another_store_that_came_to_its_address(
    home: Home, postino: Any, serve: Any
) -> None:
    own = serve()
    serve_on(home, POSTINO_VALKEY_URL=own.url)
    own.ask("HSET", KEY, "id", "somebody-elses")
    own.kill()
    own.start()

    code, text = postino("send", "bob", "hello")

    assert code == 3
    assert "now is another store" in text
    assert own.ask("EXISTS", "{po}:inbox4:bob") == 0


def test_newer_data_is_refused_in_one_sentence(home: Home, postino: Any, serve: Any) -> None:
    own = serve()
    own.ask("HSET", KEY, "id", "x", "format", str(FORMAT + 1))

    code, text = postino("up", POSTINO_VALKEY_URL=own.url)

    assert code == 3
    assert f"The data in {own.url} has format {FORMAT + 1}, which a newer postino wrote: update this one" in text


def test_another_prefix_is_another_store(home: Home, postino: Any) -> None:
    serve_on(home, POSTINO_KEY_PREFIX="team:")
    assert postino("down")[0] == 0

    assert postino("send", "bob", "hello", "--id", "m1")[0] == 0
    assert postino("down")[0] == 0
    code, text = postino("up", POSTINO_KEY_PREFIX="other:")

    assert code != 0
    assert "uses the embedded store (prefix team:), not the embedded store (prefix other:)" in text


def test_a_memory_that_cannot_be_read_is_told_and_switching_mends_it(home: Home, postino: Any) -> None:
    home.store.write_text("{")

    code, text = postino("up")

    assert code == 2 or "cannot be read" in text
    assert f"{home.store}, which says what store this home uses, cannot be read" in text
    assert postino("up", "--switch-store")[0] == 0
