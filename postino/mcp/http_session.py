"""One session of a client that speaks MCP over HTTP, whose requests come one by one, each with a connection of its own.

It takes a relay's place at a RelayConnection: each message is a line, and so is the report that an answer was written
to the client or was lost. The ids of requests are replaced by others, because a client may use one again.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from postino.errors import BadRequest, TooMany
from postino.mcp.keepalive import Keepalive
from postino.mcp.session import Session
from postino.relay.lines import parse

IN_FLIGHT = 32  # requests of one session; a client calls a few tools side by side
NOTIFICATIONS = 64  # kept for the stream, should it be closed or slow; each only says that there is something to read
CANCELLED, SERVER_ERROR = -32800, -32000

Frame = dict[str, Any]


class Exchange:
    """A request, and what is sent in return: notifications, if any, then the answer."""

    def __init__(self, session: HttpSession, id: int, request: Frame) -> None:
        self.session = session
        self.id = id
        self.client_id = request["id"]
        self.progress_token = _progress_token(request)
        self.answered = False  # the answer was taken by `next`
        self.succeeded = False  # the answer was written, and is no error
        self._failed = False
        self._frames: asyncio.Queue[Frame] = asyncio.Queue()

    async def next(self) -> Frame:
        """Return the next frame for the client; the last one `is_answer`."""
        frame = await self._frames.get()
        if is_answer(frame):
            self.answered, self._failed = True, "error" in frame
        return frame

    def put(self, frame: Frame) -> None:
        """Add a frame."""
        self._frames.put_nowait({**frame, "id": self.client_id} if is_answer(frame) else frame)

    def fail(self, code: int, message: str) -> None:
        """Answer with an error."""
        self.put({"jsonrpc": "2.0", "id": self.client_id, "error": {"code": code, "message": message}})

    def written(self) -> None:
        """Report that the client has been sent the answer."""
        self.succeeded = not self._failed
        self.session.report(self, "written")

    def lost(self) -> None:
        """Report that the answer could not be written: what it carried is given back."""
        self.session.report(self, "lost")

    def abandon(self) -> None:
        """Report that the client has gone without waiting for the answer."""
        self.session.cancel(self)


class HttpSession:
    """What a RelayConnection takes for a relay, and what the HTTP face takes for a session.

    `id` is what the client names the session by; `owner` who alone may use it.
    """

    def __init__(self, id: str, owner: str, session: Session, *, modern: bool) -> None:
        self.id = id
        self.owner = owner
        self.session = session
        self.modern = modern
        self.last_used = _now()
        self.ended = asyncio.Event()  # nothing more is taken or sent
        self._keepalive = Keepalive(session)
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._exchanges: dict[int, Exchange] = {}  # not answered yet, or the answer is being written
        self._last_id = 0
        self._stream: object | None = None
        self._notifications: deque[Frame] = deque(maxlen=NOTIFICATIONS)
        self._notified = asyncio.Event()

    # for the client

    def ask(self, request: Frame) -> Exchange:
        """Pass on a request.

        Raises:
            TooMany: IN_FLIGHT are in progress.
        """
        if len(self._exchanges) >= IN_FLIGHT:
            raise TooMany(f"{IN_FLIGHT} requests of this session are in progress; wait for an answer")
        self._last_id += 1
        exchange = Exchange(self, self._last_id, request)
        self._exchanges[exchange.id] = exchange
        self.used()
        self._pass({**request, "id": exchange.id})
        return exchange

    def tell(self, message: Frame) -> None:
        """Pass on a notification. A cancellation of what was answered means nothing: some clients always send one."""
        self.used()
        if message.get("method") != "notifications/cancelled":
            self._pass(message)
            return
        params = message.get("params")
        wanted = params.get("requestId") if isinstance(params, dict) else None
        for exchange in list(self._exchanges.values()):
            if exchange.client_id == wanted:
                exchange.fail(CANCELLED, "Request cancelled")
                self.cancel(exchange)

    def used(self) -> None:
        """Note a sign of life; keep the session online."""
        self.last_used = _now()
        self._keepalive.used()

    async def notifications(self) -> AsyncIterator[Frame]:
        """Yield what is not part of an answer, until the session ends or another stream takes this one's place."""
        mine = self._stream = object()
        self._notified.set()
        try:
            while self._stream is mine and not self.ended.is_set():
                while self._notifications:
                    yield self._notifications.popleft()
                self._notified.clear()
                await self._notified.wait()
        finally:
            self.used()
            if self._stream is mine:
                self._stream = None

    # from exchanges

    def report(self, exchange: Exchange, what: str) -> None:
        """Pass on what became of an answer: `written` or `lost`."""
        self._exchanges.pop(exchange.id, None)
        self._lines.put_nowait(b'{"postino":"%b","id":%d}' % (what.encode(), exchange.id))

    def cancel(self, exchange: Exchange) -> None:
        """End an exchange whose answer nobody waits for."""
        if self._exchanges.pop(exchange.id, None) is not None:
            self._pass({"method": "notifications/cancelled", "params": {"requestId": exchange.id}})

    def _pass(self, message: Frame) -> None:
        # the first member tells a frame from a control line, which no client may send
        self._lines.put_nowait(json.dumps({"jsonrpc": "2.0"} | message, separators=(",", ":")).encode())

    # for the connection, as a relay's lines

    async def next(self) -> bytes | None:
        """Return the next line, None once the session has ended."""
        return await self._lines.get()

    def put(self, message: Frame) -> bool:
        """Take a frame for the client."""
        if "method" in message:
            self._notify(message)
        elif (exchange := self._exchanges.get(message.get("id"))) is not None:  # type: ignore[arg-type] # None: no frame
            exchange.put(message)
        return True

    def _notify(self, frame: Frame) -> None:
        token = frame.get("params", {}).get("progressToken") if frame["method"] == "notifications/progress" else None
        for exchange in self._exchanges.values():
            if token is not None and exchange.progress_token == token:
                exchange.put(frame)
                return
        if token is None:
            self._notifications.append(frame)
            self._notified.set()

    async def flush(self) -> None:
        """Return at once: what waits for the client is bounded."""

    def is_used(self) -> bool:
        """Return whether a stream is open or a request in progress."""
        return self._stream is not None or bool(self._exchanges)

    def close(self) -> None:
        """End the session: what is in progress is finished, but not answered any more."""
        if self.ended.is_set():
            return
        self.ended.set()
        self._keepalive.stop()
        self._lines.put_nowait(None)
        self._notified.set()
        for exchange in self._exchanges.values():
            exchange.fail(SERVER_ERROR, "the session ended before the answer: the outcome is unknown")


def parse_message(data: bytes) -> Frame:
    """Return the message in a body.

    Raises:
        BadRequest: it is not one JSON object.
    """
    try:
        found = parse(data)
    except (ValueError, RecursionError):
        raise BadRequest("the body is not JSON, or nested too deeply") from None
    if not isinstance(found, dict):
        raise BadRequest("the body must be one JSON-RPC object; batches are not supported")
    return found


def is_answer(frame: Frame) -> bool:
    """Return whether a frame answers a request."""
    return "method" not in frame


def _progress_token(request: Frame) -> Any:
    params = request.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    return meta.get("progressToken") if isinstance(meta, dict) else None


def _now() -> float:
    return asyncio.get_running_loop().time()
