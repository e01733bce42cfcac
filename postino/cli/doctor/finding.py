"""What `postino doctor` found out about one link of the chain."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import Literal

from postino.cli.command import Command
from postino.cli.program import finished

VERSION_S = 20.0  # for `--version` of a program

Level = Literal["ok", "note", "wrong", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `code` is stable; `text` is for people; `fix` says what to do, "" if there is nothing."""

    check: str
    level: Level
    code: str
    text: str
    fix: str = ""


def ok(check: str, text: str) -> Finding:
    """Return that this link holds."""
    return Finding(check, "ok", "ok", text)


def note(check: str, code: str, text: str, fix: str = "") -> Finding:
    """Return what is worth knowing and no fault."""
    return Finding(check, "note", code, text, fix)


def wrong(check: str, code: str, text: str, fix: str = "") -> Finding:
    """Return a fault."""
    return Finding(check, "wrong", code, text, fix)


def skipped(check: str, text: str) -> Finding:
    """Return that this link was not tried, and why."""
    return Finding(check, "skipped", "skipped", text)


def version_line(command: Command, program: str) -> str:
    """Return the first line that a program prints for `--version`, "" if it prints none or fails."""
    try:
        done = finished([program, "--version"], command.environ, VERSION_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout.strip().splitlines() or [""])[0]
