"""Find the Claude process that a relay belongs to, and its session's inbox socket. Standard library only.

It is the parent, or an ancestor where a launcher (uvx, sh) stands between. Environment variables alone prove nothing:
every command that a session starts inherits them, another client in its shell too.
"""

from __future__ import annotations

import os

from postino.home import is_placeholder

TYPE_CHECKING = False  # as in main.py
if TYPE_CHECKING:
    from typing import Any

SOCKET = "CLAUDE_CODE_MESSAGING_SOCKET"
TOKEN = "CLAUDE_CODE_MESSAGING_TOKEN"
CONFIG = "CLAUDE_CONFIG_DIR"
SESSION = "CLAUDE_CODE_SESSION_ID"
PID = "CLAUDE_PID"  # set for hooks and for the commands that a session runs, since 2.1.224
TEAMS = "CLAUDE_CODE_EXPERIMENTAL_AGENT_TEAMS"  # always set for a teammate that has a process of its own
IN_SHELL = "CLAUDE_CODE_CHILD_SESSION"  # set for the commands that a session runs, not for its MCP servers
MAX_ANCESTORS = 8
TERMINAL_CHARACTERS = 8  # of a terminal's session id; they are enough to tell terminals apart
_NAME_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


def claude_process() -> dict[str, Any]:
    """Return pid, start time, inbox socket and session id of the Claude process.

    Where there is none: the parent's pid and start time, None for the rest.
    """
    parent = os.getppid()
    pid, ours = _owner(parent)
    return {
        "pid": pid,
        "start": start_time(pid),
        "socket": variable(SOCKET) if ours else None,
        "session_id": variable(SESSION) if ours else None,
    }


def _owner(parent: int) -> tuple[int, bool]:
    """Return the Claude process, and whether the environment variables are its own."""
    file = os.path.basename(variable(SOCKET) or "")  # noqa: PTH119 - pathlib would cost every relay 2 ms
    owner = file.partition(".")[0]  # the client names the socket after its pid
    if owner == str(parent):
        return parent, True
    above = [] if IN_SHELL in os.environ else ancestors(parent)
    if owner.isdigit():
        return (int(owner), True) if int(owner) in above else (parent, False)
    clients = [pid for pid in (parent, *above) if _command(pid) == b"claude"]
    return (clients[0], True) if clients else (parent, IN_SHELL not in os.environ)


def ancestors(pid: int, most: int = MAX_ANCESTORS) -> list[int]:
    """Return up to `most` ancestors of a process, the nearest first; none on a system without /proc."""
    found: list[int] = []
    while len(found) < most and (fields := _stat_fields(pid)) and (pid := int(fields[1])) > 1:
        found.append(pid)
    return found


def start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot: it tells processes apart that had the same pid."""
    fields = _stat_fields(pid)
    return int(fields[19]) if fields else None


def started(pid: int) -> str | None:
    """Return the same as text, as the store has it; None for pid 0, which stands for an unknown one."""
    start = start_time(pid) if pid else None
    return None if start is None else str(start)


def _stat_fields(pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat after the command's name, which may hold spaces and parentheses."""
    return _stat(pid).rpartition(b")")[2].split()


def _command(pid: int) -> bytes:
    return _stat(pid).partition(b"(")[2].rpartition(b")")[0]


def _stat(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123
            return stat.read()
    except OSError:
        return b""


def explicit_name(claude_pid: int) -> str | None:
    """Return the agent's name that the user gave; None without one.

    A teammate in a process of its own (a pane) has inherited the name of its team's lead, whose mail is not for it: for
    NAME it gets `NAME.TEAMMATE`, with hyphens for what a name may not hold. plugin/scripts/hook.sh does the same.
    """
    name = variable("POSTINO_AGENT_NAME") or variable("CLAUDE_PLUGIN_OPTION_AGENT_NAME")
    if name is None or TEAMS not in os.environ:
        return name
    words = _arguments(claude_pid)
    teammate = words[words.index(b"--agent-name") + 1 :][:1] if b"--agent-name" in words else []
    return f"{name[:31]}.{_in_names(teammate[0])[:32]}" if teammate else name


def _in_names(text: bytes) -> str:
    """Return a text with a hyphen for each byte that no agent's name may hold."""
    return "".join(chr(each) if chr(each) in _NAME_CHARACTERS else "-" for each in text)


def _arguments(pid: int) -> list[bytes]:
    """Return the words of a process's command line; where there is no /proc, one with spaces is several words."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as words:  # noqa: PTH123
            return words.read().split(b"\0")
    except OSError:
        import subprocess  # few relays need it

        try:
            listed = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, timeout=1, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return []
        return listed.stdout.split()


def variable(name: str) -> str | None:
    """Return an environment variable, with undecodable bytes replaced; None when it is empty or a placeholder."""
    value = os.fsencode(os.environ.get(name, "")).decode(errors="replace")
    return None if is_placeholder(value) else value or None


def terminal_suffix(terminal: str) -> str | None:
    """Return the end of a terminal's session id, from which an agent's name may be made."""
    return "".join(each for each in terminal[-TERMINAL_CHARACTERS:] if each in _NAME_CHARACTERS) or None
