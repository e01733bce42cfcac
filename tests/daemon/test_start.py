"""Starting the real daemon from outside: one at a time, detached, whatever lies in its way, and told why it failed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from postino import __version__, locks
from postino.daemon import process
from postino.daemon.process import DaemonInfo, Status
from postino.errors import BadField, StoreAway, Unreachable
from postino.paths import Home
from postino.relay import starter
from postino.relay.starter import LOG_LIMIT, Starter, start_daemon
from postino.store.valkey.embedded import EmbeddedValkey
from tests.daemons import environment
from tests.waiting import PATIENCE_S, until

#: starts the daemon of the home in argv[1] as soon as a line comes in
STARTER = """
import os, sys
from pathlib import Path
from postino.daemon import process
from postino.paths import Home
print("ready", flush=True)
sys.stdin.readline()
print(process.start(os.environ, Home(Path(sys.argv[1]))).pid, flush=True)
"""


@pytest.fixture
def environ(home: Home) -> dict[str, str]:
    """The environment of a starter inside a session; what it starts ends with the home."""
    return environment(home, CLAUDECODE="1", POSTINO_AGENT_NAME="mine")


@pytest.fixture
def stopped(home: Home) -> Iterator[Callable[[], int]]:
    """Stop the daemon that is just starting, as on a machine that has no time for it; return its pid."""
    pids: list[int] = []

    def stop() -> int:
        pids.append(int(until(lambda: home.lock.exists() and locks.read_pid(home.lock))))
        os.kill(pids[-1], signal.SIGSTOP)
        assert process.read_info(home) is None
        return pids[-1]

    yield stop
    for pid in pids:  # also after a failure: it ends with its home, if it is not stopped
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def test_start_gives_a_healthy_detached_daemon_that_looks_like_no_session(home: Home, environ: dict[str, str]) -> None:
    running = process.start(environ, home)

    assert running.version == __version__
    assert (process.health(home) or {}).get("ok") is True
    assert process.start(environ, home) == running
    assert os.getsid(running.pid) == running.pid
    assert Path(f"/proc/{running.pid}/cwd").readlink() == Path("/")
    names = {
        item.partition(b"=")[0].decode() for item in Path(f"/proc/{running.pid}/environ").read_bytes().split(b"\0")
    }
    assert not {"CLAUDECODE", "POSTINO_AGENT_NAME"} & names
    assert "POSTINO_HOME" in names
    assert stat.S_IMODE(home.log.stat().st_mode) == 0o600


def test_two_started_at_once_end_as_one(home: Home, environ: dict[str, str]) -> None:
    command = [sys.executable, "-c", STARTER, str(home.root)]
    starters = [
        subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for each in starters:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in starters:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()

    answers = {each.communicate(timeout=30)[0] for each in starters}

    assert len(answers) == 1
    survivor = int(answers.pop())
    until(lambda: locks.holders(home.log) == {survivor}, seconds=20)  # the other one has given way


def test_while_another_process_starts_the_daemon_it_waits(home: Home, environ: dict[str, str]) -> None:
    turn = locks.acquire(home.prepare().starting)
    assert turn is not None
    started: list[DaemonInfo] = []
    waiting = threading.Thread(target=lambda: started.append(process.start(environ, home)))
    waiting.start()

    waiting.join(1.0)
    before = home.socket.exists()
    os.close(turn)
    waiting.join(PATIENCE_S)

    assert not before and started
    free = locks.acquire(home.starting)
    assert free is not None  # it lets others start the next one
    os.close(free)


def test_stop_ends_the_daemon_and_leaves_valkey_to_the_next(
    home: Home, environ: dict[str, str], lives: Callable[[int], bool]
) -> None:
    first = process.start(environ, home)
    valkey = locks.read_pid(home.data / "valkey.pid")

    assert process.stop(home) is True

    until(lambda: not lives(first.pid), seconds=1.0)
    assert not home.socket.exists()
    assert not home.info.exists()
    second = process.start(environ, home)
    assert second.pid != first.pid
    assert locks.read_pid(home.data / "valkey.pid") == valkey


def test_what_a_killed_daemon_leaves_is_no_obstacle(home: Home, environ: dict[str, str]) -> None:
    first = process.start(environ, home)
    valkey = locks.read_pid(home.data / "valkey.pid")

    os.kill(first.pid, signal.SIGKILL)
    until(lambda: not process.is_running(home))
    assert home.socket.exists()
    assert process.read_info(home) == first
    assert process.status(home) == Status("down")

    second = process.start(environ, home)
    assert second.pid != first.pid
    assert process.read_info(home) == second
    assert locks.read_pid(home.data / "valkey.pid") == valkey


def test_a_stale_socket_file_is_no_obstacle(home: Home, environ: dict[str, str]) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(home.socket))

    process.start(environ, home)

    assert (process.health(home) or {}).get("ok") is True


def test_a_suspended_daemon_is_named_and_can_be_ended(
    home: Home, environ: dict[str, str], lives: Callable[[int], bool]
) -> None:
    running = process.start(environ, home)
    os.kill(running.pid, signal.SIGSTOP)

    with pytest.raises(Unreachable, match=rf"\(pid {running.pid}\) has not answered for 1 s; `postino down`"):
        process.start(environ, home, 1.0)
    assert process.stop(home, 0.5) is True

    assert not lives(running.pid)
    assert process.start(environ, home).pid != running.pid


def test_a_daemon_that_is_still_starting_is_waited_for(home: Home, environ: dict[str, str], stopped: Any) -> None:
    said: list[str] = []
    with ThreadPoolExecutor() as pool:
        started = pool.submit(process.start, environ, home, 1.0, say=said.append)
        pid = stopped()
        until(lambda: said)
        os.kill(pid, signal.SIGCONT)

        assert started.result(PATIENCE_S).pid == pid
    (line,) = said
    assert line.replace(f" (pid {pid})", "").startswith("the daemon is still starting; waiting for it up to 60 s; ")


def test_a_daemon_that_starts_after_a_killed_one_is_waited_for(
    home: Home, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the killed one has left looks like a daemon that has served."""
    first = process.start(environ, home)
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: not process.is_running(home))
    said: list[str] = []
    pids: list[int] = []

    def start_stopped(*given: Any) -> Any:
        child, size = start_daemon(*given)
        os.kill(child.pid, signal.SIGSTOP)  # before it has locked the home
        pids.append(child.pid)
        return child, size

    def say(text: str) -> None:
        said.append(text)
        os.kill(pids[-1], signal.SIGCONT)

    monkeypatch.setattr(starter, "start_daemon", start_stopped)
    try:
        assert process.start(environ, home, 1.0, say=say).pid == pids[-1]
    finally:
        os.kill(pids[-1], signal.SIGCONT)  # also after a failure: it ends with its home
    (line,) = said
    assert line.startswith("the daemon is still starting; ")


