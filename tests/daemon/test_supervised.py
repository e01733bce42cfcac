"""`postino serve --supervised`: what a service manager or a container sees of the daemon."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from postino import locks
from postino.cli.service.definition import Definition
from postino.cli.service.managers import waiting
from postino.daemon import process
from postino.paths import Home
from postino.relay.starter import LOG_LIMIT
from tests.daemons import Daemon, environment
from tests.processes import gone
from tests.waiting import until

SERVE = [sys.executable, "-m", "postino", "serve", "--supervised"]
START_S = 40


@contextlib.contextmanager
def supervised(home: Home, *before: str, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run it with its log where a manager puts it; `before`: words before the command."""
    with home.log.open("ab") as log:
        running = subprocess.Popen([*before, *SERVE], env=environment(home, **env), cwd="/", stdout=log, stderr=log)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket of a service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(START_S)
        yield sock


def test_it_replaces_a_daemon_tells_its_manager_and_ends_with_its_valkey(
    daemon: Daemon, manager: socket.socket
) -> None:
    settings = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "200000"}
    with supervised(daemon.home, **settings) as running:
        assert manager.recv(999).decode() == f"READY=1\nSTATUS={daemon.url}"
        assert manager.recv(999) == manager.recv(999) == b"WATCHDOG=1"
        info = process.read_info(daemon.home)
        assert info is not None and info.pid == running.pid
        assert daemon.process is not None and daemon.process.wait(5) == 0
        valkey = daemon.valkey_pid()

        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0

    manager.settimeout(0)
    assert b"STOPPING=1" in iter(lambda: manager.recv(999), b"")
    assert gone(valkey)
    assert not daemon.home.socket.exists() and locks.is_free(daemon.home.lock)


def test_a_manager_that_is_gone_hinders_nobody(home: Home, tmp_path: Path) -> None:
    with supervised(home, NOTIFY_SOCKET=str(tmp_path / "nobody"), WATCHDOG_USEC="x") as running:
        until(lambda: process.is_healthy(home), "it serves", START_S)
        assert running.poll() is None
    assert "manager_not_told" in home.log.read_text()


@pytest.mark.parametrize("early", [False, True])
def test_as_the_first_process_of_a_container_it_ends_by_sigterm(home: Home, early: bool) -> None:
    if subprocess.run(["unshare", "-p", "-f", "--mount-proc", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here: no namespaces")
    with supervised(home, "unshare", "-p", "-f", "--kill-child", "--mount-proc") as outside:
        children = Path(f"/proc/{outside.pid}/task/{outside.pid}/children")
        until(lambda: children.read_text().split(), "it has begun")
        first = int(children.read_text())
        listens = 1 << (signal.SIGTERM - 1)  # in the mask of caught signals
        if early:
            until(lambda: int(_status(first, "SigCgt"), 16) & listens, "it listens to SIGTERM", START_S)
        else:
            until(lambda: process.is_healthy(home), "it serves", START_S)
            assert _status(first, "NSpid").split()[-1] == "1"
        os.kill(first, signal.SIGTERM)
        assert outside.wait(20) == 0
    assert not home.socket.exists() and not (home.data / "valkey.pid").exists()


def _status(pid: int, field: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{field}:"))


def test_a_long_log_that_a_manager_keeps_open_is_shortened(home: Home) -> None:
    home.log.write_bytes(b"old line\n" * (LOG_LIMIT // 9 + 1))
    with supervised(home):
        until(lambda: process.is_healthy(home), "it serves", START_S)
    assert home.log.read_bytes().startswith(b"{")
    assert home.log.with_name("daemon.log.1").read_bytes().startswith(b"old line\n")
    home.log.with_name("daemon.log.1").unlink()


def test_a_manager_that_cannot_start_it_leaves_nobody_without_a_daemon(home: Home, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    home.service.write_text(f"echo x >> {asked}; false")
    up = [sys.executable, "-m", "postino", "up"]
    assert subprocess.run(up, env=environment(home), cwd="/", capture_output=True, check=False).returncode == 0
    assert asked.read_text() == "x\n"
    process.stop(home)

    # as launchctl does it: it returns before the daemon serves
    waits = waiting(Definition("postino", home, tuple(SERVE), {}))
    home.service.write_text(f"setsid -f {' '.join(SERVE)} 2>> {home.log} && {waits}")
    assert subprocess.run(up, env=environment(home), cwd="/", capture_output=True, check=False).returncode == 0
    info = process.read_info(home)
    assert info is not None and b"--supervised" in Path(f"/proc/{info.pid}/cmdline").read_bytes()
    process.stop(home)


def test_an_emptied_service_file_leaves_nobody_without_a_daemon(home: Home) -> None:
    home.service.write_text("")  # as a power failure may leave it
    up = [sys.executable, "-m", "postino", "up"]
    assert subprocess.run(up, env=environment(home), cwd="/", capture_output=True, check=False).returncode == 0
    process.stop(home)
