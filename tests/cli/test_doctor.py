"""doctor: green on a healthy home, and the right sentence for each failure that is arranged here."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from postino.cli.command import Command
from postino.cli.doctor import messages
from postino.cli.doctor.daemon import clock
from postino.cli.doctor.daemon import daemon as checked_daemon
from postino.config import load
from postino.daemon import process
from postino.paths import Home
from tests.cli.conftest import Done, Postino
from tests.waiting import until

TOOLS = ("sh", "curl", "cat", "find", "sleep", "touch")
PATHS = ["cli", "unix", "tcp", "events", "mcp", "hook"]


@pytest.fixture
def programs(tmp_path) -> Path:
    """A PATH with postino and what the hooks need, and no client."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        (folder / name).symlink_to(str(shutil.which(name)))
    (folder / "postino").symlink_to(Path(sys.executable).with_name("postino"))
    return folder


def doctor(command: Postino, *args: str, **settings: str) -> Done:
    """Run it to its end, with more patience than for other commands: it starts a dozen processes."""
    with Postino(command.home, command.settings | settings).open("doctor", *args) as process:
        out, err = process.communicate(timeout=120)
    return Done(process.returncode, out.decode(), err.decode())


@pytest.fixture
def examine(programs):
    """Run doctor --json: `examine(command, code, **settings)` returns the finding of each check."""

    def run(command: Postino, code: int, **settings: str) -> dict[str, dict[str, Any]]:
        done = doctor(command, "--json", **{"PATH": str(programs)} | settings)
        assert done.code == code, done
        data = json.loads(done.out)
        assert data["ok"] is (code == 0)
        return {each["check"]: each for each in data["checks"]}

    return run


def wrongs(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: each["code"] for name, each in found.items() if each["level"] == "wrong"}


