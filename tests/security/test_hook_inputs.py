"""Hostile inputs and environments of the hook: it always succeeds, prints nothing dangerous, runs nothing of theirs."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.attacks import ESCAPES, attacked, damaged, no_failure_in, raw_controls, value, with_hostile_field
from tests.daemons import Daemon, scratch_daemon
from tests.waiting import until

SCRIPT = Path(__file__).resolve().parents[2] / "plugin/scripts/hook.sh"
EVENTS = ("SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolBatch", "Stop", "Notification", "SessionEnd")
BODY = "the-body-that-no-hook-prints"
DEADLINE_S = 20.0  # of a hook on a busy machine; alone it takes 20 ms, and gives up after 1 s
EVENT: dict[str, Any] = {
    "session_id": "c-1",
    "hook_event_name": "Stop",
    "cwd": "/somewhere",
    "source": "startup",
    "prompt": "hi",
    "tool_name": "mcp__plugin_postino_postino__msg_read",
    "tool_input": {"limit": 5},
    "tool_calls": [{"tool_name": "Bash", "tool_use_id": "t1", "tool_response": "x"}],
    "agent_id": "a1",
    "stop_hook_active": False,
}
INPUTS = [
    b"",
    b"null",
    b"5",
    b"[]",
    b"{",
    b"{{{",
    b"not JSON",
    b"\xff\xfe\x00",
    b"\x00" * 1000,
    b"\x1b]0;title\x07",
    b"[" * 50_000,
    b'{"a":' * 50_000,
    b'{"session_id":"' + b"s" * 200_000 + b'"}',
    b'{"session_id":"c-1","session_id":"c-2"}',
    b'{"session_id":"\\ud800"}',
    b'{"session_id":"../../../etc/passwd"}',
    b'{"session_id":"$(touch ran)"}',
    b'{"session_id":"c-1","cwd":"' + b"/x" * 100_000 + b'"}',
    b'{"session_id":"c-1","prompt":"' + b"p" * 3_000_000 + b'"}',
    b'{"session_id":"c-1","tool_calls":[' + b'{"tool_name":"x"},' * 20_000 + b"{}]}",
]
COMMANDS = ["$(touch ran)", "`touch ran`", "; touch ran", "| touch ran", "&& touch ran", "\ntouch ran\n", "';touch ran"]
OTHERS = ["", "a b", "x" * 4000, "-K /etc/passwd", "@/etc/passwd", "X: y\r\nX-Evil: 1", "%s%n", "..", "*"]
TEXTS = [each.replace("\0", "") for each in (*ESCAPES, *COMMANDS, *OTHERS)]
VARIABLES = ["POSTINO_AGENT_NAME", "CLAUDE_PID", "CLAUDE_CODE_MESSAGING_SOCKET"]
VARIABLES += ["TERM_SESSION_ID", "HOME", "http_proxy"]
FOLDERS = [
    "with space",
    "quote'",
    'double"',
    "new\nline",
    "tab\t",
    "$(touch ran)",
    "`touch ran`",
    "; touch ran",
    "-rf",
    "*",
    "back\\slash",
    "unié",
    "\x1b[31m",
    "%s",
    "~",
]
DIRECT = 1_000


@pytest.fixture(scope="module")
def served() -> Iterator[Daemon]:
    """A daemon with mail for whoever asks: there is something that a hook must not print."""
    with scratch_daemon() as started:
        yield started
        no_failure_in(started.home.log)


def event(name: str, **changes: Any) -> bytes:
    return json.dumps(EVENT | {"hook_event_name": name} | changes).encode()


class Hooks:
    """Runs the hook as Claude Code does, in a folder where nothing may appear."""

    def __init__(self, served: Daemon, folder: Path) -> None:
        self.served = served
        self.folder = folder
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.env = {"PATH": path, "HOME": str(folder), "POSTINO_HOME": str(served.home.root), "CLAUDE_PID": "1"}

    def run(self, name: str, given: bytes, env: dict[str, str]) -> bytes:
        """Run one hook; it must succeed in time and print nothing but what a hook may."""
        done = subprocess.run(
            ["sh", SCRIPT, name],
            input=given,
            env=self.env | env,
            cwd=self.folder,
            capture_output=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b""), (name, given[:100], env)
        harmless(done.stdout)
        return done.stdout

    def left_nothing(self) -> None:
        assert not list(self.folder.rglob("ran"))


@pytest.fixture
def hooks(served: Daemon, tmp_path: Path) -> Hooks:
    """The hook on this file's daemon."""
    return Hooks(served, tmp_path)


