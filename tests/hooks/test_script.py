"""The hook as a command: fast, silent, never failing, and it shows nobody's secrets. No client is needed here."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from postino.paths import Home
from tests.hooks.hook_script import SCRIPT, WORST, Run, event_of, log, said, send
from tests.waiting import until

EVENTS = (
    "SessionStart",
    "UserPromptSubmit",
    "PreToolUse",
    "PostToolBatch",
    "Stop",
    "StopFailure",
    "Notification",
    "SessionEnd",
)


@pytest.mark.parametrize("event", [each for each in EVENTS if each != "SessionStart"])
def test_no_daemon_no_word(hook: Run, home: Home, event: str) -> None:
    assert hook(event) == ""
    assert not home.socket.exists()


@pytest.mark.timing("each hook ends within a second, and 3 s for three processes to start beside the work of others")
@pytest.mark.parametrize("event", ["SessionStart", "UserPromptSubmit"])
def test_a_daemon_that_hangs_costs_a_second_at_most_and_once(daemon: Any, hook: Run, home: Home, event: str) -> None:
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        assert hook(event) == ""
        noted = home.slow.stat().st_mtime_ns
        for later in ("PreToolUse", "PostToolBatch", "Stop", "SessionEnd"):
            assert hook(later) == ""
        assert home.slow.stat().st_mtime_ns == noted  # a call that got no answer would have touched it
    finally:
        daemon.process.send_signal(signal.SIGCONT)

    until(lambda: not home.slow.exists(), "the daemon takes hooks again")
    assert said(hook("SessionStart")).startswith("[postino] this session is agent ")


def test_a_hook_waits_for_no_answer_longer_than_it_may() -> None:
    limits = [float(each) for each in re.findall(r"\bpost ([0-9.]+)", SCRIPT.read_text())]

    assert len(limits) >= 4
    assert max(limits) <= 0.8 * WORST


@pytest.mark.timing("each hook ends within a second, and 3 s for three processes to start beside the work of others")
def test_a_daemon_that_hangs_is_called_again_after_a_minute(daemon: Any, hook: Run, home: Home) -> None:
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        home.slow.touch()
        os.utime(home.slow, (time.time() - 130,) * 2)
        assert hook("UserPromptSubmit") == ""
        assert time.time() - home.slow.stat().st_mtime < 60
    finally:
        daemon.process.send_signal(signal.SIGCONT)


def test_a_daemon_that_was_killed_leaves_no_word_behind(daemon: Any, hook: Run) -> None:
    daemon.kill()

    assert hook("UserPromptSubmit") == ""


@pytest.mark.timing("each hook ends within a second, and 3 s for three processes to start beside the work of others")
def test_a_store_that_is_away_leaves_no_word_behind(daemon: Any, hook: Run) -> None:
    os.kill(daemon.valkey_pid(), signal.SIGSTOP)
    try:
        assert hook("UserPromptSubmit") == hook("SessionStart") == ""
    finally:
        os.kill(daemon.valkey_pid(), signal.SIGCONT)


@pytest.mark.timing("each hook ends within a second, and 3 s for three processes to start beside the work of others")
def test_session_start_starts_a_daemon_that_looks_like_no_session(hook: Run, home: Home) -> None:
    secrets = {"CLAUDE_CODE_MESSAGING_TOKEN": "secret", "CLAUDECODE": "1", "POSTINO_AGENT_NAME": "bob"}

    hook("SessionStart", **secrets)
    try:
        until(home.info.exists)
        environ = Path(f"/proc/{json.loads(home.info.read_text())['pid']}/environ").read_bytes()
        assert not [each for each in environ.split(b"\0") if each.startswith((b"CLAUDE", b"POSTINO_AGENT_NAME"))]
        assert said(hook("SessionStart", **secrets)).startswith("[postino] this session is agent bob;")
    finally:
        env = {"PATH": os.environ["PATH"], "POSTINO_HOME": str(home.root)}
        subprocess.run(["postino", "down"], env=env, check=True, capture_output=True)


@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_a_home_that_others_can_write_to_gets_no_session(daemon: Any, hook: Run, home: Home, mode: int) -> None:
    home.root.chmod(mode)
    try:
        assert "others can write to POSTINO_HOME" in json.loads(hook("SessionStart"))["systemMessage"]
    finally:
        home.root.chmod(0o700)
    assert not [each for each in daemon.asked("agents")["items"] if each["kind"] == "agent"]

    assert said(hook("SessionStart")).startswith("[postino] this session is agent ")


@pytest.mark.parametrize("missing", ["postino", "curl"])
def test_what_is_not_on_path_is_said_in_one_line_to_the_user(hook: Run, home: Home, missing: str) -> None:
    path = home.root / "bin"
    path.mkdir()
    for name in {"sh", "cat", "sleep", "curl", "postino"} - {missing}:
        found = shutil.which(name)
        assert found is not None
        (path / name).symlink_to(found)

    line = hook("SessionStart", PATH=str(path))

    assert list(json.loads(line)) == ["systemMessage"]
    assert json.loads(line)["systemMessage"].startswith(f"postino: the command {missing} is not on PATH")
    assert line.count("\n") == 1


def test_neither_a_proxy_nor_a_curlrc_comes_in_between(daemon: Any, hook: Run, home: Home) -> None:
    (home.root / ".curlrc").write_text('proxy = "http://127.0.0.1:9"\noutput = /dev/null\n')
    proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"), "http://127.0.0.1:9")

    assert said(hook("SessionStart", **proxies)).startswith("[postino] this session is agent ")


def test_no_secret_is_on_the_command_line_of_anything(hook: Run, home: Home) -> None:
    path = home.root / "bin"
    path.mkdir()
    (path / "curl").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >>{home.root}/arguments\n')
    (path / "curl").chmod(0o755)
    socket = "/run/user/1000/cc-socks/4711.sock"
    secrets = {"CLAUDE_CODE_MESSAGING_TOKEN": "secret-token", "CLAUDE_CODE_MESSAGING_SOCKET": socket}

    hook("SessionStart", PATH=f"{path}:{os.environ['PATH']}", **secrets)

    arguments = (home.root / "arguments").read_text()
    assert "secret-token" not in arguments
    assert socket not in arguments
    assert "X-Claude-Socket: 4711.sock" in arguments


LARGE = json.dumps(event_of("UserPromptSubmit") | {"prompt": "x" * (17 << 20)}).encode()
BAD: list[tuple[str, bytes, str]] = [
    ("Stop", b"", "hook_unreadable"),
    ("Stop", b"{", "hook_unreadable"),
    ("Stop", b"[1]", "hook_unreadable"),
    ("Stop", b"\xff\xfe\x00", "hook_unreadable"),
    ("Stop", b'{"session_id":7}', "hook_unreadable"),
    ("Stop", b'{"cwd":"/x"}', "hook_unreadable"),
    ("Stop", b"[" * 100_000, "hook_unreadable"),
    ("Stop", b'{"session_id":""}', "hook_without_session"),
    ("Stop", b'{"session_id":"a b\\n"}', "hook_without_session"),
    ("Nothing", b"{}", "hook_unknown"),
    ("../agents", b"{}", ""),
    ("UserPromptSubmit", LARGE, "hook_too_large"),
    ("UserPromptSubmit", json.dumps(event_of("UserPromptSubmit")).encode(), "hook_without_agent"),
]


def case(event: str, given: bytes, logged: str) -> Any:
    marks = [pytest.mark.timing("a hook has a second for 17 MB")] if given is LARGE else []
    return pytest.param(event, given, logged, id=f"{event[:8]}-{logged or 'elsewhere'}", marks=marks)


@pytest.mark.parametrize(("event", "given", "logged"), [case(*each) for each in BAD])
def test_bad_input_is_logged_and_nothing_is_printed(
    daemon: Any, hook: Run, home: Home, event: str, given: bytes, logged: str
) -> None:
    assert hook(event, given) == ""
    assert logged in log(home)


def test_a_client_that_does_not_say_its_process_is_the_parent_of_the_hook(daemon: Any, hook: Run) -> None:
    assert said(hook("SessionStart", CLAUDE_PID="")).startswith("[postino] this session is agent ")
    send(daemon, "hello")

    assert (
        said(hook("UserPromptSubmit", CLAUDE_PID=""))
        == "[postino] 1 unread message (from unverified 'ann'): call msg_read"
    )


@pytest.mark.parametrize("pid", ["0", "-1", "x", "99999999999999"])
def test_a_hook_without_a_claude_process_is_nobodys(daemon: Any, hook: Run, home: Home, pid: str) -> None:
    assert hook("SessionStart", CLAUDE_PID=pid) == ""


@pytest.mark.timing("the daemon has a second for 8 MB")
def test_a_large_event_is_still_read(daemon: Any, hook: Run) -> None:
    hook("SessionStart")
    calls = [{"tool_name": "Read", "tool_response": "x" * (8 << 20)}]

    assert hook("PostToolBatch", {"tool_calls": calls}) == ""
    send(daemon, "hello")
    assert (
        said(hook("PostToolBatch", {"tool_calls": calls}))
        == "[postino] 1 unread message (from unverified 'ann'): call msg_read"
    )
