"""The terminal that a person sits at: its width, a pager for long lists, and questions before what cannot be undone."""

from __future__ import annotations

import os
import sys

from postino.errors import Declined

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Mapping

LESS = "RX"  # options: pass colours through, and leave on the screen what was shown


def width() -> int | None:
    """Return the columns of the terminal that standard output is; None if it is none."""
    return _size().columns if sys.stdout.isatty() else None


def _size() -> os.terminal_size:
    """Return the size of the terminal itself: COLUMNS and LINES may be those of the shell before a change."""
    size = os.get_terminal_size(sys.stdout.fileno())
    return size if size.columns and size.lines else os.terminal_size((80, 24))


def is_attended() -> bool:
    """Return whether a person can be asked: standard input and standard error are a terminal."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str, *, agreed: bool) -> None:
    """Ask the person at the terminal; return if the answer is yes, or if nobody can be asked, or `agreed` already.

    Raises:
        Declined: the answer is no, or none.
    """
    if agreed or not is_attended():
        return
    sys.stdout.flush()
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Declined("nothing was done")


def show(text: str, environ: Mapping[str, str]) -> None:
    """Print `text`; what is longer than the terminal by the program that PAGER names, `less` by default, from its end.

    An empty PAGER, or `cat`, prints it as it is.
    """
    lines = text.count("\n")
    if not sys.stdout.isatty() or lines < _size().lines or not _paged(text, environ):
        sys.stdout.write(text)


def _paged(text: str, environ: Mapping[str, str]) -> bool:
    """Show `text` by the pager; return False if there is none."""
    import shlex
    import subprocess

    program = shlex.split(environ.get("PAGER", "less"))
    if program in ([], ["cat"]):
        return False
    if program == ["less"]:
        program.append("+G")  # the newest is last
    sys.stdout.flush()
    try:
        pager = subprocess.Popen(
            program, stdin=subprocess.PIPE, env={"LESS": LESS} | dict(environ), text=True, encoding="utf-8"
        )
    except OSError:
        return False
    while True:
        try:
            pager.communicate(text)
            return True
        except KeyboardInterrupt:
            continue  # it is for the pager, which decides when it ends
