"""postino service: what the service managers are told, and the whole way with a real systemd of its own."""

from __future__ import annotations

import json
import os
import plistlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from postino.cli.command import Command
from postino.cli.doctor.mending import mend
from postino.cli.doctor.service import service
from postino.config import load
from tests.cli.conftest import Postino
from tests.homes import scratch_home

ROOT = Path(__file__).resolve().parents[2]
#: the steps of a user, run where there is a systemd; prints what each has said
STORY = """
import json, os, signal, subprocess, sys, time
from pathlib import Path

from postino.cli.command import Command
from postino.cli.doctor.mending import mend
from postino.cli.doctor.service import service
from postino.config import load

doctor = Command("doctor", [], "", load(os.environ)[0], os.environ, False)

HOME = Path(os.environ["POSTINO_HOME"])
told = {}

def run(*words):
    done = subprocess.run([sys.executable, "-m", "postino", *words], capture_output=True, text=True, cwd="/")
    return {"code": done.returncode, "out": done.stdout, "err": done.stderr}

def facts():
    return json.loads(run("service", "status", "--json")["out"])

def until_serves(others):
    end = time.monotonic() + 40
    while time.monotonic() < end:
        found = facts()
        if found["serves"] and found["pid"] not in others:
            return found
        time.sleep(0.1)
    return found

run("up")
run("send", "bob", "kept", "--from", "ci")
told["before"] = facts()
told["install"] = run("service", "install")
told["installed"] = facts()
told["again"] = run("service", "install")["code"]
serving = facts()
os.kill(serving["pid"], signal.SIGKILL)
told["restarted"] = until_serves([serving["pid"]])
told["down"] = run("down")["out"]
told["ended"] = facts()
told["up"] = run("up")["code"]
told["up again"] = until_serves([])
told["read"] = run("read", "bob", "--json")["out"]
unit = Path(told["install"]["out"] and told["installed"]["file"])
unit.write_text(unit.read_text().replace("RestartSec=1", "RestartSec=2"))
told["changed"] = run("service", "status")["out"]
told["links"] = [service(doctor).code]
told["mended"] = [mend(service(doctor), doctor).text, service(doctor).code]
subprocess.run(["systemctl", "--user", "stop", "postino.service"])
subprocess.Popen([sys.executable, "-m", "postino", "serve"], cwd="/", stderr=subprocess.DEVNULL)
while not (HOME / "daemon.json").exists():
    time.sleep(0.1)
told["links"].append(service(doctor).code)
told["mended"] += [mend(service(doctor), doctor).text, service(doctor).code]
told["uninstall"] = run("service", "uninstall")
told["uninstalled"] = facts()
told["left"] = sorted(str(each) for each in Path(os.environ["HOME"]).rglob("*") if HOME not in (each, *each.parents))
told["home"] = sorted(each.name for each in HOME.iterdir())
listing = ["systemctl", "--user", "list-unit-files", "postino*"]
told["units"] = subprocess.run(listing, capture_output=True, text=True).stdout
print(json.dumps(told))
"""


def story(root: Path, program: str) -> Any:
    """Run a program beside a systemd of its own; return the JSON that it prints."""
    command = ["sh", str(ROOT / "tests/systemd_user.sh"), str(root), sys.executable, "-c", program]
    env = {"PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
    env |= {"POSTINO_HOME": str(root / ".postino"), "POSTINO_WEB_PORT": "0", "POSTINO_MSG_TTL": "7777"}
    done = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, timeout=110, check=False)
    if done.returncode == 99:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done
    return json.loads(done.stdout)


@pytest.mark.timeout(180)
def test_systemd_runs_the_daemon_and_leaves_no_trace_of_it() -> None:
    with scratch_home() as made:
        told = story(made.root, STORY)

    before = told["before"]
    assert (before["installed"], before["serves"]) == (False, False) and before["daemon"]
    assert told["install"]["code"] == told["again"] == told["up"] == 0, told["install"]
    assert f"it has taken over from the daemon with pid {before['daemon']}" in told["install"]["out"]
    for step in ("installed", "restarted", "up again"):
        found = told[step]
        assert found["serves"] and found["active"] and found["current"] and found["state"] == "active (running)", step
    assert told["down"] == "postino is down\n"
    assert (told["ended"]["daemon"], told["ended"]["state"]) == (None, "inactive (dead)")
    assert [each["body"] for each in json.loads(told["read"])["items"]] == ["kept"]
    assert "it differs from what this shell would write" in told["changed"]
    assert told["links"] == ["service_outdated", "service_outside"]
    assert told["mended"] == ["postino service install", "ok"] * 2
    assert told["uninstall"]["code"] == 0
    assert (told["uninstalled"]["installed"], told["uninstalled"]["daemon"], told["left"]) == (False, None, [])
    assert not {"service", "service.json"} & set(told["home"])
    assert "postino" not in told["units"]


def dry_run(command: Postino, *words: str, **settings: str) -> str:
    return str(command.json("service", "install", "--dry-run", *words, **settings)["content"])


