"""demo: a whole postino in a scratch home, with two MCP clients that talk through it, and nothing left afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from postino.cli import render
from postino.cli.call import Call
from postino.cli.story import Story
from postino.daemon import process
from postino.errors import PostinoError
from postino.paths import Home

SHORT = Path("/tmp")  # socket paths are limited to about 100 bytes, and TMPDIR may be long

INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM)


def demo(call: Call) -> int:
    """Run it; takes a few seconds."""
    call.parser(json=False).parse_args(call.argv)
    story = Story(render.Ink(call.colour))
    _clean_up_when_terminated()
    with _scratch() as home:
        environ = {name: text for name, text in call.environ.items() if not name.startswith(("POSTINO_", "CLAUDE"))}
        environ |= {"POSTINO_HOME": str(home.root), "POSTINO_WEB_PORT": "0"}
        story.tell("you", f"postino up   (a scratch home, {home.root}; your own postino is not touched)")
        with _running(environ, home) as running:
            story.tell("postino", f"up at {running.url}, with a Valkey of its own that writes every message to disk")
            from postino.cli.conversation import converse  # half a second for the MCP SDK: only when there is a stage

            asyncio.run(converse(story, environ, running))
    story.tell("you", "postino down   (daemon and Valkey are stopped, the scratch home is gone)")
    sys.stdout.write(TRY)
    return 0


TRY = """
Now your own: `postino up`, and `postino config` for the entry that any MCP client takes.
"""


def _clean_up_when_terminated() -> None:
    """Make SIGTERM what SIGINT is, also where a shell in the background had the latter ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))


@contextlib.contextmanager
def _scratch() -> Iterator[Home]:
    folder = tempfile.mkdtemp(prefix="postino-", dir=SHORT if SHORT.is_dir() else None)
    try:
        yield Home(Path(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _running(environ: dict[str, str], home: Home) -> Iterator[process.Running]:
    from postino.store.valkey.embedded import EmbeddedValkey

    pid = 0
    try:
        with _not_now():  # a daemon that is only just coming up could not be told to stop
            running = process.start(environ, home)
            pid = running.pid
        yield running
    finally:
        with _not_now():
            with contextlib.suppress(PostinoError):
                process.stop(home)
            asyncio.run(EmbeddedValkey(home).stop())
            _wait_for(pid)


def _wait_for(pid: int, seconds: float = 3.0) -> None:
    """Wait until the daemon, our child, is gone altogether: it has stopped serving a moment before it ends."""
    until = time.monotonic() + seconds
    with contextlib.suppress(ChildProcessError):
        while pid and os.waitpid(pid, os.WNOHANG)[0] == 0 and time.monotonic() < until:
            time.sleep(0.01)


@contextlib.contextmanager
def _not_now() -> Iterator[None]:
    """Let an interruption wait until the block is done; a child does not inherit that."""
    came: list[int] = []
    kept = {number: signal.signal(number, lambda found, _: came.append(found)) for number in INTERRUPTIONS}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt
