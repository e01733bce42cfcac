"""What Claude Code must be and have for the plugin to work. Decided from the environment; nothing is changed."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from postino.cli import render
from postino.errors import Unreachable

#: the first whose hooks take `args`; an earlier one would run what it hands to a hook as a script of the shell
OLDEST = (2, 1, 139)
#: the first with an inbox, through which an idle session is woken
WAKES = (2, 1, 224)


def version(said: str) -> tuple[int, ...] | None:
    """Return the version in what `claude --version` prints, None if there is none."""
    found = re.match(r"\s*([0-9]+)\.([0-9]+)\.([0-9]+)", said)
    return tuple(int(each) for each in found.groups()) if found else None


def check_version(said: str) -> None:
    """Raise Unreachable if this client cannot run the plugin's hooks. An unknown version is tried."""
    found = version(said)
    if found is not None and found < OLDEST:
        raise Unreachable(
            f"Claude Code {_dotted(found)} is too old for postino's hooks, which need {_dotted(OLDEST)}; run "
            "`claude update`, then `postino install` again; nothing was changed"
        )


def wakes(said: str) -> bool:
    """Return whether idle sessions of this client can be woken. An unknown version is taken for a new one."""
    found = version(said)
    return found is None or found >= WAKES


def command_option(environ: Mapping[str, str]) -> list[str]:
    """Return what tells the plugin where postino is, if PATH does not; else what takes an earlier path back, if any."""
    script = Path(sys.executable).with_name("postino")
    if in_new_terminals(environ) is None and script.is_file():
        return ["--config", f"command={script}"]
    return ["--config", "command=postino"] if _configured(environ) not in (None, "postino") else []


def in_new_terminals(environ: Mapping[str, str]) -> str | None:
    """Return the `postino` that other terminals find: not in the virtual environment of this shell."""
    own = os.path.normpath(Path(environ.get("VIRTUAL_ENV") or "/nowhere", "bin"))
    folders = environ.get("PATH", os.defpath).split(os.pathsep)
    return shutil.which("postino", path=os.pathsep.join(each for each in folders if os.path.normpath(each) != own))


def settings_file(environ: Mapping[str, str]) -> Path:
    """Return where Claude Code has the settings of its user."""
    folder = environ.get("CLAUDE_CONFIG_DIR") or Path(environ.get("HOME") or Path.home(), ".claude")
    return Path(folder, "settings.json")


def missing(environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for each thing that is not where sessions look for it."""
    found = []
    if in_new_terminals(environ) is None:
        script = Path(sys.executable).with_name("postino")
        link = Path(environ.get("HOME") or Path.home(), ".local/bin/postino")  # of uv and pipx
        folder = link.parent if link.exists() and link.resolve() == script.resolve() else script.parent
        found.append(
            f"`postino` is not on the PATH of new terminals; the plugin uses {render.line(str(script))}. For commands "
            f"of yours and of sessions add {render.line(str(folder))} to PATH"
        )
    if shutil.which("curl", path=environ.get("PATH")) is None:
        found.append("`curl` is not on PATH, and without it no session is told of its mail; install it")
    return found


def _configured(environ: Mapping[str, str]) -> str | None:
    """Return the path of postino that an earlier installation has given to the plugin."""
    try:
        said = json.loads(settings_file(environ).read_bytes())
        return str(said["pluginConfigs"]["postino@postino"]["options"]["command"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _dotted(found: tuple[int, ...]) -> str:
    return ".".join(str(each) for each in found)
