"""Links that need no daemon: Python, PATH, the home and its disk, and the clients' entries."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from postino import __version__
from postino.cli.client_files import Record
from postino.cli.client_setups import SETUPS
from postino.cli.command import Command, sentence
from postino.cli.doctor.finding import Finding, note, ok, skipped, version_line, wrong
from postino.errors import PostinoError
from postino.home import OPEN_TO_OTHERS, secure, too_long

LEAST_DISK = 100 << 20  # bytes


def python() -> Finding:
    """Return which Python runs this command."""
    return ok("python", f"{platform.python_version()} at {sys.executable}")


def path(command: Command) -> Finding:
    """Check that `postino` is on PATH, by which plugin and hooks start it, in the version of this command."""
    found = shutil.which("postino", path=command.environ.get("PATH"))
    if found is None:
        return wrong(
            "path",
            "not_on_path",
            "postino is not on PATH, and plugin and hooks run it by that name",
            f"add {Path(sys.executable).parent} to PATH",
        )
    said = version_line(command, found)
    if said != f"postino {__version__}":
        return wrong(
            "path",
            "other_on_path",
            f"{found} is not this installation: its --version says {said or 'nothing'}, this one is {__version__}",
            "remove one of the two, or put the other first on PATH",
        )
    return ok("path", found)


def home(command: Command) -> Finding:
    """Check path, owner and mode of the home, and mend the mode as every command does. It is not created."""
    root = command.settings.home.root
    if (refusal := too_long(str(root))) is not None:
        return wrong("home", "home_refused", refusal)
    if not root.exists():
        return note("home", "home_missing", f"{root} does not exist yet", "`postino up` makes it")
    mode = root.stat().st_mode & 0o7777
    refusal = secure(str(root))
    if refusal is not None:
        return wrong("home", "home_refused", refusal)
    if mode & OPEN_TO_OTHERS:
        return note("home", "home_open", f"{root} had mode {mode:04o}: others could look into it", "it has 0700 now")
    return ok("home", f"{root}, yours, mode {mode:04o}")


def disk(command: Command) -> Finding:
    """Check that there is room where the embedded store and the log are written."""
    root = command.settings.home.root
    if not root.exists():
        return skipped("disk", "there is no home yet")
    free = shutil.disk_usage(root).free
    text = f"{free >> 20} MiB free at {root}"
    if free < LEAST_DISK:
        return wrong("disk", "disk_full", text, f"free some: at least {LEAST_DISK >> 20} MiB should be there")
    return ok("disk", text)


def clients(command: Command) -> Iterator[Finding]:
    """Check the entry of each client other than Claude Code."""
    for name in SETUPS:
        yield _client(command, name)


def _client(command: Command, name: str) -> Finding:
    setup = SETUPS[name]
    found = shutil.which(setup.program, path=command.environ.get("PATH"))
    try:
        made = Record(command.settings.home).made(name)
        if made is None and found is None:
            return skipped(name, "not on PATH")
        if made is None:
            return note(name, "entry_missing", "on PATH, without postino", f"`postino install --client {name}`")
        removal, _ = setup.edits(None, made, command.environ)
    except (PostinoError, OSError, ValueError) as error:
        return wrong(name, "entry_unreadable", sentence(error))
    if all(each.before == each.after for each in removal):
        return wrong(name, "entry_gone", "its entry has been taken out", f"`postino install --client {name}`")
    if found is None:
        return note(name, "client_missing", "its entry is there, but it is not on PATH")
    return ok(name, f"{found}, entry installed")
