"""A daemon of another version than the command that talks to it."""

from __future__ import annotations

import sys

from postino import __version__
from postino.cli import render
from postino.daemon.info import DaemonInfo, read_info
from postino.versions import is_older

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from postino.paths import Home


def sentence(version: str) -> str | None:
    """Return what to say about a daemon of this version; None if it is that of the command."""
    if version == __version__:
        return None
    found = f"the daemon is version {render.line(version)}"
    if is_older(version, __version__):
        return f"{found}, older than this command ({__version__}): `postino up` replaces it"
    return f"{found}, newer than this command ({__version__}): install that version here, too"


def warn(home: Home) -> None:
    """Say on stderr if the daemon that serves `home` is of another version."""
    info = read_info(home)
    if info is not None and (said := sentence(info.version)):
        sys.stderr.write(f"postino: {said}\n")


def stop_older(home: Home) -> DaemonInfo | None:
    """Stop a daemon of an older version; return what it was, None if there is none.

    Raises:
        Unreachable: it does not end.
    """
    from postino.daemon import process

    info = read_info(home)
    if info is None or not is_older(info.version, __version__) or not process.stop(home):
        return None
    return info
