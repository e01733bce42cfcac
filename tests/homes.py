"""Scratch homes: made where no other program's writes hold up an fsync, removed with what serves them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from postino.paths import Home

MEMORY, ROOM = "/dev/shm", 2 << 30  # bytes; a run writes a few hundred MB


@cache
def place() -> str:
    """Return a directory in memory where there is room: a disk that stands still for a second fails no test there."""
    with contextlib.suppress(OSError):
        if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
            return MEMORY
    return "/tmp"


def scratch() -> Path:
    """Make a folder whose path is short enough for a socket in it."""
    return Path(tempfile.mkdtemp(prefix="po", dir=place()))


@contextlib.contextmanager
def scratch_home() -> Iterator[Home]:
    """Give an empty POSTINO_HOME; the daemon and the Valkey left in it are killed."""
    home = Home(scratch())
    try:
        yield home
    finally:
        kill_servers(home)
        shutil.rmtree(home.root, ignore_errors=True)


def kill_servers(home: Home) -> None:
    """Kill the daemon and the Valkey that a home names, if they are its own."""
    for file in (home.info, home.data / "valkey.pid"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            text = file.read_text()
            pid = int(json.loads(text)["pid"]) if file == home.info else int(text)
            if home.root.name in Path(f"/proc/{pid}/environ").read_text() + Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(pid, signal.SIGKILL)
