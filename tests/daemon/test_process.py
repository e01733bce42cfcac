"""One daemon per home: its lock, starting it, stopping it, what a killed one leaves."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from postino import __version__, locks
from postino.daemon import process
from postino.daemon.process import DaemonInfo, Status
from postino.errors import BadField, StoreAway, Unreachable
from postino.paths import Home
from postino.relay.starter import LOG_LIMIT, Starter
from postino.store.valkey.embedded import EmbeddedValkey
from tests.daemons import environment
from tests.waiting import until

#: holds the lock of the home in argv[1] like a daemon that never answers
HOLDER = """
import os, signal, sys, time
from pathlib import Path
from postino.daemon import process
from postino.paths import Home
signal.signal(signal.SIGTERM, {on_term})
lock = process.lock_home(Home(Path(sys.argv[1])))
print(lock is not None, flush=True)
time.sleep(60)
"""
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

Hold = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def environ(home: Home) -> dict[str, str]:
    """The environment of a starter inside a session; what it starts ends with the home."""
    return environment(home, CLAUDECODE="1", POSTINO_AGENT_NAME="mine")


@pytest.fixture
def hold(home: Home) -> Iterator[Hold]:
    """Other processes that hold the lock."""
    made: list[subprocess.Popen[str]] = []

    def start(on_term: str = "signal.SIG_DFL") -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLDER.format(on_term=on_term), str(home.root)]
        made.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert made[-1].stdout is not None
        assert made[-1].stdout.readline() == "True\n"
        return made[-1]

    yield start
    for each in made:
        each.kill()
        each.communicate()


# The lock


def test_a_home_has_one_lock(home: Home) -> None:
    lock = process.lock_home(home)
    assert lock is not None

    assert process.is_running(home)
    assert process.lock_home(home) is None

    lock.release()
    lock.release()
    assert not process.is_running(home)
    again = process.lock_home(home)
    assert again is not None
    again.release()


def test_the_lock_of_a_killed_daemon_is_free_and_its_files_are_removed(home: Home, hold: Hold) -> None:
    holder = hold()
    home.socket.touch()
    home.info.write_text("{}")
    assert process.lock_home(home) is None
    assert home.socket.exists()  # not ours to remove while it lives

    holder.kill()
    holder.wait()
    lock = process.lock_home(home)

    assert lock is not None
    assert not home.socket.exists()
    assert not home.info.exists()
    lock.release()


def test_a_momentary_check_of_the_lock_keeps_no_daemon_out(home: Home) -> None:
    looking = locks.acquire(home.lock)
    assert looking is not None
    threading.Timer(0.05, os.close, (looking,)).start()

    lock = process.lock_home(home)

    assert lock is not None
    lock.release()


def test_a_daemon_says_who_it_is_to_its_user_only(home: Home) -> None:
    lock = process.lock_home(home)
    assert lock is not None

    said = lock.write_info("http://127.0.0.1:3333", "1.2.3")

    assert process.read_info(home) == said
    assert lock.write_info(None, "1.2.3", {"POSTINO_WAKE": "off"}) == process.read_info(home)
    assert said == DaemonInfo(os.getpid(), "http://127.0.0.1:3333", str(home.socket), "1.2.3", said.started)
    assert stat.S_IMODE(home.info.stat().st_mode) == 0o600
    lock.release()
    assert process.read_info(home) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', "\x00"])
def test_a_damaged_daemon_json_says_nothing(home: Home, text: str) -> None:
    home.info.write_text(text)

    assert process.read_info(home) is None
    home.info.unlink()


def test_a_daemon_of_an_older_version_is_understood_without_its_settings(home: Home) -> None:
    home.info.write_text('{"pid": 1, "url": null, "socket": "s", "version": "0", "started": 1.5}')

    assert process.read_info(home) == DaemonInfo(1, None, "s", "0", 1.5, {})
    home.info.unlink()


# Looking from outside


def test_a_home_where_nothing_ran_is_down_and_untouched(home: Home) -> None:
    assert process.status(home) == Status("down")
    assert process.stop(home) is False
    assert list(home.root.iterdir()) == []


def test_a_daemon_that_does_not_answer_is_silent(home: Home, hold: Hold) -> None:
    holder = hold()

    assert process.status(home) == Status("silent", holder.pid)


@pytest.mark.parametrize("answer", [b"", b"garbage", b"HTTP/1.0 200 OK\r\n\r\n[]", b"HTTP/1.0 200 OK\r\n\r\n{"])
def test_what_is_no_health_answer_is_none(home: Home, answer: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(home.socket))
        server.listen()
        threading.Thread(target=_answer_once, args=(server, answer)).start()

        assert process.health(home, 2.0) is None


def _answer_once(server: socket.socket, answer: bytes) -> None:
    line, _ = server.accept()
    with line:
        line.recv(4096)
        line.sendall(answer)


def test_a_health_answer_that_never_comes_costs_only_the_given_time(home: Home) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(home.socket))
        server.listen()
        began = time.monotonic()

        assert process.health(home, 0.3) is None
        assert not process.is_healthy(home)

    assert time.monotonic() - began < 3


def test_the_light_command_line_pays_for_nothing_heavy() -> None:
    heavy = "aiohttp redis mcp msgspec structlog asyncio subprocess http.client"
    program = f"import sys, postino.daemon.process; print([each for each in '{heavy}'.split() if each in sys.modules])"

    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n"


# Stopping


def test_a_daemon_deaf_to_sigterm_is_killed_and_tidied_up_after(home: Home, hold: Hold) -> None:
    holder = hold(on_term="signal.SIG_IGN")
    home.socket.touch()

    assert process.stop(home, 0.2) is True

    assert holder.wait(1) == -signal.SIGKILL
    assert not home.socket.exists()
    assert process.status(home).state == "down"


def test_stop_signals_nobody_but_the_daemon(home: Home, hold: Hold) -> None:
    hold()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        home.lock.write_text(f"{stranger.pid}\n")

        with pytest.raises(Unreachable, match="does not end"):
            process.stop(home, 0.1)

        assert stranger.poll() is None
        stranger.kill()


# Starting the real one


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
    waiting.join(3.0)

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
