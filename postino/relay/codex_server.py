"""Give a line to the Codex session this relay belongs to by Codex's own server, which runs the sessions of all
terminals; an idle session starts a turn with it at once.

Unlike the arguments of `codex queue`, what goes through the server's socket is seen by nobody else, so that a line may
hold messages. JSON-RPC over a WebSocket on a unix socket, as 0.171 speaks it; where it does not answer so, the command
remains. Standard library only; imported when the first line is given.
"""

from __future__ import annotations

import _socket  # as in main.py
import json
import os
import time

from postino import __version__

TYPE_CHECKING = False  # as in main.py
if TYPE_CHECKING:
    from typing import Any

SERVER_S = 1.0  # for all of it, which takes 0.02 s; the client's lines wait meanwhile
LARGEST = 1 << 20  # bytes that are read before an answer counts as missing
TEXT, CLOSE = 1, 8  # kinds of frames
_UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: cG9zdGlubyBwb3N0aW5vIQ==\r\n\r\n"
)


def wake(control: dict[str, Any]) -> dict[str, Any]:
    """Carry out a `wake` line of the daemon; return the `woken` line that answers it.

    Its `ok` is None where the server got the line and did not say what became of it. Its `queued` names the line for a
    later `wake` with `take_back`, whose `ok` tells whether the line has been removed before it became a prompt.
    """
    session, msg_id = str(control.get("session_id")), str(control.get("msg_id"))
    if "take_back" in control:
        ok, result = _ask("thread/queue/delete", {"threadId": session, "queuedSubmissionId": control["take_back"]})
        ok = ok and result.get("deleted") is True
    else:
        line = {"type": "text", "text": str(control.get("text")), "text_elements": []}
        ok, result = _ask("thread/queue/add", {"threadId": session, "clientUserMessageId": msg_id, "input": [line]})
    queued = result.get("queuedSubmission")
    id = queued.get("id") if isinstance(queued, dict) else None
    return {"postino": "woken", "msg_id": msg_id, "ok": ok, "queued": id}


def _path() -> str:
    """Return the path of the server's socket: of what the client's link to it names, which is short enough."""
    home = os.environ.get("CODEX_HOME") or f"{os.environ.get('HOME', '')}/.codex"
    path = f"{home}/app-server-control/app-server-control.sock"
    try:
        return os.path.join(os.path.dirname(path), os.readlink(path))  # noqa: PTH115, PTH118, PTH120
    except OSError:
        return path


def _ask(method: str, params: dict[str, Any]) -> tuple[bool | None, dict[str, Any]]:
    """Return whether the server has done something, None where it did not say, and its result."""
    server = _socket.socket(_socket.AF_UNIX)
    sent = False
    try:
        deadline, path = time.monotonic() + SERVER_S, _path()
        if os.stat(path).st_uid != os.getuid():  # noqa: PTH116 - as in claude_process.py
            return False, {}
        server.settimeout(SERVER_S)
        server.connect(path)
        _send(server, _UPGRADE, deadline)
        head, _, rest = _until(server, b"\r\n\r\n", deadline)
        if not head.startswith(b"HTTP/1.1 101 "):
            return False, {}
        sent = True
        _send(server, b"".join(_frame(each) for each in _requests(method, params)), deadline)
        return _answer(server, rest, deadline)
    except (OSError, ValueError):
        return None if sent else False, {}
    finally:
        server.close()


def _requests(method: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    about = {"clientInfo": {"name": "postino", "title": None, "version": __version__}}
    return [
        {"id": 1, "method": "initialize", "params": about | {"capabilities": {"experimentalApi": True}}},
        {"method": "initialized"},
        {"id": 2, "method": method, "params": params},
    ]


def _answer(server: _socket.socket, data: bytes, deadline: float) -> tuple[bool, dict[str, Any]]:
    """Return whether the server has done what was asked, and its result; what else it says is skipped.

    Raises:
        ValueError: it did not say.
    """
    taken = 0
    while taken < LARGEST:
        kind, payload, data = _next_frame(server, data, deadline)
        taken += len(payload)
        if kind == CLOSE:
            break
        message = json.loads(payload) if kind == TEXT else None
        if isinstance(message, dict) and message.get("id") in (1, 2) and "error" in message:
            return False, {}
        if isinstance(message, dict) and message.get("id") == 2 and "result" in message:
            return True, message["result"] if isinstance(message["result"], dict) else {}
    raise ValueError("no answer")


def _next_frame(server: _socket.socket, data: bytes, deadline: float) -> tuple[int, bytes, bytes]:
    """Return kind and payload of the next frame, and what follows it. Frames of a server are not masked."""
    data = _at_least(server, data, 2, deadline)
    length = data[1] & 0x7F
    start = {126: 4, 127: 10}.get(length, 2)
    data = _at_least(server, data, start, deadline)
    if start > 2:
        length = int.from_bytes(data[2:start], "big")
    if length > LARGEST:
        raise ValueError("too long")
    data = _at_least(server, data, start + length, deadline)
    return data[0] & 0x0F, data[start : start + length], data[start + length :]


def _frame(message: dict[str, Any]) -> bytes:
    """Return a message as a frame of a client, which has to be masked."""
    payload = json.dumps(message).encode()
    size = len(payload)
    head = bytes([0x81, 0x80 | size]) if size < 126 else bytes([0x81, 0x80 | 126]) + size.to_bytes(2, "big")
    if size > 0xFFFF:
        head = bytes([0x81, 0x80 | 127]) + size.to_bytes(8, "big")
    mask = os.urandom(4)
    repeated = mask * (size // 4 + 1)
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(repeated[:size], "big")
    return head + mask + masked.to_bytes(size, "big")


def _send(server: _socket.socket, data: bytes, deadline: float) -> None:
    while data:
        _wait(server, deadline)
        data = data[server.send(data) :]


def _until(server: _socket.socket, end: bytes, deadline: float) -> tuple[bytes, bytes, bytes]:
    data = b""
    while end not in data:
        data = _at_least(server, data, len(data) + 1, deadline)
    return data.partition(end)


def _at_least(server: _socket.socket, data: bytes, size: int, deadline: float) -> bytes:
    while len(data) < size:
        _wait(server, deadline)
        more = server.recv(1 << 16)
        if not more or len(data) > 2 * LARGEST:
            raise ValueError("the server has gone")
        data += more
    return data


def _wait(server: _socket.socket, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    server.settimeout(left)
