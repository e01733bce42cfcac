"""The command in a real terminal: tmux's screen, its keys, its size; and what it says where it cannot run."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shlex
import subprocess
import sys

POSTINO = [sys.executable, "-m", "postino"]


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


def test_an_inbox_that_fails_says_so_by_its_exit_code(tmux, served, tmp_path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import postino.tui.app as app\napp.Inbox.compose = None\n")
    screen = tmux(PYTHONPATH=str(tmp_path))
    screen.start(f"{shlex.join(POSTINO)}; echo ended with $?; cat")
    screen.shows("ended with 3")


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
    assert "not installed: `uv tool install '.[tui]'` in a checkout" in done.stderr

    terminal, other = pty.openpty()  # bare `postino` on a terminal shows the help then
    process = subprocess.Popen(POSTINO, env=env, stdin=other, stdout=other, stderr=other)
    os.close(other)
    shown = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while part := os.read(terminal, 4096):
            shown += part
    os.close(terminal)
    assert process.wait(30) == 2
    assert b"usage: postino COMMAND" in shown
    assert b"With `uv tool install '.[tui]'` in a checkout" in shown
    assert b"`postino` alone shows your inbox" in shown
