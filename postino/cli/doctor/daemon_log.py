"""What the log of a daemon that runs no more ends with."""

from __future__ import annotations

import json
import re
from pathlib import Path

from postino.home import printable

TAIL = 1 << 16  # bytes at the end of the log that are looked at
LONGEST = 500  # characters of an error that are quoted
ENDS = frozenset({"serving", "stopping", "stopped"})  # after a start that succeeded, or as it was told to

_CONSOLE = re.compile(r"\S+ \[(\w+) *\] (\S+)")


def last_error(log: Path) -> str:
    """Return on one line the error at the end of a log, "" if it is older than the last start that succeeded."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        if not line.strip():
            continue
        level, event, text = _parsed(line)
        if event in ENDS:
            return ""
        if level == "error":
            return printable(text[:LONGEST])
    return ""


def _parsed(line: str) -> tuple[str, str, str]:
    """Return level, event and text. What is no event is an error: the sentence of a failed start, or a traceback."""
    if found := _CONSOLE.match(line):
        return found[1], found[2], line
    try:
        said = json.loads(line)
    except ValueError:
        return "error", "", line.strip().removeprefix("postino: ")
    if not isinstance(said, dict):
        return "error", "", line.strip()
    level = "error" if said.get("level") == "critical" else str(said.get("level"))
    return level, str(said.get("event")), line
