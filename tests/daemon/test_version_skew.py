"""Daemon, relay, command and plugin of different versions: said with the remedy, and mended where that is possible."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from postino import __version__
from postino.paths import Home
from postino.versions import is_older
from tests.daemons import Daemon, environment
from tests.homes import scratch
from tests.relays import real_relays
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "plugin/scripts/hook.sh"
OLD, NEW = "0.0.9", "99.0"


@pytest.mark.parametrize(
    ("one", "other", "older"),
    [
        ("0.1.0", "0.1.0", False),
        ("0.1", "0.1.0", False),
        ("0.9", "0.10", True),
        ("0.10", "0.9.9", False),
        ("0", "0.1", True),
        ("", "0.1", True),
        ("²", "0.1", True),
        ("1.0+local", "1.0", False),
    ],
)
def test_versions_are_compared_by_their_numbers(one: str, other: str, older: bool) -> None:
    assert is_older(one, other) is older


@pytest.fixture
def copies() -> Iterator[Any]:
    """Copies of postino with another version: `copies("0.0.9")` returns what to put into PYTHONPATH."""
    made: list[Path] = []

    def copy(version: str) -> Path:
        folder = scratch()
        made.append(folder)
        shutil.copytree(ROOT / "postino", folder / "postino", ignore=shutil.ignore_patterns("__pycache__"))
        for part in ("lua", "plugin"):
            shutil.copytree(ROOT / part, folder / part)
        (folder / "pyproject.toml").touch()
        set_version(folder, version)
        return folder

    yield copy
    for each in made:  # a relay that was killed may have left a process that compiles there
        until(lambda folder=each: _removed(folder), "nothing writes there any more")  # type: ignore[misc]


def _removed(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def set_version(folder: Path, version: str) -> None:
    """Make a copy of postino one of another version.

    What is compiled goes, as with every installer: Python takes it for that of any source of its size and second.
    """
    shutil.rmtree(folder / "postino/__pycache__", ignore_errors=True)
    file = folder / "postino/__init__.py"
    file.write_text(re.sub(r'__version__ = ".*"', f'__version__ = "{version}"', file.read_text()))


def postino(home: Home, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "postino", *words]
    return subprocess.run(command, env=environment(home, **env), cwd="/", capture_output=True, text=True, check=True)


def test_an_older_daemon_is_said_and_up_replaces_it(home: Home, copies: Any) -> None:
    assert postino(home, "up", PYTHONPATH=str(copies(OLD)), POSTINO_MSG_TTL="77").returncode == 0
    try:
        postino(home, "send", "bob", "kept")
        warned = postino(home, "check", "bob")
        said = postino(home, "up").stdout
        data = json.loads(postino(home, "status", "--json").stdout)
        kept = postino(home, "read", "bob", "--peek")
    finally:
        postino(home, "down")

    assert warned.stderr == (
        f"postino: the daemon is version {OLD}, older than this command ({__version__}): `postino up` replaces it\n"
    )
    assert f"it replaces a daemon of version {OLD}; unlike that one it runs with the POSTINO_MSG_TTL of this" in said
    assert (data["version"], "kept" in kept.stdout, kept.stderr) == (__version__, True, "")


def test_a_newer_daemon_is_said_and_kept(daemon: Daemon, copies: Any) -> None:
    old = str(copies(OLD))

    said = postino(daemon.home, "up", PYTHONPATH=old).stdout
    warned = postino(daemon.home, "check", "bob", PYTHONPATH=old).stderr
    status = postino(daemon.home, "status", PYTHONPATH=old).stdout

    sentence = f"the daemon is version {__version__}, newer than this command ({OLD}): install that version here, too"
    assert sentence in said and sentence in warned and sentence in status
    assert daemon.process is not None and daemon.process.poll() is None


async def test_an_older_relay_of_an_open_session_becomes_the_installed_one(daemon: Daemon, copies: Any) -> None:
    folder = copies(OLD)
    async with real_relays() as spawn:
        relay = await spawn(daemon.env, POSTINO_AGENT_NAME="bob", PYTHONPATH=str(folder))
        assert (await relay.call("msg_whoami"))["agent"] == "bob"
        assert _versions(daemon) == [OLD]

        set_version(folder, __version__)  # as an update does, and with it comes a new daemon
        daemon.stop()
        daemon.start()
        async with asyncio.timeout(30):
            while relay.process.returncode is None and _versions(daemon)[-1] != __version__:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

        assert (await relay.call("msg_whoami"))["agent"] == "bob"
        assert [each["method"] for each in relay.others] == ["notifications/tools/list_changed"]
        assert len({each["session"] for each in _joined(daemon)}) == 1


async def test_an_older_relay_that_cannot_become_a_newer_one_goes_on_and_its_user_is_told_once(
    daemon: Daemon, copies: Any
) -> None:
    async with real_relays() as spawn:
        relay = await spawn(daemon.env, POSTINO_AGENT_NAME="bob", PYTHONPATH=str(copies(OLD)))
        assert (await relay.call("msg_whoami"))["agent"] == "bob"

        first, second = [hook(daemon, "UserPromptSubmit") for _ in range(2)]

    assert f"the MCP server of this session is version {OLD}, older than the daemon" in first["systemMessage"]
    assert "Reconnect" in first["systemMessage"]
    assert "systemMessage" not in second


async def test_a_session_with_an_older_daemon_tells_its_model_how_to_replace_it(home: Home, copies: Any) -> None:
    postino(home, "up", PYTHONPATH=str(copies(OLD)))
    try:
        async with real_relays() as spawn:
            relay = await spawn(environment(home), opened=False)
            said = await relay.open()
    finally:
        postino(home, "down")

    assert f"The postino daemon is version {OLD}, older than this session's {__version__}" in said["instructions"]
    assert "`postino up` replaces it" in said["instructions"]


@pytest.mark.parametrize(("version", "word"), [(OLD, "older than"), (NEW, "newer than"), ("", "version unknown")])
def test_a_plugin_of_another_version_is_told_to_the_user_at_the_start(
    daemon: Daemon, tmp_path: Path, version: str, word: str
) -> None:
    script = tmp_path / "hook.sh"
    script.write_text(SCRIPT.read_text().replace(f"version={__version__}", f"version={version}"))

    first, second = hook(daemon, "SessionStart", script), hook(daemon, "UserPromptSubmit", script)

    assert word in first["systemMessage"] and first["hookSpecificOutput"]["additionalContext"]
    assert "systemMessage" not in second


def test_with_one_version_nothing_is_said(daemon: Daemon) -> None:
    assert "systemMessage" not in hook(daemon, "SessionStart")
    assert postino(daemon.home, "check", "bob").stderr == ""


def hook(daemon: Daemon, event: str, script: Path = SCRIPT) -> dict[str, Any]:
    """Run a hook as a client does whose process is this one; return what it prints."""
    given = {"session_id": "c-1", "hook_event_name": event, "cwd": "/somewhere", "source": "startup", "prompt": "x"}
    done = subprocess.run(
        ["sh", script, event],
        input=json.dumps(given).encode(),
        env=daemon.env | {"CLAUDE_PID": str(os.getpid())},
        capture_output=True,
        check=True,
    )
    return json.loads(done.stdout or b"{}")  # type: ignore[no-any-return]


def _joined(daemon: Daemon) -> list[dict[str, Any]]:
    lines = [json.loads(each) for each in daemon.home.log.read_text().splitlines() if '"relay_joined"' in each]
    return lines


def _versions(daemon: Daemon) -> list[str]:
    return [each["version"] for each in _joined(daemon)]