def script(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


def test_a_healthy_home_is_green_and_every_path_delivers(postino, programs, examine) -> None:
    found = examine(postino, 0)
    assert {each["code"] for each in found.values()} <= {"ok", "skipped", "claude_missing"}
    for name in [*PATHS, "python", "path", "home", "disk", "daemon", "settings", "store", "memory", "clock", "port"]:
        assert found[name]["code"] == "ok", found[name]
    assert found["claude"]["level"] == "note"
    assert found["cleanup"]["code"] == "ok"
    assert not [each for each in postino.json("agents")["items"] if each["name"].startswith("doctor-")]
    assert not [each for each in postino.json("history")["items"] if "postino doctor" in each["body"]]
    done = doctor(postino, PATH=str(programs), POSTINO_WAKE="off")  # a note makes no fault
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[-1] == "everything works"
    assert len(lines) == len(found) + 1
    assert any(line.startswith("note  settings POSTINO_WAKE is off here, auto there") for line in lines)


def test_what_the_path_lacks_is_named(postino, programs, examine) -> None:
    (programs / "postino").unlink()
    found = examine(postino, 3)
    assert wrongs(found) == {"path": "not_on_path", "hook": "not_arrived"}
    assert found["path"]["fix"] == f"add {Path(sys.executable).parent} to PATH"
    assert "the command postino is not on PATH" in found["hook"]["text"]
    script(programs / "postino", "echo postino 0.0.1")
    (programs / "curl").unlink()
    found = examine(postino, 3)
    assert wrongs(found) == {"path": "other_on_path", "hook": "not_arrived"}
    assert "its --version says postino 0.0.1" in found["path"]["text"]
    assert "curl is not on PATH" in found["hook"]["text"]


def test_what_is_wrong_with_the_clients(bare, programs, examine, tmp_path) -> None:
    def claude(listed: str) -> str:
        script(programs / "claude", f"[ $1 = --version ] && echo 2.1.300 && exit\n{listed}")
        return examine(bare, 4)["claude"]["code"]

    def plugin(**fields: Any) -> str:
        entry = {"id": "postino@postino", "scope": "user", "enabled": True, "version": "0.1.0"} | fields
        return claude(f"echo '{json.dumps([entry])}'")

    assert claude("echo '[]'") == "plugin_missing"
    assert claude("echo no such option >&2; exit 1") == "claude_failed"
    assert plugin(enabled=False) == "plugin_disabled"
    (tmp_path / "settings.json").write_text("{")
    told = examine(bare, 4, CLAUDE_CONFIG_DIR=str(tmp_path))["claude"]
    assert told["text"].endswith(f"is disabled: {tmp_path}/settings.json is not strict JSON")
    assert told["fix"] == "mend that file"
    assert plugin(version="0.0.1") == "plugin_version"
    assert plugin() == "ok"
    place = {"HOME": str(tmp_path), "CODEX_HOME": str(tmp_path / "codex")}
    script(programs / "codex", "exit")
    assert examine(bare, 4, **place)["codex"]["code"] == "entry_missing"
    assert bare.run("install", "--client", "codex", PATH=str(programs), **place).code == 0
    assert examine(bare, 4, **place)["codex"]["code"] == "ok"
    shutil.rmtree(tmp_path / "codex")
    assert examine(bare, 4, **place)["codex"]["code"] == "entry_gone"


def test_a_wrong_token_and_another_store(postino, examine) -> None:
    found = examine(postino, 3, POSTINO_API_TOKEN="wrong", POSTINO_VALKEY_URL="redis://:secret@127.0.0.1:1/0")
    assert wrongs(found) == {"settings": "other_store", "tcp": "unauthorized"}
    assert "POSTINO_VALKEY_URL is redis://127.0.0.1:1/0 here, but the daemon uses the emb" in found["settings"]["text"]
    assert "secret" not in json.dumps(found)
    assert "POSTINO_API_TOKEN" in found["tcp"]["fix"]


@pytest.mark.timeout(180)
def test_fix_mends_what_loses_nothing_and_then_all_is_green(bare, examine) -> None:
    def fixed(**settings: str) -> list[str]:
        done = doctor(bare, "--json", "--fix", **settings)
        assert done.code == 0, done
        return [f"{each['code']}: {each['text']}" for each in json.loads(done.out)["mended"]]

    bare.home.chmod(0o777)
    assert wrongs(examine(bare, 4)) == {"home": "home_refused", "daemon": "daemon_unreachable"}
    assert fixed() == [f"home_refused: chmod 700 {bare.home}", "daemon_down: postino up"]
    bare.ok("send", "bob", "kept")

    info = json.loads((bare.home / "daemon.json").read_text())
    (bare.home / "daemon.json").write_text(json.dumps(info | {"version": "0.0.1"}))
    assert wrongs(examine(bare, 3)) == {"daemon": "daemon_older"}
    done = doctor(bare, "--json", "--fix", POSTINO_MSG_TTL="99")
    [left] = json.loads(done.out)["mended"]
    assert not left["ok"] and "the daemon has another POSTINO_MSG_TTL than this shell" in left["text"]
    assert fixed() == ["daemon_older: postino up"]

    pid = json.loads((bare.home / "daemon.json").read_text())["pid"]
    assert pid != info["pid"]
    os.kill(pid, signal.SIGSTOP)
    assert fixed() == ["daemon_silent: postino down && postino up"]
    assert fixed() == []
    assert [each["body"] for each in bare.json("read", "bob")["items"]] == ["kept"]


def test_without_a_daemon_it_says_so_and_starts_none(bare, examine) -> None:
    found = examine(bare, 4)
    assert wrongs(found) == {"daemon": "daemon_down"}
    assert found["daemon"]["fix"] == "`postino up`"
    assert found["messages"]["level"] == "skipped"
    assert not list(bare.home.iterdir())
    missing = bare.home / "missing"
    assert examine(bare, 4, POSTINO_HOME=str(missing))["home"]["code"] == "home_missing"
    assert not missing.exists()


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_why_the_last_daemon_did_not_start_is_quoted_until_one_does(bare, log_format) -> None:
    def daemon() -> str:
        return str(checked_daemon(process.status(Home(bare.home)), command).text)

    command = Command("doctor", [], "", load(bare.env)[0], bare.env, False)
    wrong_host = {"POSTINO_WEB_HOST": "192.0.2.77", "POSTINO_API_TOKEN": "t", "POSTINO_BEHIND_PROXY": "1"}
    bare.no(2, "up", **wrong_host)
    told = "no daemon runs; the last one ended with: POSTINO_WEB_HOST=192.0.2.77 is not an address of this machine"
    assert daemon().startswith(told)
    assert log_format == "console" or told in bare.run("doctor").out

    bare.ok("up", POSTINO_LOG_FORMAT=log_format)
    os.kill(bare.json("status")["pid"], signal.SIGKILL)
    until(lambda: daemon() == "no daemon runs", "a start that succeeded is younger than that error")
    bare.no(2, "up", **wrong_host)
    assert daemon().startswith(told)
    bare.ok("up", POSTINO_LOG_FORMAT=log_format)
    bare.ok("down")
    assert daemon() == "no daemon runs"
    with (bare.home / "daemon.log").open("a") as log:
        log.write("Traceback (most recent call last):\n  File ...\nModuleNotFoundError: No module named 'x\x1b'\n\n")
    assert daemon() == "no daemon runs; the last one ended with: ModuleNotFoundError: No module named 'x?'"


def test_a_home_into_which_others_could_look_is_mended_and_told(bare, examine) -> None:
    bare.home.chmod(0o755)
    found = examine(bare, 4)["home"]
    assert (found["code"], found["fix"]) == ("home_open", "it has 0700 now")
    assert "had mode 0755" in found["text"]
    assert examine(bare, 4)["home"]["text"] == f"{bare.home}, yours, mode 0700"


def test_a_home_that_cannot_be_used(bare, programs, examine) -> None:
    bare.home.chmod(0o777)
    found = examine(bare, 4)
    bare.home.chmod(0o700)
    assert wrongs(found) == {"home": "home_refused", "daemon": "daemon_unreachable"}
    assert "has mode 0777" in found["home"]["text"]
    assert not list(bare.home.iterdir())
    file = bare.home / "file"
    file.touch()
    for path, why in ((file, "is not a directory"), (bare.home / ("x" * 100), "choose a shorter path")):
        found = examine(bare, 4, POSTINO_HOME=str(path))
        assert wrongs(found) == {"home": "home_refused", "daemon": "daemon_unreachable"}
        assert why in found["home"]["text"]
        mended = doctor(bare, "--fix", "--json", PATH=str(programs), POSTINO_HOME=str(path))
        assert (mended.code, json.loads(mended.out)["mended"]) == (4, [])
    assert list(bare.home.iterdir()) == [file]
    if os.getuid():
        assert "belongs to uid 0" in examine(bare, 4, POSTINO_HOME="/usr")["home"]["text"]


def test_a_taken_port_another_version_a_store_that_hangs_and_a_daemon_that_does(bare, examine) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        bare.serve(POSTINO_WEB_PORT=str(taken))
        found = examine(bare, 3, POSTINO_WEB_PORT=str(taken))
    assert wrongs(found) == {"port": "port_taken"}
    assert f"another program uses port {taken}; postino listens on " in found["port"]["text"]

    info = json.loads((bare.home / "daemon.json").read_text())
    (bare.home / "daemon.json").write_text(json.dumps(info | {"version": "9.0.0"}))
    found = examine(bare, 3)
    assert found["daemon"]["code"] == "daemon_version"
    assert "9.0.0, newer than this command" in found["daemon"]["text"]
    (bare.home / "daemon.json").write_text(json.dumps(info))

    valkey = int((bare.home / "data" / "valkey.pid").read_text())
    os.kill(valkey, signal.SIGSTOP)
    try:
        found = examine(bare, 3)
    finally:
        os.kill(valkey, signal.SIGCONT)
    assert found["store"]["code"] == "store_away"
    assert found["messages"] | {"text": ""} == found["messages"] | {"level": "skipped", "text": ""}

    os.kill(info["pid"], signal.SIGSTOP)
    try:
        found = examine(bare, 4)
    finally:
        os.kill(info["pid"], signal.SIGCONT)
    assert wrongs(found) == {"daemon": "daemon_silent"}
    assert f"({info['pid']}) lives but does not answer" in found["daemon"]["text"]


@pytest.mark.waits("a command tries for 10 s")
def test_a_store_that_goes_away_meanwhile_ends_the_messages(bare) -> None:
    bare.serve()
    info = process.status(Home(bare.home)).info
    valkey = int((bare.home / "data" / "valkey.pid").read_text())
    os.kill(valkey, signal.SIGSTOP)
    try:
        found = list(messages.down_every_path(Command("doctor", [], "", load(bare.env)[0], bare.env, False), info))
    finally:
        os.kill(valkey, signal.SIGCONT)
    assert [(each.check, each.code) for each in found] == [
        ("cli", "store_away"),
        ("messages", "skipped"),
        ("cleanup", "not_forgotten"),
    ]


def test_a_store_of_ones_own_that_keeps_nothing_and_then_is_gone(bare, serve, examine) -> None:
    own = serve("--appendonly", "no")
    bare.serve(POSTINO_VALKEY_URL=own.url)
    found = examine(bare, 3)
    assert found["store"]["level"] == "wrong"
    assert found["store"]["code"] in ("store_volatile", "store_warns")
    assert {found[name]["code"] for name in ["memory", "clock", *PATHS]} == {"ok"}
    own.kill()
    found = examine(bare, 3)
    assert found["store"]["code"] == "store_away"
    assert found["clock"]["level"] == found["messages"]["level"] == "skipped"


def test_clocks_that_differ_are_a_fault_a_slow_answer_is_none() -> None:
    assert clock(100.0, 90.0, 110.0).code == "ok"
    assert clock(100.0, 101.0, 102.0).code == "ok"
    behind, ahead = clock(100.0, 103.0, 104.0), clock(110.0, 103.0, 104.0)
    assert (behind.code, ahead.code) == ("clock_skew", "clock_skew")
    assert "3 s behind" in behind.text
    assert "6 s ahead of" in ahead.text
