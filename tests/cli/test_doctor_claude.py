"""doctor on Claude Code: each fault of its settings, server, hooks and wakes is arranged, named and mended."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from postino.cli.command import Command
from postino.cli.doctor import claude
from postino.config import load
from postino.paths import folder
from tests.cli.conftest import Postino
from tests.relays import COMMAND, INITIALIZE
from tests.waiting import until

PLUGIN = [{"id": "postino@postino", "scope": "user", "enabled": True, "version": "0.1.0"}]
CLIENT = f"""#!/bin/sh
case $* in
--version) cat "$HOME/version" ;;
"plugin list --json") echo '{json.dumps(PLUGIN)}' ;;
"mcp get plugin:postino:postino") cat "$HOME/server" ;;
esac
"""


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """A HOME where a client of the newest version has the plugin and connects its server."""
    (tmp_path / "claude").write_text(CLIENT)
    (tmp_path / "claude").chmod(0o755)
    (tmp_path / "version").write_text("2.1.332 (Claude Code)\n")
    (tmp_path / "server").write_text("Status: ✔ Connected\n")
    (tmp_path / ".claude").mkdir()
    return tmp_path


@pytest.fixture
def links(user: Path, postino: Postino) -> Any:
    """Return the finding of each link of the client: `links()["hooks"]`."""
    environ = postino.env | {"HOME": str(user), "PATH": f"{user}:{os.environ['PATH']}"}

    def look(**settings: str) -> dict[str, claude.Finding]:
        env = environ | settings
        command = Command("doctor", [], "", load(env)[0], env, False)
        return {each.check: each for each in claude.links(command, up=True)}

    return look


def test_without_a_fault_every_link_holds_and_what_nobody_can_know_is_left_out(links: Any) -> None:
    found = links()
    assert {name: each.level for name, each in found.items()} == {
        "claude": "ok",
        "server": "ok",
        "hooks": "skipped",
        "permit": "ok",
        "wake": "skipped",
    }
    assert "no session of Claude Code is connected" in found["hooks"].text


@pytest.mark.parametrize(
    ("link", "settings", "code", "word"),
    [
        ("hooks", '{"disableAllHooks": true}', "hooks_disabled", "no session is told of its mail"),
        ("hooks", '{"model": "x",}', "settings_unreadable", "is not strict JSON, so Claude Code ignores it"),
        ("hooks", "[]", "settings_unreadable", "is not an object"),
        (
            "permit",
            '{"permissions": {"deny": ["Bash(rm)", "mcp__plugin_postino_postino__msg_read"]}}',
            "tools_denied",
            "your rule mcp__plugin_postino_postino__msg_read in ",
        ),
        ("permit", '{"permissions": {"ask": ["mcp__plugin_postino_postino"]}}', "tools_ask", "makes the client ask"),
        (
            "permit",
            '{"pluginConfigs": {"postino@postino": {"options": {"ask": true}}}}',
            "tools_ask",
            "the client asks before postino's tools",
        ),
        ("permit", '{"permissions": [], "pluginConfigs": 1}', "ok", "run without a dialog"),
    ],
)
def test_a_setting_that_stands_in_the_way_is_named(
    user: Path, links: Any, link: str, settings: str, code: str, word: str
) -> None:
    file = user / ".claude/settings.json"
    file.write_text(settings)
    found = links()[link]
    assert (found.code, word in found.text) == (code, True), found

    file.write_text('{"permissions": {"deny": ["Bash(rm)"]}}')
    assert links()[link].level in ("ok", "skipped")


@pytest.mark.parametrize(
    ("file", "text", "link", "code", "word"),
    [
        ("server", "Status: ✘ Failed to connect\n", "server", "server_failed", "✘ Failed to connect"),
        ("server", "", "server", "server_failed", "the client printed nothing"),
        ("version", "2.1.100 (Claude Code)\n", "claude", "claude_failed", "too old for postino's hooks"),
        ("version", "2.1.197 (Claude Code)\n", "wake", "wake_old", "wakes no idle session"),
    ],
)
def test_a_client_that_cannot_do_what_is_needed_is_named(
    user: Path, links: Any, file: str, text: str, link: str, code: str, word: str
) -> None:
    before = (user / file).read_text()
    (user / file).write_text(text)
    found = links()[link]
    assert (found.code, word in found.text) == (code, True), found

    (user / file).write_text(before)
    assert links()[link].level in ("ok", "skipped")


@pytest.mark.parametrize(
    ("issue", "fix"),
    [("spawn postino ENOENT", "`postino install` tells the plugin where postino is"), ("-32000: the store", "correct")],
)
def test_why_the_server_does_not_connect_stands_alone_with_what_helps(
    user: Path, links: Any, issue: str, fix: str
) -> None:
    told = f"plugin:postino:postino:\n  Scope: Dynamic config\n  Status: ✘ Failed to connect\n  Issue: {issue}\n"
    (user / "server").write_text(f"{told}  Type: stdio\n  Command: stdio\n  Environment:\n    X=[REDACTED]\n")
    found = links()["server"]
    assert found.text == f"the plugin's MCP server does not connect: {issue}"
    assert found.fix.startswith(fix)


@pytest.fixture
def session(postino: Postino, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A session of Claude Code with its relay, whose inbox nobody listens to; every line to it is one to the relay.

    Its client is a process of its own: the mailbox keeps a client's session, and this process has other ones.
    """
    client = ["sh", "-c", 'CLAUDE_CODE_MESSAGING_SOCKET="$0/$$.sock" "$@"; :', str(tmp_path), *COMMAND]
    env = postino.env | {"POSTINO_AGENT_NAME": "lena", "CLAUDE_PLUGIN_ROOT": "/plugin"}
    pipe = subprocess.PIPE
    with subprocess.Popen(client, env=env, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as relay:
        assert relay.stdin and relay.stdout
        first = INITIALIZE | {"clientInfo": {"name": "claude-code", "version": "2.1.332"}}
        for line in ({"id": 1, "method": "initialize", "params": first}, {"method": "notifications/initialized"}):
            relay.stdin.write(json.dumps({"jsonrpc": "2.0"} | line).encode() + b"\n")
            relay.stdin.flush()
        assert b"protocolVersion" in relay.stdout.readline()
        yield relay
        relay.stdin.close()
        relay.wait(20)


def test_a_session_without_hooks_is_named_until_one_is_heard(
    postino: Postino, links: Any, session: subprocess.Popen[bytes]
) -> None:
    until(lambda: links()["hooks"].level != "skipped", "the session is connected")
    assert links()["hooks"].code == "hooks_silent"
    assert "the session lena is connected, but none of its hooks was heard" in links()["hooks"].text

    said = {"session_id": "c-1", "hook_event_name": "SessionStart", "cwd": "/tmp", "source": "startup"}
    hook = ["sh", str(folder("plugin") / "scripts" / "hook.sh"), "SessionStart"]
    env = postino.env | {"CLAUDE_PID": str(session.pid), "POSTINO_AGENT_NAME": "lena"}
    subprocess.run(hook, input=json.dumps(said).encode(), env=env, check=True, capture_output=True)
    assert links()["hooks"].text.startswith("heard: lena ")

    postino.ok("down")
    postino.ok("up")  # which has not heard the hooks of sessions that have been idle since
    until(lambda: links()["hooks"].level != "skipped", "the session is connected again")
    assert (links()["hooks"].code, links()["hooks"].level) == ("hooks_not_yet", "note")


@pytest.mark.parametrize(
    ("last", "wakeable", "woken", "code", "word"),
    [
        (None, True, None, "ok", "every session can be woken"),
        ("2026-01-01T00:00:00.000Z", True, True, "ok", "woken: lena "),
        ("2026-01-01T00:00:00.000Z", True, False, "wake_failed", "the last wake of lena was not taken"),
        (None, False, None, "not_wakeable", "lena has no inbox"),
    ],
)
def test_what_became_of_wakes(
    user: Path, postino: Postino, last: str | None, wakeable: bool, woken: bool | None, code: str, word: str
) -> None:
    environ = postino.env | {"HOME": str(user), "PATH": f"{user}:{os.environ['PATH']}"}
    command = Command("doctor", [], "", load(environ)[0], environ, False)
    session = {"agent": "lena", "lastWake": last, "wakeable": wakeable, "woken": woken}

    found = claude.wake(command, [session])

    assert (found.code, word in found.text) == (code, True), found
    plain = session | {"lastHook": None, "plugin": False}
    found = list(claude.hooks(command, [plain, plain | {"agent": "eve", "plugin": True}]))
    assert [(each.code, each.level) for each in found] == [("hooks_none", "note"), ("hooks_silent", "wrong")]
    assert "lena has postino by an MCP entry" in found[0].text and "the session eve is" in found[1].text
    off = Command("doctor", [], "", load(environ | {"POSTINO_WAKE": "off"})[0], environ, False)
    assert claude.wake(off, [session]).code == "wake_off"
