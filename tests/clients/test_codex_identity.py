"""Whose mailbox a session of Codex's server has: its hooks take one only if the session's id says that it is theirs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from postino.relay.claude_process import start_time
from tests.daemons import Daemon
from tests.relays import INITIALIZE

BEGAN_MS = 1_796_000_000_000  # of the relay
NEVER = "call msg_whoami"


def session_id(at_ms: int, version: int = 7) -> str:
    """Return the id of a session that began at a time, as Codex makes it."""
    return str(uuid.UUID(int=at_ms << 80 | version << 76 | 2 << 62 | 5))


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """The process of Codex's server, which runs the sessions of all terminals."""
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", "app-server", "--listen", "unix://"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        yield process.pid
        assert process.stdin is not None
        process.stdin.close()


def relay(served: Daemon, server: int, name: str, started_ms: int, generation: int = 1) -> socket.socket:
    """Connect as the relay of one session that has not called a tool yet."""
    line = socket.socket(socket.AF_UNIX)
    line.settimeout(40)
    line.connect(str(served.home.socket))
    claude = {"pid": server, "start": start_time(server)}
    hello = {"postino": "hello", "session": f"s-{name}", "generation": generation, "name": name, "directory": "/tmp"}
    hello["host"] = os.uname().nodename
    line.sendall(
        json.dumps(hello | {"started_ms": started_ms, "claude": claude}, separators=(",", ":")).encode() + b"\n"
    )
    assert b'"welcome"' in line.recv(4096)
    return line


def told(served: Daemon, server: int, session: str, event: str = "UserPromptSubmit", about: Any = None) -> str:
    """Return what the session is told when its first prompt comes, or at another event."""
    about = about or {"session_id": session, "cwd": "/tmp", "prompt": "hi", "turn_id": "t1"}
    headers = ("X-Postino-Client: codex", f"X-Claude-Pid: {server}", "Content-Type: application/json")
    options = [each for header in headers for each in ("-H", header)]
    said: Any = served.asked(f"hooks/{event}", *options, "-d", json.dumps(about))
    return str(said["hookSpecificOutput"]["additionalContext"])


def test_a_mailbox_that_did_not_begin_with_the_session_is_not_taken(served: Daemon, server: int) -> None:
    strangers = {
        "it began before the session": session_id(BEGAN_MS + 1),
        "it began long after it": session_id(BEGAN_MS - 60_000),
        "the id does not say when": session_id(BEGAN_MS, version=4),
        "it is no id of Codex": "a-session",
    }
    with relay(served, server, "ida", BEGAN_MS):
        for why, stranger in strangers.items():
            assert told(served, server, stranger).endswith(NEVER), why
        assert "this session is agent ida;" in told(served, server, session_id(BEGAN_MS - 30))


def test_of_two_that_may_be_its_own_none_is_taken(served: Daemon, server: int) -> None:
    first, second = session_id(BEGAN_MS), session_id(BEGAN_MS + 100)
    with relay(served, server, "one", BEGAN_MS + 30), relay(served, server, "two", BEGAN_MS + 130):
        assert told(served, server, first).endswith(NEVER)
        assert "this session is agent two;" in told(served, server, second)  # the other began before this session
        assert "this session is agent one;" in told(served, server, first)


def test_a_mailbox_that_connects_again_is_still_the_sessions(served: Daemon, server: int) -> None:
    resumed = session_id(BEGAN_MS - 3_600_000)  # long before its relay: only its call can tell
    call = {"name": "msg_whoami", "arguments": {}, "_meta": {"sessionId": resumed, "x-codex-turn-metadata": {}}}
    with relay(served, server, "ray", BEGAN_MS) as first:
        assert told(served, server, resumed).endswith(NEVER)
        for id, (method, params) in enumerate((("initialize", INITIALIZE), ("tools/call", call))):
            line = {"jsonrpc": "2.0", "id": id, "method": method, "params": params}
            first.sendall(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        came = b""
        while b'"id":1' not in came:
            came += first.recv(65536)
        assert "this session is agent ray;" in told(served, server, resumed)
    with relay(served, server, "ray", BEGAN_MS, generation=2):
        about = {"session_id": resumed, "cwd": "/tmp", "source": "compact"}
        assert "this session is agent ray;" in told(served, server, resumed, "SessionStart", about)
