"""Who listens on the port that a daemon did not get, as far as that is to be known without any secret."""

from __future__ import annotations

import os

from postino.cli import render
from postino.daemon.info import read_info
from postino.errors import PostinoError
from postino.home import SOCKET
from postino.json_text import loads
from postino.paths import Home
from postino.transport import Transport

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Iterator

LISTENS = 0x10000  # SO_ACCEPTCON among the flags in /proc/net/unix
ASK_S = 0.5
REFUSAL = {"ok", "code", "error", "retryable"}  # what postino says to the user of another one
HEALTH = {"ok", "durability", "version"}


def described(port: str) -> tuple[str, str]:
    """Return in words who listens on a port of this machine, and what can be done about it.

    A postino of this user is found by its unix socket, which Linux lists for everybody, and by its daemon.json; any
    other by what it answers, to a call that tells it nothing.
    """
    for home in _homes():
        info = read_info(home)
        if info is not None and (info.url or "").rpartition(":")[2] == port:
            folder = render.line(home.folder)
            use = f"POSTINO_HOME={folder} uses that one, POSTINO_WEB_PORT gives this one another port"
            return f"the postino of {folder} (process {info.pid})", use
    if _answers_as_postino(port):
        return (
            "another postino",
            "POSTINO_HOME with the home of that one uses it, POSTINO_WEB_PORT gives this one another port",
        )
    return "another program", "end that program, then `postino down && postino up`; or set POSTINO_WEB_PORT"


def _homes() -> Iterator[Home]:
    """Yield the homes of this user in which somebody listens; none where the system does not list them."""
    try:
        with open("/proc/net/unix", errors="surrogateescape") as file:  # noqa: PTH123 - as in daemon/info.py
            rows = [line.rstrip("\n").split(maxsplit=7) for line in file][1:]
    except OSError:
        return
    for row in rows:
        folder, name = os.path.split(row[7]) if len(row) == 8 else ("", "")
        if name == SOCKET and folder.startswith("/") and int(row[3], 16) & LISTENS and _is_own(folder):
            yield Home(folder)


def _is_own(folder: str) -> bool:
    try:
        return os.stat(folder).st_uid == os.geteuid()  # noqa: PTH116
    except OSError:
        return False


def _answers_as_postino(port: str) -> bool:
    try:
        transport = Transport(f"http://127.0.0.1:{int(port)}")
        body = transport.exchange("GET", "/api/health", None, {"Connection": "close"}, ASK_S).body
        found = loads(body)
    except (PostinoError, ValueError):
        return False
    return isinstance(found, dict) and (found.keys() >= REFUSAL or found.keys() >= HEALTH)