def test_systemd_accepts_the_unit_with_any_path(bare: Postino, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    assert analyze, "systemd-analyze is missing: install systemd"
    odd = tmp_path / 'a "b" %h $x'
    odd.mkdir(mode=0o700)
    (odd / "token").write_text("secret-1")

    text = dry_run(bare, POSTINO_HOME=str(odd), POSTINO_API_TOKEN_FILE=str(odd / "token"), POSTINO_LOG_LEVEL="debug")

    unit = tmp_path / "postino.service"
    unit.write_text(text)
    env = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(
        [analyze, "--user", "verify", str(unit)], env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    escaped = str(odd).replace("%", "%%").replace('"', '\\"')
    assert f'Environment="POSTINO_HOME={escaped}"\n' in text
    assert f'Environment="POSTINO_API_TOKEN_FILE={escaped}/token"\n' in text
    assert "Environment=POSTINO_LOG_LEVEL=debug\n" in text
    assert "Type=notify" in text and "Restart=on-failure" in text and "secret-1" not in text


def test_launchd_gets_the_same_command_and_settings(bare: Postino) -> None:
    text = dry_run(bare, "--manager", "launchd", POSTINO_MSG_TTL="99")

    said = plistlib.loads(text.encode())
    assert said["ProgramArguments"] == [sys.executable, "-m", "postino", "serve", "--supervised"]
    assert said["EnvironmentVariables"] == {
        "POSTINO_HOME": str(bare.home),
        "POSTINO_WEB_PORT": "0",
        "POSTINO_MSG_TTL": "99",
    }
    assert said["KeepAlive"] == {"SuccessfulExit": False} and said["RunAtLoad"] is True
    assert said["StandardErrorPath"] == str(bare.home / "daemon.log")


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"POSTINO_API_TOKEN": "secret-1"}, "set POSTINO_API_TOKEN_FILE to its path"),
        ({"POSTINO_VALKEY_URL": "redis://u:secret-1@h/0"}, "set POSTINO_VALKEY_URL_FILE to its path"),
    ],
)
def test_a_secret_is_not_written_into_a_service(bare: Postino, settings: dict[str, str], word: str) -> None:
    said = bare.no(2, "service", "install", **settings)

    assert word in said and "secret-1" not in said
    assert not list(bare.home.iterdir())


def test_without_a_manager_it_says_what_to_run(bare: Postino, tmp_path: Path) -> None:
    said = bare.no(4, "service", "install", PATH=str(tmp_path))
    assert "neither systemd nor launchd" in said and "postino serve --supervised" in said

    (tmp_path / "systemctl").write_text("#!/bin/sh\necho No medium found >&2; exit 1\n")
    (tmp_path / "systemctl").chmod(0o755)
    said = bare.no(4, "service", "install", PATH=str(tmp_path), HOME=str(tmp_path))
    assert "does not answer (No medium found); log in as this user" in said
    assert not list(bare.home.iterdir()) and not (tmp_path / ".config").exists()


@pytest.fixture
def placed(tmp_path: Path) -> dict[str, str]:
    """An environment with a `systemctl` that does nothing, and with an empty folder for units."""
    (tmp_path / "systemctl").symlink_to("/bin/true")
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}", "XDG_CONFIG_HOME": str(tmp_path / "config")}


def test_a_secret_in_this_shell_stands_in_the_way_of_the_installation_only(
    bare: Postino, placed: dict[str, str]
) -> None:
    secret = placed | {"POSTINO_API_TOKEN": "secret-1"}

    assert bare.run("service", "status", **secret).out.startswith("service not installed")
    assert bare.ok("service", "uninstall", **secret) == "There is no service of this home.\n"


def test_a_path_that_a_unit_cannot_hold_is_named(bare: Postino, tmp_path: Path) -> None:
    odd = f"{tmp_path}/\udcff"

    assert "POSTINO_HOME has a control character or is not UTF-8" in bare.no(
        2, "service", "install", "--dry-run", POSTINO_HOME=odd
    )
    assert "daemon  none runs" in bare.run("service", "status", POSTINO_HOME=odd).out


@pytest.mark.parametrize("serves", [False, True])
def test_the_doctor_does_not_take_settings_from_a_service(bare: Postino, placed: dict[str, str], serves: bool) -> None:
    shown = bare.json("service", "install", "--dry-run", POSTINO_MSG_TTL="2592000", **placed)
    file = Path(shown["file"])
    file.parent.mkdir(parents=True)
    file.write_text(shown["content"])
    if serves:  # not as the service
        bare.ok("up")
    (bare.home / "service").write_text("true\n")

    def found(**settings: str) -> tuple[str, bool]:
        environ = bare.env | placed | settings
        doctor = Command("doctor", [], "", load(environ)[0], environ, False)
        finding = service(doctor)
        assert finding is not None
        return finding.code, finding.code == "service_settings" and mend(finding, doctor) is None

    assert found() == ("service_settings", True)
    assert found(POSTINO_MSG_TTL="2592000") == ("service_outside" if serves else "ok", False)
    assert file.read_text() == shown["content"]
    (bare.home / "service").unlink()  # `down` would ask the manager


def test_a_unit_of_somebody_else_stays(bare: Postino, placed: dict[str, str]) -> None:
    env = placed
    file = Path(json.loads(bare.run("service", "status", "--json", **env).out)["file"])
    file.parent.mkdir(parents=True)
    file.write_text("[Service]\nExecStart=/bin/true\n")

    for action in ("install", "uninstall"):
        assert "was not written by postino" in bare.no(2, "service", action, **env)

    assert file.read_text() == "[Service]\nExecStart=/bin/true\n"
    assert bare.no(2, "service", "install", "--manager", "launchd").startswith("--manager is for")