def harmless(output: bytes) -> None:
    """Check that a hook's output is nothing or an answer of ours, without control characters or a message's body."""
    assert BODY.encode() not in output
    if not output:
        return
    said = json.loads(output)
    assert set(said) <= {"hookSpecificOutput", "systemMessage"}, said
    assert raw_controls(output.decode()) == []
    for text in (said.get("systemMessage"), said.get("hookSpecificOutput", {}).get("additionalContext")):
        assert text is None or (raw_controls(text) == [] and "\n" not in text and len(text) < 1_000), said


def test_no_input_and_no_variable_makes_the_hook_fail(served: Daemon, hooks: Hooks) -> None:
    cases = [(name, given, {}) for name in ("SessionStart", "Stop", "PostToolBatch") for given in INPUTS]
    cases += [("SessionStart", event("SessionStart"), {each: text}) for each in VARIABLES for text in TEXTS if text]
    cases += [(text or "x", event("Stop"), {}) for text in TEXTS]  # the event's name becomes part of an address
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda case: hooks.run(*case), cases))

    hooks.left_nothing()
    attacked("The hook's input, arguments and environment: not JSON, huge, escapes, commands", len(cases))


def test_a_home_of_any_name_is_found_and_none_is_run(served: Daemon, hooks: Hooks) -> None:
    sessions = (f"h-{number}" for number in count())
    for name in FOLDERS:
        (hooks.folder / name).symlink_to(served.home.root)
        env = {"POSTINO_HOME": str(hooks.folder / name)}

        def greeted(env: dict[str, str] = env) -> bool:
            given = event("SessionStart", session_id=next(sessions))
            return b"this session is agent" in hooks.run("SessionStart", given, env)

        until(greeted, f"the hook finds {name!r}", 30)  # on a busy machine it may give up after its second
    for name in FOLDERS:  # and where there is none, nothing is made
        assert hooks.run("Stop", event("Stop"), {"POSTINO_HOME": f"{hooks.folder}/none/{name}"}) == b""

    hooks.left_nothing()
    assert not (hooks.folder / "none").exists()
    attacked("Paths of POSTINO_HOME for the hook: blanks, quotes, newlines, commands, escapes", 2 * len(FOLDERS))


def test_no_event_posted_to_the_daemon_is_answered_with_more_than_a_hook_may_print(served: Daemon) -> None:
    random = Random(6)
    served.posted("messages", {"to": "bob", "body": BODY, "from": "ann"})
    events = []
    for _ in range(DIRECT):
        made = json.dumps(with_hostile_field(random, EVENT) if random.random() < 0.8 else value(random)).encode()
        events.append((random.choice(EVENTS), damaged(random, made) if random.random() < 0.3 else made))
    line = http.client.HTTPConnection("localhost", timeout=DEADLINE_S)
    line.sock = socket.socket(socket.AF_UNIX)
    line.sock.connect(str(served.home.socket))
    for name, given in events:
        headers = {"Content-Type": "application/json", "X-Postino-Agent": "bob", "X-Claude-Pid": "1"}
        line.request("POST", f"/api/hooks/{name}", given, headers)
        answer = line.getresponse()
        assert answer.status == 200, given
        harmless(answer.read())
    line.close()
    attacked("Events posted to /api/hooks: fields changed, missing or damaged", DIRECT)
