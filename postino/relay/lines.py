"""The lines between relay and daemon, and what a relay says of itself first. Standard library only.

Each line is one JSON object of at most LINE_LIMIT bytes. One that begins with CONTROL is meant for the relay or
the daemon itself; every other is a JSON-RPC frame and passes as it is.
"""

from __future__ import annotations

import json
import os
import re

from postino import __version__
from postino.relay.claude_process import claude, variable

TYPE_CHECKING = False  # see relay.py
if TYPE_CHECKING:
    from typing import Any

CONTROL = b'{"postino":'
LINE_LIMIT = 1 << 20  # bytes; the largest allowed send, every character escaped, has under 400 KB
DEPTH = 100  # levels of arrays and objects; ten would do, some 970 is what json reads
EDGE = 512  # bytes kept of either end of a longer line
WITH_ID = ("msg_send", "msg_broadcast")  # tools whose repetition is safe under the same argument `id`
LOOKING = ("msg_check", "msg_list_agents", "msg_whoami")  # tools that change nothing

# JSON ends with the brace of the outermost object, so an id right before it or right after the first one is its own
_FIRST_ID = re.compile(rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*(-?[0-9]{1,15}|"[^"\\]*")\s*,')
_LAST_ID = re.compile(rb'[^\\]"id"\s*:\s*(-?[0-9]{1,15}|"[^"\\]*")\s*\}\s*$')
_WORD = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


class Lines:
    """Cut a stream of bytes into lines, holding no more than LINE_LIMIT of one."""

    def __init__(self) -> None:
        self.rest = bytearray()
        self.head = b""  # of a line already over the limit

    def feed(self, chunk: bytes) -> list[tuple[bytes, bytes | None]]:
        """Return each line that `chunk` completes, without its newline, and None.

        Of a line over the limit: its first and its last EDGE bytes.
        """
        *ended, begun = chunk.split(b"\n")
        lines: list[tuple[bytes, bytes | None]] = []
        for part in ended:
            self._grow(part)
            lines.append((self.head, bytes(self.rest[-EDGE:])) if self.head else (bytes(self.rest), None))
            self.rest, self.head = bytearray(), b""
        self._grow(begun)
        return lines

    def _grow(self, part: bytes) -> None:
        self.rest += part
        if len(self.rest) > LINE_LIMIT:
            self.head = self.head or bytes(self.rest[:EDGE])
            del self.rest[:-EDGE]


def id_of(head: bytes, tail: bytes) -> bytes | None:
    """Return the JSON of the request id found at either end of a line too long to read, or None."""
    found = _FIRST_ID.match(head) or _LAST_ID.search(tail)
    return found.group(1) if found else None


def read(line: bytes) -> Any:
    """Return the JSON value of a line.

    Raises:
        ValueError: it is none.
        RecursionError: it is nested more than DEPTH deep.
    """
    value = json.loads(line, parse_constant=_refuse)
    if line.count(b"[") + line.count(b"{") > DEPTH and _deep(value):
        raise RecursionError
    return value


def _deep(value: Any) -> bool:
    holders = [value]
    for _ in range(DEPTH):
        inner = [each for holder in holders for each in (holder.values() if isinstance(holder, dict) else holder)]
        holders = [each for each in inner if isinstance(each, (dict, list))]
        if not holders:
            return False
    return True


def _refuse(constant: str) -> None:
    raise ValueError(constant)  # NaN and Infinity are not JSON


def only_looks(message: dict[str, Any]) -> bool:
    """Return whether a tool's call changes nothing, so that it may be asked again."""
    params = message.get("params")
    return isinstance(params, dict) and params.get("name") in LOOKING


def with_key(line: bytes, message: dict[str, Any]) -> tuple[bytes, str | None]:
    """Return the line of a tool's call with an argument `id` where repeating it is made safe by one, and that id."""
    params = message.get("params")
    arguments = params.get("arguments") if isinstance(params, dict) and params.get("name") in WITH_ID else None
    if not isinstance(arguments, dict):
        return line, None
    if arguments.get("id") is None:
        arguments["id"] = os.urandom(16).hex()
        line = json.dumps(message, separators=(",", ":")).encode()
    return line, str(arguments["id"])


class Outbox:
    """Lines on their way out, and whose answers they are."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.gone = 0  # bytes that have left
        self.marks: list[tuple[int, Any]] = []

    def __len__(self) -> int:
        return len(self.data)

    def put(self, line: bytes, mark: Any = None) -> None:
        """Queue one line; `mark` comes back from `sent` once its last byte has left."""
        self.data += line + b"\n"
        if mark is not None:
            self.marks.append((self.gone + len(self.data), mark))

    def head(self, size: int) -> bytes:
        """Return the next bytes to send, at most `size`."""
        return bytes(self.data[:size])

    def sent(self, count: int) -> list[Any]:
        """Drop `count` bytes that were accepted; return the marks of the lines that are complete by that."""
        del self.data[:count]
        self.gone += count
        done = [mark for end, mark in self.marks if end <= self.gone]
        del self.marks[: len(done)]
        return done


def hello(session: str, generation: int) -> dict[str, Any]:
    """Return the first line of a connection: which session this is, for whom and where it runs."""
    return {
        "postino": "hello",
        "version": __version__,
        "session": session,
        "generation": generation,
        "name": variable("POSTINO_AGENT_NAME") or variable("CLAUDE_PLUGIN_OPTION_AGENT_NAME"),
        "terminal": tail(os.environ.get("TERM_SESSION_ID") or os.environ.get("ITERM_SESSION_ID") or ""),
        "directory": _directory(),
        "host": os.uname().nodename,
        "claude": claude(),
    }


def tail(terminal: str) -> str | None:
    """Return the part of a terminal's session id that names an agent."""
    return "".join(each for each in terminal[-8:] if each in _WORD) or None


def _directory() -> str:
    try:
        return os.fsencode(os.getcwd()).decode(errors="replace")  # noqa: PTH109
    except OSError:  # it was removed under us
        return variable("PWD") or "/"
