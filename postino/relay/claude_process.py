"""Which Claude process a relay belongs to, and its session's inbox socket. Standard library only.

That is the parent, or one further up where a launcher (uvx, sh) stands between. Variables alone prove nothing:
whatever a session starts inherits them, another client in its shell too.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # see relay.py
if TYPE_CHECKING:
    from typing import Any

SOCKET = "CLAUDE_CODE_MESSAGING_SOCKET"
TOKEN = "CLAUDE_CODE_MESSAGING_TOKEN"
SHELL = "CLAUDE_CODE_CHILD_SESSION"  # set for commands that a session runs, not for its servers
FAR = 8  # generations looked at


def claude() -> dict[str, Any]:
    """Return pid, start, socket and session id of the Claude process this one serves; the parent's pid if of none."""
    parent = os.getppid()
    pid, ours = _owner(parent)
    return {
        "pid": pid,
        "start": started(pid),
        "socket": variable(SOCKET) if ours else None,
        "session_id": variable("CLAUDE_CODE_SESSION_ID") if ours else None,
    }


def _owner(parent: int) -> tuple[int, bool]:
    """Return the Claude process, and whether the variables speak of it."""
    name = os.path.basename(variable(SOCKET) or "")  # noqa: PTH119 - pathlib would cost every tab 2 ms
    named = name.partition(".")[0]
    if named == str(parent):
        return parent, True
    above = [] if SHELL in os.environ else _above(parent)
    if named.isdigit():
        return (int(named), True) if int(named) in above else (parent, False)
    clients = [pid for pid in (parent, *above) if _command(pid) == b"claude"]
    return (clients[0], True) if clients else (parent, SHELL not in os.environ)


def _above(pid: int) -> list[int]:
    """Return the ancestors of a process, the nearest first; none where the system has no /proc."""
    found: list[int] = []
    while len(found) < FAR and (fields := _stat(pid)) and (pid := int(fields[1])) > 1:
        found.append(pid)
    return found


def started(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot: with it a pid that is used again is told apart."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def _stat(pid: int) -> list[bytes]:
    """Return what /proc/PID/stat says behind the command's name."""
    return _raw(pid).rpartition(b")")[2].split()


def _command(pid: int) -> bytes:
    return _raw(pid).partition(b"(")[2].rpartition(b")")[0]


def _raw(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123
            return stat.read()
    except OSError:
        return b""


def variable(name: str) -> str | None:
    """Return a variable as text, whatever bytes it holds; None when it is empty."""
    return os.fsencode(os.environ.get(name, "")).decode(errors="replace") or None
