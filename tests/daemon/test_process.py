"""One daemon per home: its lock, starting it, stopping it, what a killed one leaves."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from postino import locks
from postino.daemon import process
from postino.daemon.process import DaemonInfo, Status
from postino.errors import Unreachable
from postino.paths import Home

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

Hold = Callable[..., subprocess.Popen[str]]


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
