"""POSTINO_HOME: resolve, create and check the directory. Standard library only: the relay imports this."""

from __future__ import annotations

import os
import stat
import sys

TYPE_CHECKING = False  # of typing, whose import would cost 4 ms and 0.6 MB
if TYPE_CHECKING:
    from collections.abc import Mapping

SOCKET = "daemon.sock"  # in the home, on which the daemon listens
#: longest path of an AF_UNIX address without the final NUL: the field has 104 bytes on macOS and BSD, 108 on Linux
SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103
WRITABLE_BY_OTHERS = 0o022
OPEN_TO_OTHERS = 0o077
#: the variables that are read: those of postino, and that in which Claude Code hands over the plugin's option
VARIABLES = ("POSTINO_", "CLAUDE_PLUGIN_OPTION_AGENT_NAME")


def is_placeholder(value: str) -> bool:
    """Return whether a value is a placeholder such as `${POSTINO_HOME:-}`, which the client should have expanded.

    Clients differ in what they expand. Such a value counts as unset: as a directory it would split the mail.
    """
    return value.startswith("${") and "}" in value


def placeholders(environ: Mapping[str, str]) -> list[str]:
    """Return the variables of postino that hold a placeholder, sorted."""
    return sorted(name for name, value in environ.items() if name.startswith(VARIABLES) and is_placeholder(value))


def home_of(setting: str) -> tuple[str, str | None]:
    """Return POSTINO_HOME as an absolute path, created if missing, and the reason why it cannot be used, or None."""
    home = os.path.expanduser(setting)  # noqa: PTH111 - importing pathlib costs every relay 2 ms
    if not os.path.isabs(home):  # noqa: PTH117 - a path that depends on the working directory would split the mail
        allowed = "an absolute path, also one that begins with ~/; at most about 90 characters"
        return home, f"POSTINO_HOME={printable(repr(setting))} is not allowed; it must be {allowed}"
    home = os.path.abspath(home)  # noqa: PTH100
    return home, prepare(home)


def prepare(home: str) -> str | None:
    """Create the directory with mode 0700, or check the existing one and give it that mode.

    Return None, or the reason why it cannot be used: its path is too long for a socket, it is not a directory, another
    user owns it or others can write to it.
    """
    refusal = too_long(home)
    if refusal is not None:
        return refusal
    try:
        os.makedirs(home, mode=0o700, exist_ok=True)  # noqa: PTH103
    except FileExistsError:  # something else has that name
        return _no_directory(home)
    except OSError as error:
        return f"POSTINO_HOME {printable(home)} cannot be used: {error.strerror}"
    return secure(home)


def too_long(home: str) -> str | None:
    """Return the reason why the path leaves no room for the daemon's socket, or None."""
    size = len(os.fsencode(f"{home}/{SOCKET}"))
    if size <= SOCKET_PATH_BYTES:
        return None
    return (
        f"POSTINO_HOME is too long for a socket: {printable(home)}/{SOCKET} has {size} bytes, "
        f"at most {SOCKET_PATH_BYTES} are possible; choose a shorter path"
    )


def secure(home: str) -> str | None:
    """Check an existing directory and take from others the right to look into it; return as `check` does."""
    refusal = check(home)
    if refusal is None and os.stat(home).st_mode & OPEN_TO_OTHERS:  # noqa: PTH116
        try:
            os.chmod(home, 0o700)  # noqa: PTH101
        except OSError as error:
            return f"POSTINO_HOME {printable(home)} cannot be given the mode 0700: {error.strerror}"
    return refusal


def check(home: str) -> str | None:
    """Return the reason why an existing directory must not be used as a home, or None.

    Another user who owns it, or can write to it, could receive what is sent to its socket and answer in its name.
    """
    try:
        found = os.stat(home)  # noqa: PTH116
    except OSError as error:
        return f"POSTINO_HOME {printable(home)} cannot be used: {error.strerror}"
    if not stat.S_ISDIR(found.st_mode):
        return _no_directory(home)
    if found.st_uid != os.getuid():
        return f"POSTINO_HOME {printable(home)} belongs to uid {found.st_uid}, not to you; choose another directory"
    if found.st_mode & WRITABLE_BY_OTHERS:  # others may have put files into it, so that its mode is not just mended
        return (
            f"POSTINO_HOME {printable(home)} has mode {found.st_mode & 0o7777:04o}, so other users could replace "
            "its files; look into it and run chmod 700 on it, or choose another directory"
        )
    return None


def _no_directory(home: str) -> str:
    return f"POSTINO_HOME {printable(home)} is not a directory; choose another path"


def printable(text: str) -> str:
    """Return `text` with a question mark in place of each character that is not printable."""
    return "".join(each if each.isprintable() else "?" for each in text)
