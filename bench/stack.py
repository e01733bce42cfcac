"""The daemon that is measured, in a scratch home, and the bare aiohttp handler that it is compared with."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

STARTS = 3

_BARE = """
import sys
from aiohttp import web

async def answer(request):
    await request.read()
    return web.Response(body=b'{"ok":true}', content_type="application/json")

app = web.Application()
app.router.add_post("/api/messages", answer)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
"""


@dataclass(frozen=True, slots=True)
class Stack:
    """The TCP port, the home and the process of a running daemon."""

    port: int
    home: Path
    pid: int

    @property
    def valkey(self) -> str:
        """The socket of the embedded Valkey."""
        return str(self.home / "valkey.sock")


def environment(home: Path, **extra: str) -> dict[str, str]:
    """Return the environment of a daemon in `home`."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("POSTINO_", "CLAUDE"))}
    unguarded = {"POSTINO_SEND_RATE": "0", "POSTINO_PAIR_RATE": "0"}  # few agents send as fast as they can
    return plain | {"POSTINO_HOME": str(home), "POSTINO_WEB_PORT": "0"} | unguarded | extra


@contextlib.contextmanager
def daemon(**extra: str) -> Iterator[Stack]:
    """Start a daemon with `postino up` in a scratch home; stop it and remove the home at the end."""
    home = Path(tempfile.mkdtemp(prefix="po", dir="/tmp"))
    env = environment(home, **extra)
    command = [sys.executable, "-m", "postino"]
    try:
        for tries in range(STARTS):  # on a machine that does much else a start may take longer than `up` waits
            done = subprocess.run([*command, "up"], env=env, check=tries == STARTS - 1, stdout=subprocess.DEVNULL)
            if done.returncode == 0:
                break
        info = json.loads((home / "daemon.json").read_text())
        yield Stack(int(info["url"].rsplit(":", 1)[1].rstrip("/")), home, info["pid"])
    finally:
        subprocess.run([*command, "down"], env=env, check=False, stdout=subprocess.DEVNULL)
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def bare_handler() -> Iterator[int]:
    """Run an aiohttp handler that reads its request and answers; yield its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", _BARE, str(port)])
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()
