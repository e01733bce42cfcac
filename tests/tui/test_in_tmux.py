"""The command in a real terminal: tmux's screen, its keys, its size; and what it says where it cannot run."""

from __future__ import annotations

import os
import pty
import re
import secrets
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.daemons import Daemon
from tests.waiting import until

POSTINO = [sys.executable, "-m", "postino"]


class Tmux:
    """A server of tmux of this test's own, with one window of 80 by 24."""

    def __init__(self, env: dict[str, str]) -> None:
        self._socket = f"postino-{secrets.token_hex(4)}"
        self._env = env

    def run(self, *args: str) -> str:
        command = ["tmux", "-L", self._socket, "-f", "/dev/null", *args]
        return subprocess.run(command, env=self._env, check=True, capture_output=True, text=True).stdout

    def start(self, command: str) -> None:
        self.run("new-session", "-d", "-x", "80", "-y", "24", command)

    def keys(self, *names: str) -> None:
        self.run("send-keys", *names)

    def shows(self, *parts: str) -> str:
        until(lambda: all(part in self.run("capture-pane", "-p") for part in parts), f"the screen shows {parts}", 20)
        return self.run("capture-pane", "-p")

    def close(self) -> None:
        subprocess.run(["tmux", "-L", self._socket, "kill-server"], env=self._env, check=False, capture_output=True)


@pytest.fixture
def tmux(served: Daemon) -> Iterator[Callable[..., Tmux]]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    opened: list[Tmux] = []

    def start(**env: str) -> Tmux:
        opened.append(Tmux(served.env | {"LC_ALL": "C.UTF-8"} | env))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def test_bare_postino_shows_the_inbox_takes_keys_and_ends(tmux, served, tmp_path) -> None:
    served.posted("messages", {"to": "bob", "body": "The **build** is green.", "from": "ada", "thread": "fix-42"})
    screen = tmux(NO_COLOR="1")
    screen.start(f"{shlex.join(POSTINO)}; echo ended with $?; cat")

    screen.shows("Nothing waits for you.", "live")
    screen.keys("g", "m")
    shown = screen.shows("ada → bob", "The build is green.", "Broadcasts", "live")
    assert len(shown.splitlines()) <= 24
    coloured = re.findall(r"\x1b\[[0-9;]*\b(?:3|4|9|10)[0-8]\b[0-9;]*m", screen.run("capture-pane", "-p", "-e"))
    assert coloured == []
    screen.keys("g", "t")
    screen.shows("Choose a thread on the left.", "fix-42")
    screen.run("resize-window", "-x", "120", "-y", "30")
    screen.keys("g", "m")
    screen.shows("The build is green.")
    screen.keys("q")
    screen.shows("ended with 0")


def test_without_a_terminal_or_with_a_dumb_one_it_says_so(served) -> None:
    done = subprocess.run([*POSTINO, "tui"], env=served.env, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "needs a terminal" in done.stderr


def test_without_textual_it_says_what_to_install(served, tmp_path) -> None:
    """Textual is hidden by a finder that knows no such package."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nfound = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'textual' else found(name, *more)\n"
    )
    env = served.env | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([*POSTINO, "tui"], env=env, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "pip install 'postino[tui]'" in done.stderr

    terminal, other = pty.openpty()  # bare `postino` on a terminal shows the help then
    done = subprocess.run(POSTINO, env=env, stdin=other, stdout=other, stderr=subprocess.PIPE, timeout=30, check=False)
    os.close(terminal)
    os.close(other)
    assert done.returncode == 2
    assert b"usage: postino COMMAND" in done.stderr
