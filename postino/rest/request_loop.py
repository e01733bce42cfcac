"""The requests of one connection, handled one after the other in the connection's own task.

aiohttp 3.14 makes a task for each request, which costs two turns of the event loop, parses each head anew, and builds
that of each answer from a dictionary. A send takes as much time for that as for all that postino does with it. This
takes attributes that aiohttp does not promise to keep: with an aiohttp that has others, its own loop handles requests.
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
from postino.rest.known_heads import KnownHead, KnownHeads, body_length, head_of
from postino.rest.known_paths import Answering
from postino.rest.outbox import Outbox
from postino.values import visible

Find = Callable[[web.BaseRequest], Answering | None]

LINGER_S = 1.0  # for the rest of a refused body, so that its sender reads the error
TOGETHER = 1 << 14  # bytes of an answer that may wait for others: a longer one may have to wait for its reader
KEEP_ALIVE_S = 30.0  # between two requests in aiohttp's own loop

#: the private attributes of web.RequestHandler that this module and connection.py use
USED = frozenset(
    {
        *("_messages", "_waiter", "_parser", "_buffer_paused", "_msg_queue_resume_size", "_resume_reading_if_drained"),
        *("_reading_paused", "_request_factory", "_request_handler", "_handle_request", "_task_handler", "_loop"),
        *("_upgraded", "_close", "_force_close", "_request_in_progress", "_current_request", "_handler_waiter"),
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

    __slots__ = (
        *("_find", "_found", "_head", "_heads", "_lingering", "_outbox", "_unwritten", "_whole"),
        "known",
    )

    def __init__(
        self, server: web.Server, loop: asyncio.AbstractEventLoop, find: Find, heads: KnownHeads, outbox: Outbox
    ) -> None:
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
        self._heads = heads
        self._outbox = outbox
        self._unwritten = b""  # the answer that is in the outbox
        self._found: KnownHead | None = None  # of the request that waits
        self.known: KnownHead | None = None  # of the request that is being handled
        self._head = b""  # of the newest request, if aiohttp has parsed it and it has not been handled
        self._whole = True  # until now each piece of data was one request, so that the next one begins a request

    def data_received(self, data: bytes) -> None:
        """Take what has arrived: one whole request with a known head, or what aiohttp parses."""
        if not IN_USE or not self._whole:
            return super().data_received(data)
        waiter = self._waiter
        if waiter is not None and not waiter.done() and (found := self._heads.find(data)) is not None:
            self._found, body = found
            self._messages.append((self._found.message, body))
            waiter.set_result(None)
            return
        waiting = len(self._messages)
        super().data_received(data)
        self._head = self._head_of_all(data) if len(self._messages) == waiting + 1 else b""
        self._whole = bool(self._head)

    def _head_of_all(self, data: bytes) -> bytes:
        """Return the head of `data`, from which one request came, if that is all of it and nothing else; else nothing.

        What follows an upgrade may be of another protocol; a body in chunks ends where only the parser knows.
        """
        (message, body), head = self._messages[-1], head_of(data)
        if not isinstance(message, RawRequestMessage) or message.upgrade or message.chunked or not body.is_eof():
            return b""
        return head if body_length(message) == len(data) - len(head) else b""

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
            self.write_waiting()
            if self.transport is not None:
                self.transport.close()

    async def _handle_next(self) -> bool:
        """Handle the first request that waits; return whether the connection may go on."""
        message, body = self._messages.popleft()
        known, self._found = self._found, None
        head, self._head = b"" if self._messages else self._head, b""  # that of a later one, if one came meanwhile
        self.known = known
        assert isinstance(message, RawRequestMessage)
        assert self._request_factory is not None
        assert self._task_handler is not None  # set before anything has arrived
        request = self._request_factory(message, body, self, StreamWriter(self, self._loop), self._task_handler)
        try:
            if known is None:
                answering = self._answering(request)
                handler = answering or self._request_handler
                assert handler is not None
                response, gone = await self._handle_request(request, None, handler)
            else:
                answering = known.answering
                response, gone = await self._answer(request, answering)
        except (ConnectionError, asyncio.InvalidStateError):
            return False  # InvalidStateError: aiohttp's shutdown gave up waiting in the turn in which this ended
        if gone:
            return False
        if not body.is_eof():
            await self._linger(body)
        keep_alive = request.keep_alive if response.keep_alive is None else response.keep_alive
        if head and keep_alive and answering is not None:  # who is not admitted makes postino remember nothing
            self._heads.note(head, message, answering)
        return keep_alive and body.is_eof()

    def _answering(self, request: web.BaseRequest) -> Answering | None:
        """Return who answers a request that aiohttp has parsed; None: its application."""
        assert self._parser is not None
        self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        return self._find(request)

    async def _answer(self, request: web.BaseRequest, answering: Answering) -> tuple[web.StreamResponse, bool]:
        """Answer a request whose head is known, as `_handle_request` does; its endpoint raises nothing."""
        self._request_in_progress = True
        self._current_request = request
        try:
            response = await answering(request)
            if type(response) is Answer and self._write(request, response):
                if self.writing_paused:
                    await request.writer.drain()
                return response, False
            return await self.finish_response(request, response, None)
        finally:
            self._current_request = None
            self._request_in_progress = False
            if self._handler_waiter is not None:
                self._handler_waiter.set_result(None)

    @property
    def others_wait(self) -> bool:
        """Whether requests of other connections are being handled, whose answers may follow at once."""
        return False

    def write_waiting(self) -> None:
        """Write the answer that waits in the outbox, if one does. Repeating does nothing."""
        if self._unwritten:
            answer, self._unwritten = self._unwritten, b""
            if self.transport is not None:
                self.transport.write(answer)

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

    def force_close(self) -> None:
        self.write_waiting()
        super().force_close()

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
        self.write_waiting()
        if not isinstance(resp, Answer) or not IN_USE or not self._is_plain(request):
            if isinstance(resp, web.HTTPException):
                resp = closing(refusal(BadRequest(f"this request is not supported: {resp.reason}")))
            return await super().finish_response(request, resp, start_time)
        if self.transport is None or self.transport.is_closing():
            return resp, True
        if not self._write(request, resp):
            self.transport.write(resp.whole(keep_alive=request.keep_alive))
        if self.writing_paused:  # a shutdown waits until it is read
            try:
                await request.writer.drain()
            except ConnectionError:
                return resp, True
        return resp, False

    def _is_plain(self, request: web.BaseRequest) -> bool:
        return request.version == HttpVersion11 and request.method != "HEAD" and not self._upgraded

    def _write(self, request: web.BaseRequest, answer: Answer) -> bool:
        """Write an answer, or have it written soon; return False if the client has to read the one before it first."""
        transport = self.transport
        if transport is None or transport.is_closing() or self.writing_paused or not self._is_plain(request):
            return False
        self.write_waiting()
        whole = answer.whole(keep_alive=request.keep_alive)
        if self.others_wait and len(whole) <= TOGETHER:
            self._unwritten = whole
            self._outbox.add(self.write_waiting)
            return True
        transport.write(whole)
        return True

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
