"""Terminal sequences and bidi characters in an old store, in requests and from clients: no face prints them raw."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.attacks import ESCAPES, attacked, closed, raw_controls
from tests.daemons import Daemon, scratch_daemon
from tests.relays import HELLO, Lines
from tests.waiting import until

COMMANDS = [
    ["read", "victim", "--peek"],
    ["history"],
    ["history", "--agent", "victim"],
    ["dead", "victim"],
    ["broadcasts", "--all"],
    ["agents"],
    ["check", "victim"],
    ["status"],
]
PATHS = ["messages/victim", "history", "dead/victim", "broadcasts", "agents", "check/victim", "stats", "openapi.json"]
REFUSED = [["send", "bob", "{}"], ["send", "{}", "x"], ["read", "{}"], ["history", "--agent", "{}"], ["check", "{}"]]
TOOLS = [("msg_whoami", {}), ("msg_list_agents", {}), ("msg_broadcasts", {"all": True}), ("msg_check", {})]


@pytest.fixture(scope="module")
def served() -> Iterator[Daemon]:
    """A daemon whose store holds texts that the API would refuse, as an older version may have left them."""
    with scratch_daemon() as started:
        with redis.Redis(unix_socket_path=str(started.home.valkey_socket)) as store:
            for number, text in enumerate(ESCAPES):
                plant(store, number, f"<{text}>".encode("utf-8", "surrogatepass"))
        yield started


def plant(store: Any, number: int, text: bytes) -> None:
    """Put a text into every field of the store that a face shows."""
    now = str(int(time.time() * 1000))
    message = {"id": f"m{number}", "seq": number + 1, "from": text, "verified": "", "via": text, "body": text, "t": now}
    more = {"thread": text, "reply_to": text}
    store.xadd("{po}:inbox4:victim", message | more)
    store.xadd("{po}:history", {"kind": "message", "to": "victim"} | message | more)
    store.xadd("{po}:dead4:victim", message | more | {"reason": text, "died": now, "deliveries": 1})
    store.xadd("{po}:broadcasts4", message)
    store.hset("{po}:feed", "last", number + 1)
    known = {"since": 1, "seen": 1, "sessions": [], "aliases": [text.decode("utf-8", "replace")]}
    store.hset("{po}:agents", text, json.dumps(known))
    store.delete("{po}:changes")  # without it the daemon reads all names again
    store.hdel("{po}:meta", "indexed_after")


def run(served: Daemon, *command: str) -> str:
    """Run a command and return all that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "postino", *command],
        env=served.env,
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return (done.stdout + done.stderr).decode()


def test_no_command_prints_a_control_character(served: Daemon) -> None:
    shown = 0
    for command in COMMANDS:
        for options in ([], ["--json"]):
            said = run(served, *command, *options)
            assert raw_controls(said) == [], (command, options)
            shown += "u{1b}" in said or "u001b" in said
    assert shown >= 8  # these commands show what was planted
    refused = [[part.format(f"x{text}y") for part in each] for each in REFUSED for text in ESCAPES if "\0" not in text]
    # one interpreter for all, as each takes 0.2 s to start
    program = (
        "import json, sys\nfrom postino.__main__ import main\n"
        "for arguments in json.load(sys.stdin):\n"
        "    sys.argv = ['postino', *arguments]\n"
        "    try:\n        main()\n    except SystemExit:\n        pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(refused).encode(),
        env=served.env,
        capture_output=True,
        check=True,
    )
    assert raw_controls((done.stdout + done.stderr).decode()) == []
    cases = 2 * len(COMMANDS) * len(ESCAPES) + len(refused)
    attacked("Terminal sequences and bidi characters through the commands", cases)


def test_no_answer_of_the_api_has_a_control_character(served: Daemon) -> None:
    for path in PATHS:
        said = subprocess.run(
            ["curl", "-sS", "--unix-socket", str(served.home.socket), f"http://localhost/api/{path}"],
            capture_output=True,
            check=True,
        ).stdout.decode()
        assert raw_controls(said) == [], path
    for text in ESCAPES:
        asked: list[tuple[str, Any]] = [("messages", {"to": text, "body": text}), ("messages", {text: 1})]
        asked += [("broadcasts", {"body": text}), ("messages/bob/ack", {"ids": [text], "consumer": text})]
        for path, body in asked:
            options = ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
            command = [
                "curl",
                "-sS",
                "--unix-socket",
                str(served.home.socket),
                *options,
                f"http://localhost/api/{path}",
            ]
            said = subprocess.run(command, capture_output=True, check=True).stdout.decode()
            assert json.loads(said)["ok"] is False
            assert raw_controls(said) == [], (text, said)
    attacked("Terminal sequences and bidi characters through answers of the API", (len(PATHS) + 4) * len(ESCAPES))


