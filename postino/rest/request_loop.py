"""The requests of one connection, handled one after the other in the connection's own task.

aiohttp 3.14 makes a task for each request, which costs two turns of the event loop, and builds each answer's head anew
from a dictionary. A send takes as much time for that as for all that postino does with it. It takes attributes that
aiohttp does not promise to keep: with an aiohttp that has others, aiohttp's own loop handles the requests.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable

from aiohttp import web
from aiohttp.http import HttpRequestParser, HttpVersion11, RawRequestMessage, StreamWriter
from aiohttp.streams import StreamReader

from postino.errors import BadRequest, PostinoError
from postino.rest.answers import Answer, closing, refusal
from postino.rest.known_paths import Answering
from postino.values import visible

Find = Callable[[web.BaseRequest], Answering | None]

LINGER_S = 1.0  # for the rest of a refused body, so that its sender reads the error
KEEP_ALIVE_S = 30.0  # between two requests in aiohttp's own loop

#: the private attributes of web.RequestHandler that this module and connection.py use
USED = frozenset(
    {
        *("_messages", "_waiter", "_parser", "_buffer_paused", "_msg_queue_resume_size", "_resume_reading_if_drained"),
        *("_reading_paused", "_request_factory", "_request_handler", "_handle_request", "_task_handler", "_loop"),
        *("_upgraded", "_close", "_force_close"),
    }
)


def is_known(handler: type) -> bool:
    """Return whether `handler`, aiohttp's RequestHandler, has what is used of it here."""
    handle = getattr(handler, "_handle_request", is_known)
    return (
        all(hasattr(handler, name) for name in USED)
        and [*inspect.signature(handle).parameters] == ["self", "request", "start_time", "request_handler"]
        and hasattr(HttpRequestParser, "message_consumed")
    )


IN_USE = is_known(web.RequestHandler)


class RequestLoop(web.RequestHandler):
    """Handles requests as aiohttp does, but for the tasks."""

    __slots__ = ("_find", "_lingering")

    def __init__(self, server: web.Server, loop: asyncio.AbstractEventLoop, find: Find) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=0 if IN_USE else KEEP_ALIVE_S,  # 0: no timer, the owner of idle connections closes them
            lingering_time=LINGER_S,
            access_log=None,  # type: ignore[arg-type] # the default is to log; None is what aiohttp's runner passes
            auto_decompress=False,
        )
        self._lingering: StreamReader | None = None  # the body whose rest is being read
        self._find = find  # returns who answers a request without aiohttp's application; None: the application does

    async def start(self) -> None:
        """Handle requests until the connection is to be closed; what is no request aiohttp answers, and closes it."""
        if not IN_USE:
            return await super().start()
        try:
            while not self._force_close:
                if not self._messages:
                    self._waiter = self._loop.create_future()
                    try:
                        await self._waiter
                    finally:
                        self._waiter = None
                if not isinstance(self._messages[0][0], RawRequestMessage):
                    return await super().start()
                if not await self._handle_next() or self._close:
                    break
                if self._messages:  # they came in one piece: other connections have their turn between two
                    await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.force_close()
            raise
        except Exception as error:
            self.log_exception("Unhandled exception", exc_info=error)
            self.force_close()
        if not self._force_close:
            self._task_handler = None
            if self.transport is not None:
                self.transport.close()

    async def _handle_next(self) -> bool:
        """Handle the first request that waits; return whether the connection may go on."""
        message, body = self._messages.popleft()
        assert isinstance(message, RawRequestMessage)
        assert self._parser is not None
        assert self._request_factory is not None
        self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        assert self._task_handler is not None  # set before anything has arrived
        request = self._request_factory(message, body, self, StreamWriter(self, self._loop), self._task_handler)
        handler = self._find(request) or self._request_handler
        assert handler is not None
        try:
            response, gone = await self._handle_request(request, None, handler)
        except (ConnectionError, asyncio.InvalidStateError):
            return False  # InvalidStateError: aiohttp's shutdown gave up waiting in the turn in which this ended
        if gone:
            return False
        if not body.is_eof():
            await self._linger(body)
        keep_alive = request.keep_alive if response.keep_alive is None else response.keep_alive
        return keep_alive and body.is_eof()

    async def _linger(self, body: StreamReader) -> None:
        """Read the rest of a body that its handler has not read."""
        self._lingering = body
        try:
            async with asyncio.timeout(LINGER_S):
                while not (body.is_eof() or self._close or self._force_close):
                    await body.readany()
        except TimeoutError:
            return
        finally:
            self._lingering = None

    def end_linger(self) -> None:
        """Note that the rest of a body will not come."""
        if self._lingering is not None:
            self._lingering.feed_eof()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on reading where it was paused. aiohttp calls this twice for each body, paused or not."""
        if not IN_USE or self._reading_paused:
            super().resume_reading(resume_parser)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write a response; return it and whether the client has gone.

        JSON takes the place of aiohttp's own refusals, such as that of an `Expect` without a route.
        """
        is_plain = IN_USE and request.version == HttpVersion11 and request.method != "HEAD" and not self._upgraded
        if not is_plain or not isinstance(resp, Answer):
            if isinstance(resp, web.HTTPException):
                resp = closing(refusal(BadRequest(f"this request is not supported: {resp.reason}")))
            return await super().finish_response(request, resp, start_time)
        if self.transport is None or self.transport.is_closing():
            return resp, True
        self.transport.write(resp.whole(keep_alive=request.keep_alive))
        if self.writing_paused:
            try:
                await request.writer.drain()
            except ConnectionError:
                return resp, True
        return resp, False

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the JSON response to a malformed request or to an error within aiohttp."""
        if status == 400:
            return closing(refusal(BadRequest(f"this is not an HTTP request: {visible(message or '')[:200]}")))
        self.logger.error("Error handling request", exc_info=exc)
        return closing(refusal(PostinoError("postino has a bug; the daemon's log has the traceback")))


for _name, _none in (("_messages", ()), ("_waiter", None)):  # connection.py asks for them in any case
    if not hasattr(web.RequestHandler, _name):
        setattr(RequestLoop, _name, _none)
