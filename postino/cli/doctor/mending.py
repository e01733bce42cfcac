"""What `postino doctor --fix` does about a fault: only what loses nothing and can be repeated or taken back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from postino.cli import skew
from postino.cli.command import Command, sentence
from postino.cli.doctor.finding import Finding
from postino.cli.program import finished
from postino.daemon import process
from postino.errors import BadRequest, PostinoError
from postino.home import WRITABLE_BY_OTHERS

MEND_S = 120.0  # for one command of postino


@dataclass(frozen=True, slots=True)
class Mend:
    """What was done about a fault, and whether that succeeded."""

    check: str
    code: str
    ok: bool
    text: str


def mend(found: Finding, command: Command) -> Mend | None:
    """Mend a fault; return what was done, None if it is one that only its user can decide about."""
    action = ACTIONS.get(found.code)
    if action is None:
        return None
    try:
        done = _postino(command, *action) if isinstance(action, tuple) else action(command)
    except (PostinoError, OSError, subprocess.TimeoutExpired) as error:
        return Mend(found.check, found.code, False, sentence(error))
    return None if done is None else Mend(found.check, found.code, True, done)


def _close_home(command: Command) -> str | None:
    """Take every right from others, if the home is ours and that is all that is wrong."""
    root = command.settings.home.root
    if not root.is_dir():
        return None
    state = root.stat()
    if state.st_uid != os.getuid() or not state.st_mode & WRITABLE_BY_OTHERS:
        return None
    root.chmod(0o700)
    return f"chmod 700 {root}"


def _replace(command: Command) -> str:
    _check_settings(command)
    return _postino(command, "up")


def _restart(command: Command) -> str:
    """End what does not answer; its mail is on disk."""
    _check_settings(command)
    process.stop(command.settings.home)
    _postino(command, "down")
    _postino(command, "up")
    return "postino down && postino up"


def _check_settings(command: Command) -> None:
    """Raise BadRequest if the daemon has a setting, such as its time to live, that one of this shell would not have."""
    home = command.settings.home
    if home.service.exists() or (info := process.read_info(home)) is None:
        return  # the service's file has them; or it never served
    if differ := skew.different(info.settings, skew.settings_here(command.settings)):
        raise BadRequest(
            f"left alone: the daemon has another {', '.join(differ)} than this shell; set that here, or run "
            "`postino down && postino up` to do without it"
        )


def _postino(command: Command, *words: str) -> str:
    done = finished([sys.executable, "-m", "postino", *words], command.environ, MEND_S)
    if done.returncode:
        raise OSError(done.returncode, f"`postino {' '.join(words)}` failed: {done.stderr.strip()}")
    return f"postino {' '.join(words)}"


#: code of a fault -> what mends it, or the words of the command that does
ACTIONS: dict[str, Callable[[Command], str | None] | tuple[str, ...]] = {
    "home_refused": _close_home,
    "daemon_down": ("up",),
    "daemon_older": _replace,
    "daemon_silent": _restart,
    "plugin_missing": ("install",),
    "plugin_version": ("install",),
    "server_failed": ("install",),
    "service_outside": ("service", "install"),
    "service_outdated": ("service", "install"),
}