def test_no_hook_line_has_a_control_character(served: Daemon) -> None:
    headers = ["-H", "X-Postino-Agent: victim", "-H", "X-Claude-Pid: 1", "-H", "Content-Type: application/json"]
    for number, text in enumerate(ESCAPES):
        event = {"session_id": f"hook-{number}", "cwd": text, "source": text, "prompt": text, "agent_type": text}
        for name in ("SessionStart", "UserPromptSubmit"):
            command = ["curl", "-sS", "--unix-socket", str(served.home.socket), *headers, "-d", json.dumps(event)]
            done = subprocess.run([*command, f"http://localhost/api/hooks/{name}"], capture_output=True, check=True)
            said = json.loads(done.stdout)["hookSpecificOutput"]["additionalContext"] if done.stdout else ""
            assert raw_controls(done.stdout.decode()) == raw_controls(said) == []
            assert name != "SessionStart" or "20 unread messages" in said, said
    attacked("Terminal sequences and bidi characters through hook lines", 2 * len(ESCAPES))


def test_no_event_is_shown_with_a_control_character(served: Daemon) -> None:
    watch = subprocess.Popen(
        [sys.executable, "-m", "postino", "watch"],
        env=served.env,
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert watch.stdout is not None
    os.set_blocking(watch.stdout.fileno(), False)
    seen = b""

    def read_on(text: bytes) -> bool:
        nonlocal seen
        seen += watch.stdout.read() or b""  # type: ignore[union-attr]
        return text in seen

    with redis.Redis(unix_socket_path=str(served.home.valkey_socket)) as store:
        end = time.monotonic() + 30
        while not read_on(b"ready") and time.monotonic() < end:  # it has begun to watch when it shows an event
            store.xadd(
                "{po}:events3", {"type": "msg_send", "from": "ready", "to": "x", "id": "x", "seq": 1, "via": "x"}
            )
            time.sleep(0.2)
        for text in ESCAPES:
            raw = text.encode("utf-8", "surrogatepass")
            store.xadd("{po}:events3", {"type": raw, "from": raw, "to": raw, "id": raw, "seq": 1, "via": raw, raw: raw})
        store.xadd("{po}:events3", {"type": "msg_send", "from": "the-last", "to": "x", "id": "x", "seq": 1, "via": "x"})
        until(lambda: read_on(b"the-last"), "the last event is shown", 30)
    watch.terminate()
    watch.wait()
    watch.stdout.close()
    assert raw_controls(seen.decode()) == []
    attacked("Terminal sequences and bidi characters through events", len(ESCAPES))


async def test_no_tool_and_no_log_line_has_a_control_character(served: Daemon) -> None:
    for number, text in enumerate(ESCAPES):
        reader, writer = await asyncio.open_unix_connection(str(served.home.socket), limit=1 << 22)
        peer = Lines(reader, writer)
        hello = json.loads(HELLO) | {"session": f"s-{number}", "directory": text, "terminal": text, "host": text}
        peer.send(json.dumps(hello | {"name": None}, separators=(",", ":")).encode())
        await peer.next()
        client = {"name": text, "version": text, "title": text}
        await peer.ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client})
        peer.notify("notifications/initialized")
        asked = [*TOOLS, ("msg_send", {"to": text, "body": text}), ("msg_rename", {"name": text}), (text, {text: text})]
        for name, arguments in asked:
            said = json.dumps(await peer.answer(peer.tool(name, **arguments)), ensure_ascii=False)
            assert raw_controls(said) == [], said
        assert raw_controls(run(served, "agents") if number < 2 else "") == []
        await closed(writer)

    assert raw_controls(served.home.log.read_text()) == []
    attacked("Terminal sequences and bidi characters through tools, clients' names and the log", 8 * len(ESCAPES))
