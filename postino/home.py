"""POSTINO_HOME: which directory it is, and what it must look like. Standard library only, for the relay."""

from __future__ import annotations

import os
import sys

#: longest path an AF_UNIX address holds, less the final NUL: 104 on macOS and BSD, 108 on Linux
SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103
WRITABLE_BY_OTHERS = 0o022


def home_of(setting: str) -> tuple[str, str | None]:
    """Return POSTINO_HOME as an absolute path, created if missing, and why it cannot be used, or None."""
    home = os.path.expanduser(setting)  # noqa: PTH111 - pathlib would cost every relay 2 ms
    if home.startswith("~"):
        allowed = "a directory, at most about 90 characters"
        return home, f"POSTINO_HOME={printable(repr(setting))} is not allowed; it must be {allowed}"
    home = os.path.abspath(home)  # noqa: PTH100
    return home, prepare(home)


def prepare(home: str) -> str | None:
    """Create the directory, mode 0700, or check the one that is there, whose mode stays.

    Return why it cannot be used: its path is too long for a socket, it is no directory, or others own it or may write
    to it. None when it can.
    """
    size = len(os.fsencode(home + "/daemon.sock"))
    if size > SOCKET_PATH_BYTES:
        return (
            f"POSTINO_HOME is too long for a socket: {printable(home)}/daemon.sock has {size} bytes, "
            f"at most {SOCKET_PATH_BYTES} fit; choose a shorter directory"
        )
    try:
        os.makedirs(home, mode=0o700, exist_ok=True)  # noqa: PTH103
        found = os.stat(home)  # noqa: PTH116
    except OSError as error:
        return f"POSTINO_HOME {printable(home)} cannot be used: {error.strerror}"
    if found.st_uid != os.getuid():
        return f"POSTINO_HOME {printable(home)} belongs to uid {found.st_uid}, not to you"
    if found.st_mode & WRITABLE_BY_OTHERS:  # only readable by them is safe: every file in it is private
        return (
            f"POSTINO_HOME {printable(home)} has mode {found.st_mode & 0o7777:04o}, so others could put their files "
            "in place of postino's; take that from them (chmod go-w) or choose another directory"
        )
    return None


def printable(text: str) -> str:
    """Return `text` with a question mark for each character that a terminal or log would not show as it is."""
    return "".join(each if each.isprintable() else "?" for each in text)
