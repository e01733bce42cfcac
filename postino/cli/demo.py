"""The command demo: a complete postino in a temporary home, which two MCP clients use and which is then removed."""

from __future__ import annotations

import argparse
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

from postino.cli.command import Command
from postino.cli.open import in_browser, signin_url
from postino.cli.story import Story
from postino.daemon import process
from postino.errors import PostinoError
from postino.paths import Home

SHORT = Path("/tmp")  # a socket path has at most about 100 bytes, and TMPDIR may be long
PAUSE_S = 1.2  # time to read a step
END_S = 3.0  # for the daemon to exit after it has stopped serving
INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM)


def demo(command: Command) -> int:
    """Run the demonstration, which takes a few seconds."""
    parser = command.parser(json=False)
    parser.add_argument(
        "--pause",
        type=_pause,
        metavar="S",
        help=f"seconds between two steps (default: {PAUSE_S:g} on a terminal, else 0)",
    )
    parser.add_argument(
        "--open", action="store_true", help="open the page with a made-up mailroom instead; sends nothing"
    )
    args = parser.parse_args(command.argv)
    if args.open:
        return _open_page(command)
    pause = args.pause if args.pause is not None else PAUSE_S if sys.stdout.isatty() else 0.0
    story = Story(command.ink, pause)
    _handle_signals()
    with _temporary_home() as home:
        environ = {name: text for name, text in command.environ.items() if not name.startswith(("POSTINO_", "CLAUDE"))}
        environ |= {"POSTINO_HOME": str(home.root), "POSTINO_WEB_PORT": "0"}
        story.line("you", f"postino up   (in a temporary home, {home.root}; your own postino is not changed)")
        with _daemon(environ, home) as daemon:
            story.line("postino", f"up at {daemon.url}, with its own Valkey, which writes every message to disk")
            from postino.cli.conversation import converse  # imports the MCP SDK, 0.5 s, while the daemon runs

            asyncio.run(converse(story, environ, daemon))
    story.line("you", "postino down   (daemon and Valkey are stopped, the temporary home is removed)")
    sys.stdout.write(TRY)
    return 0


def _open_page(command: Command) -> int:
    """Open the page of this postino with a made-up mailroom, which lives in the browser's tab alone."""
    url = f"{signin_url(command)[0].partition('#')[0]}?demo=1"
    shown = f"opened {url}" if in_browser(url, command.environ) else url
    sys.stdout.write(f"{shown}\n")
    return 0


TRY = """
What you can do now:
  postino up                               start your own, and open the address that it prints
  postino install                          give every Claude Code session a mailbox
  postino config                           print the entry for any other MCP client
  postino send reviewer "Build 812 is green." --from ci
"""


def _pause(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 5:  # longer, and the clients of the demo would give up
        raise argparse.ArgumentTypeError("must be 0 to 5 seconds")
    return seconds


def _handle_signals() -> None:
    """Handle SIGTERM like SIGINT, and SIGINT even if a background shell has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))


@contextlib.contextmanager
def _temporary_home() -> Iterator[Home]:
    folder = tempfile.mkdtemp(prefix="postino-", dir=SHORT if SHORT.is_dir() else None)
    try:
        yield Home(Path(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _daemon(environ: dict[str, str], home: Home) -> Iterator[process.DaemonInfo]:
    from postino.store.valkey.embedded import EmbeddedValkey

    pid = 0
    try:
        with _uninterrupted():  # `stop` could miss a daemon that is about to start
            info = process.start(environ, home)
            pid = info.pid
        yield info
    finally:
        with _uninterrupted():
            with contextlib.suppress(PostinoError):
                process.stop(home)
            asyncio.run(EmbeddedValkey(home).stop())
            _wait_for(pid)


def _wait_for(pid: int) -> None:
    """Wait for the end of the daemon, a child process, which exits a moment after it has stopped serving."""
    until = time.monotonic() + END_S
    with contextlib.suppress(ChildProcessError):
        while pid and os.waitpid(pid, os.WNOHANG)[0] == 0 and time.monotonic() < until:
            time.sleep(0.01)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Defer interruptions to the end of the block. Child processes do not inherit this."""
    received: list[int] = []
    previous = {number: signal.signal(number, lambda found, _: received.append(found)) for number in INTERRUPTIONS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if received:
        raise KeyboardInterrupt