def test_a_daemon_that_does_not_get_on_is_not_waited_for_without_end(
    home: Home, environ: dict[str, str], stopped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "STARTING_S", 3.0)
    with ThreadPoolExecutor() as pool:
        started = pool.submit(process.start, environ, home, 1.0)
        stopped()

        with pytest.raises(Unreachable, match="has not answered for 3 s; `postino down`"):
            started.result(PATIENCE_S)
    assert process.stop(home, 0.5) is True


def test_a_daemon_without_a_pid_is_said_to_be_starting(home: Home) -> None:
    assert f"of {home.root}, which is starting, has not answered" in str(process.not_healthy(home, None, 15.0))


def test_a_daemon_that_dies_at_start_is_quoted(home: Home, environ: dict[str, str]) -> None:
    with pytest.raises(
        Unreachable, match=r"^The postino daemon did not start: .*127\.0\.0\.1:1 does not serve"
    ) as failed:
        process.start(environ | {"POSTINO_VALKEY_URL": "redis://me:hunter2@127.0.0.1:1"}, home)

    assert "hunter2" not in str(failed.value)
    assert failed.value.detail == {"exitcode": 4}
    with pytest.raises(Unreachable, match=r"^The postino daemon did not start: POSTINO_WEB_PORT='x' is not allowed"):
        process.start(environ | {"POSTINO_WEB_PORT": "x"}, home)


def test_a_daemon_that_is_killed_before_it_serves_is_no_failed_start(home: Home, environ: dict[str, str]) -> None:
    home.prepare()
    starter = Starter(str(home.root), environ)
    starter.start(time.monotonic())
    assert starter._child is not None
    starter._child.kill()
    starter._child.wait()

    starter.reap()

    assert (starter.failure, starter.starting) == ("", False)
    assert process.start(environ, home).pid


def test_a_daemon_without_its_valkey_is_no_healthy_daemon(home: Home, environ: dict[str, str]) -> None:
    other = EmbeddedValkey(Home(home.root / "other"))
    url = f"unix://{asyncio.run(other.start())}"
    try:
        process.start(environ | {"POSTINO_VALKEY_URL": url}, home)
    finally:
        asyncio.run(EmbeddedValkey(Home(home.root / "other")).stop())

    with pytest.raises(StoreAway, match="The postino daemon runs, but "):
        process.start(environ, home, 1.0)


def test_a_valkey_that_hangs_is_named_and_not_the_daemon(home: Home, environ: dict[str, str]) -> None:
    process.start(environ, home)
    valkey = int((home.data / "valkey.pid").read_text())
    os.kill(valkey, signal.SIGSTOP)
    try:
        with pytest.raises(StoreAway, match="The postino daemon runs, but "):
            process.start(environ, home, 1.0)
        assert process.status(home).state == "up"
    finally:
        os.kill(valkey, signal.SIGCONT)


def test_a_home_too_long_for_a_socket_is_refused(environ: dict[str, str]) -> None:
    with pytest.raises(BadField, match="too long for a socket"):
        process.start(environ, Home(Path("/tmp") / ("x" * 120)))


def test_a_log_that_grew_too_long_is_put_aside(home: Home, environ: dict[str, str]) -> None:
    with home.log.open("wb") as log:
        log.truncate(LOG_LIMIT + 1)

    process.start(environ, home)

    assert home.log.stat().st_size < 10_000
    assert home.log.with_suffix(".log.1").stat().st_size == LOG_LIMIT + 1
