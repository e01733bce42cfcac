"""The command logs."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from postino.cli import render, terminal
from postino.cli.command import Command

PAUSE_S = 0.2  # between two looks for new lines
HEAD = ("timestamp", "level", "event", "exception")  # fields that have a place of their own
STYLES = {"warning": ("yellow",), "error": ("red",), "critical": ("red",)}
MOST = 1 << 22  # bytes of the end of the log that are looked at


def logs(command: Command) -> int:
    """Print the end of the daemon's log, and with --follow what is added to it."""
    parser = command.parser(json=False)
    parser.add_argument("--lines", type=int, default=50, metavar="N", help="the last N lines (default: 50)")
    parser.add_argument("--follow", action="store_true", help="go on until interrupted")
    args = parser.parse_args(command.argv)
    log = command.settings.home.log
    lines, place = _last(log, max(0, args.lines))
    text = "".join(_shown(each, command) for each in lines)
    if not args.follow:
        terminal.show(
            text or f"{log} has no lines yet; `postino up` starts the daemon that writes it\n", command.environ
        )
        return 0
    sys.stdout.write(text)
    sys.stdout.flush()
    try:
        for each in _added(log, *place):
            sys.stdout.write(_shown(each, command))
            sys.stdout.flush()
    except KeyboardInterrupt:
        pass  # the way to end it
    return 0


def _shown(text: str, command: Command) -> str:
    """Return a line of the log as it stands; on a terminal what is JSON for a person: time, level, event, fields."""
    try:
        found: Any = json.loads(text) if sys.stdout.isatty() else None
        when = datetime.fromisoformat(found["timestamp"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        level, event = str(found["level"]), str(found["event"])
    except (ValueError, TypeError, KeyError):  # it is no JSON, or not an entry of the daemon's
        return f"{render.line(text)}\n"
    rest = "  ".join(f"{render.line(key)} {render.line(value)}" for key, value in found.items() if key not in HEAD)
    head = [command.ink(when, "dim"), command.ink(f"{render.line(level):<7}", *STYLES.get(level, ()))]
    line = "  ".join([*head, command.ink(render.line(event), "bold"), rest]).rstrip()
    trace = render.block(str(found["exception"]), width=command.width) if "exception" in found else ""
    return f"{line}\n{trace}"


def _last(log: Path, lines: int) -> tuple[list[str], tuple[int, int]]:
    """Return the last lines, and the file and the place in it where they end."""
    try:
        with log.open("rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            file.seek(max(0, os.fstat(file.fileno()).st_size - MOST))
            data = file.read()
            place = file.tell()
    except FileNotFoundError:
        return [], (0, 0)
    found = data.decode(errors="replace").split("\n")
    begun = found.pop()  # a line that is still being written, or nothing
    return found[-lines:] if lines else [], (inode, place - len(begun.encode()))


def _added(log: Path, inode: int, place: int) -> Iterator[str]:
    """Yield the lines that are written after a place, also to a file that replaces this one."""
    rest = b""
    while True:
        now, size = _state(log)
        if now != inode or size < place:
            inode, place, rest = now, 0, b""
        if size > place:
            with log.open("rb") as file:
                file.seek(place)
                new = file.read()
            place += len(new)
            *whole, rest = (rest + new).split(b"\n")
            yield from (each.decode(errors="replace") for each in whole)
        time.sleep(PAUSE_S)


def _state(log: Path) -> tuple[int, int]:
    try:
        found = log.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_ino, found.st_size
