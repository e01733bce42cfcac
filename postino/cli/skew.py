"""A daemon of another version, or with other settings, than the command that talks to it."""

from __future__ import annotations

import os
import sys

from postino import __version__, home_store
from postino.cli import render
from postino.config import FLAGS, Settings, comparable, in_effect
from postino.daemon.info import DaemonInfo, read_info
from postino.light import asdict
from postino.versions import is_older

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from typing import Any

    from postino.paths import Home


def sentence(version: str) -> str | None:
    """Return what to say about a daemon of this version; None if it is that of the command."""
    if version == __version__:
        return None
    found = f"the daemon is version {render.line(version)}"
    if is_older(version, __version__):
        return f"{found}, older than this command ({__version__}): `postino up` replaces it"
    return f"{found}, newer than this command ({__version__}): install that version here, too"


def outdated(info: DaemonInfo) -> str | None:
    """Return what to say about a daemon of this version that began before postino was installed here as it is now.

    Two states of a checkout mostly have the same version. A few hundred calls of stat, 2 ms.
    """
    if info.version != __version__ or not _changed_after(os.path.dirname(home_store.__file__), info.started):  # noqa: PTH120
        return None
    return "postino's files here have changed since the daemon started: `postino down && postino up` runs them"


def _changed_after(folder: str, moment: float) -> bool:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name == "__pycache__":
                continue
            if _changed_after(entry.path, moment) if entry.is_dir() else entry.stat().st_mtime > moment:
                return True
    return False


def settings_here(settings: Settings) -> dict[str, str]:
    """Return the settings by variable that a daemon would have which this shell starts."""
    return comparable(in_effect(settings, home_store.read(settings.home)))


def as_data(info: DaemonInfo) -> dict[str, Any]:
    """Return what a daemon says of itself, for `--json`: a setting that is true or false is no text."""
    settings = {name: value == "True" if name in FLAGS else value for name, value in info.settings.items()}
    return asdict(info) | {"settings": settings}


def different(theirs: dict[str, str], ours: dict[str, str]) -> list[str]:
    """Return the variables in which a daemon differs from this shell. Two different secrets are not noticed."""
    return [variable for variable, value in ours.items() if theirs.get(variable, value) != value]


def moved(url: str | None, settings: dict[str, str]) -> tuple[str, str] | None:
    """Return what to say about a daemon that listens on another port than its POSTINO_WEB_PORT, and what to do."""
    wanted, port = settings.get("POSTINO_WEB_PORT", "0"), (url or "").rpartition(":")[2]
    if not port or wanted in ("0", port):
        return None
    from postino.cli import port_holder  # seldom needed

    who, advice = port_holder.described(wanted)
    own = "postino" if who == "another program" else "this one"
    return f"{who} uses port {render.line(wanted)}; {own} listens on {render.line(port)}", advice


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
