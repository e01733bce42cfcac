"""The lines between client, relay and daemon: cut a stream into lines, parse and complete them. Standard library only.

Each line is one JSON object of at most LINE_LIMIT bytes. Between relay and daemon, one that begins with CONTROL is for
the relay or the daemon itself; every other is a JSON-RPC frame and passes unchanged.
"""

from __future__ import annotations

import os

from postino.json_text import dumps, loads

TYPE_CHECKING = False  # as in main.py
if TYPE_CHECKING:
    from typing import Any

    Id = str | int

CONTROL = b'{"postino":'
LINE_LIMIT = 1 << 20  # bytes; the largest allowed send, every character escaped, has under 400 KB
MAX_DEPTH = 100  # levels of arrays and objects: ten are used, and json fails at about 970
END_BYTES = 512  # kept of the start and of the end of a line over LINE_LIMIT
ASK, ASK_S, MAX_ASK_S = "msg_ask", 50, 600  # a tool that waits, how long by default and at most
IDEMPOTENT_TOOLS = ("msg_send", "msg_broadcast", ASK)  # a repeated call with the same argument `id` is stored once
#: of a read whose answer was lost, the next one begins with what that one leased
REPEATABLE_TOOLS = (
    "msg_history",
    "msg_status",
    *("msg_ack", "msg_broadcasts", "msg_check", "msg_join", "msg_leave", "msg_list_agents", "msg_read", "msg_rename"),
    "msg_whoami",
)

METHOD_NOT_FOUND, PARSE_ERROR, INVALID_REQUEST, SERVER_ERROR = -32601, -32700, -32600, -32000

# Only the outermost object has its first member at the start of the line and its last one at the end. Text, not
# compiled: that would cost every relay 0.5 ms, and few meet a line over the limit
_FIRST_ID = rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*(-?[0-9]{1,15}|"[^"\\]*")\s*,'
_LAST_ID = rb'[^\\]"id"\s*:\s*(-?[0-9]{1,15}|"[^"\\]*")\s*\}\s*$'


class LineBuffer:
    """Cuts a stream of bytes into lines, and holds at most LINE_LIMIT bytes of a line."""

    def __init__(self) -> None:
        self.rest = bytearray()
        self.start = b""  # of a line that is over the limit already

    def feed(self, chunk: bytes) -> list[tuple[bytes, bytes | None]]:
        """Return each line that `chunk` completes, without its newline, and None.

        Of a line over the limit: its first and its last END_BYTES bytes.
        """
        *complete, begun = chunk.split(b"\n")
        lines: list[tuple[bytes, bytes | None]] = []
        for part in complete:
            self._append(part)
            lines.append((self.start, bytes(self.rest[-END_BYTES:])) if self.start else (bytes(self.rest), None))
            self.rest, self.start = bytearray(), b""
        self._append(begun)
        return lines

    def _append(self, part: bytes) -> None:
        self.rest += part
        if len(self.rest) > LINE_LIMIT:
            self.start = self.start or bytes(self.rest[:END_BYTES])
            del self.rest[:-END_BYTES]


class WriteBuffer:
    """Lines to be written, which reports when each line has been written completely."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.written = 0  # bytes
        self.marks: list[tuple[int, Any]] = []  # position of a line's end, and its mark

    def __len__(self) -> int:
        return len(self.data)

    def put(self, line: bytes, mark: Any = None) -> None:
        """Append one line; `advance` returns `mark` once the line's last byte has been written."""
        self.data += line + b"\n"
        if mark is not None:
            self.marks.append((self.written + len(self.data), mark))

    def next(self, size: int) -> bytes:
        """Return the next bytes to write, at most `size`."""
        return bytes(self.data[:size])

    def advance(self, count: int) -> list[Any]:
        """Drop `count` written bytes; return the marks of the lines that are complete by that."""
        del self.data[:count]
        self.written += count
        done = [mark for end, mark in self.marks if end <= self.written]
        del self.marks[: len(done)]
        return done


def find_id(start: bytes, end: bytes) -> bytes | None:
    """Return the JSON of the request id that stands at either end of a line too long to parse, or None."""
    import re

    found = re.match(_FIRST_ID, start) or re.search(_LAST_ID, end)
    return found.group(1) if found else None


def parse(line: bytes) -> Any:
    """Return the JSON value of a line.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested more than MAX_DEPTH deep.
    """
    value = loads(line)
    if line.count(b"[") + line.count(b"{") > MAX_DEPTH and _too_deep(value):
        raise RecursionError
    return value


def _too_deep(value: Any) -> bool:
    containers = [value]
    for _ in range(MAX_DEPTH):
        inner = [each for one in containers for each in (one.values() if isinstance(one, dict) else one)]
        containers = [each for each in inner if isinstance(each, (dict, list))]
        if not containers:
            return False
    return True


def is_repeatable(message: dict[str, Any]) -> bool:
    """Return whether carrying out a tool call twice does no harm, so that the relay may repeat it."""
    params = message.get("params")
    return isinstance(params, dict) and params.get("name") in REPEATABLE_TOOLS


def patience(message: dict[str, Any]) -> float:
    """Return how many seconds a call may wait by its own will before it is answered."""
    params = message.get("params")
    if not isinstance(params, dict) or params.get("name") != ASK:
        return 0.0
    arguments = params.get("arguments")
    try:
        wanted = float(arguments["timeout"] or ASK_S)  # type: ignore[index]
    except (KeyError, TypeError, ValueError, OverflowError):
        wanted = ASK_S
    return min(max(wanted, 0.0), float(MAX_ASK_S))


def refusal(answer: dict[str, Any]) -> tuple[str | None, str | None]:
    """Return the code of a refused call and its outcome, "none" or "unknown", each None where there is none."""
    try:
        data = answer["error"]["data"] if "error" in answer else loads(_refused(answer["result"]))
        return data.get("code"), data.get("outcome")
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None, None  # any other answer


def _refused(result: dict[str, Any]) -> str:
    return str(result["content"][0]["text"]) if result.get("isError") is True else ""


def ensure_id(line: bytes, message: dict[str, Any]) -> tuple[bytes, str | None]:
    """Return the line of a tool call and its argument `id`, added if an idempotent call lacks it; else None."""
    params = message.get("params")
    arguments = params.get("arguments") if isinstance(params, dict) and params.get("name") in IDEMPOTENT_TOOLS else None
    if not isinstance(arguments, dict):
        return line, None
    if arguments.get("id") in (None, ""):  # either stands for an argument left out
        arguments["id"] = os.urandom(16).hex()
        line = dumps(message).encode()
    return line, str(arguments["id"])


def error_line(request_id: Id | None, code: int, text: str, data: Any) -> bytes:
    """Return a JSON-RPC error response; `request_id` None answers a line that names no request."""
    error = {"code": code, "message": text} | ({} if data is None else {"data": data})
    return dumps({"jsonrpc": "2.0", "id": request_id, "error": error}).encode()
