"""Homes with an embedded Valkey, and what runs in them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from postino.paths import Home
from postino.store.valkey.admin import Reply, ask
from tests.waiting import until

#: starts the server of the home in argv[1], says so, then waits to be told to end
STARTER = """
import asyncio, sys
from pathlib import Path
from postino.paths import Home
from postino.store.valkey.embedded import EmbeddedValkey
server = EmbeddedValkey(Home(Path(sys.argv[1])))
print("ready", flush=True)
sys.stdin.readline()
print(asyncio.run(server.{method}()), flush=True)
sys.stdin.readline()
"""


def servers(home: Home) -> list[int]:
    """Every process that works in the home's data directory, however it came there."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "cwd").samefile(home.data):
                found.append(int(entry.name))
    return found


def failing_server(home: Home, command: str) -> Path:
    script = home.root / "valkey-server"
    script.write_text(f"#!/bin/sh\n{command}\nexit 127\n")
    script.chmod(0o755)
    return script


async def said(home: Home, *command: str) -> Reply:
    return (await ask(home.valkey_socket, command, seconds=2.0))[0]


@asynccontextmanager
async def scratch(parent: str | bytes = "/tmp") -> AsyncIterator[Home]:
    home = Home(Path(os.fsdecode(tempfile.mkdtemp(prefix=b"po", dir=os.fsencode(parent)))))
    try:
        yield home
    finally:
        for pid in servers(home) if home.data.exists() else []:
            os.kill(pid, signal.SIGKILL)
        until(lambda: not home.data.exists() or not servers(home))
        shutil.rmtree(home.root)


def go(*processes: subprocess.Popen[str]) -> list[str]:
    """Let all start at once; return what their calls returned."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return [line_of(process) for process in processes]


def line_of(process: subprocess.Popen[str]) -> str:
    """Return the result a starter printed, without the log lines before it."""
    assert process.stdout is not None
    for line in process.stdout:
        if "[" not in line:
            return line.strip()
    raise AssertionError("the starter died")
