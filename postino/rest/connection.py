"""HTTP connections with the time limits that aiohttp does not have, and a limit on their number.

aiohttp 3.14 waits without limit for the rest of a head, and for a client that does not read its answer.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable

import aiohttp
from aiohttp import web
from aiohttp.streams import StreamReader

from postino.broker.limited_log import LimitedLog
from postino.rest import peer, request_loop
from postino.rest.answers import forbidden
from postino.rest.known_heads import KnownHeads
from postino.rest.outbox import Outbox
from postino.rest.policy import Policy
from postino.rest.request_loop import Find, RequestLoop

HEAD_S = 5.0  # from the first byte of a request to the end of its head, and from a connection's start to the first byte
IDLE_S = 30.0  # between two requests; postino's clients send the next sooner, or reconnect in less than 1 ms
STALL_S = 30.0  # without reading its answer, after which a client counts as gone
SWEEP_S = 1.0
MOST_TCP = 200  # connections: 64 streams, and far more than the tools of one person need


LOG = LimitedLog()


class HttpConnection(RequestLoop):
    """One HTTP connection. Its policy is made before it counts; the connections' owner ends it when it is overdue."""

    __slots__ = (
        "_answered",
        "_body",
        "_connections",
        "_disconnected",
        "_half_closed",
        "_handling",
        "_head_since",
        "_idle_since",
        "_received",
        "_stalled_since",
        "_unread",
        "policy",
        "tcp",
    )

    def __init__(self, connections: HttpConnections, *, tcp: bool) -> None:
        super().__init__(connections.server, connections.loop, connections.find, connections.heads, connections.outbox)
        self._connections = connections
        self.tcp = tcp  # or on the unix socket
        self._handling = False  # between a request's head and its answer: what arrives does not begin a new head
        self._head_since: float | None = None
        self._idle_since = 0.0  # loop time of its start, or of the end of its last request or answer
        self._answered = False  # a request has been handled on it
        self._received = False
        self._stalled_since: float | None = None
        self._disconnected: asyncio.Future[None] | None = None
        self._half_closed = False  # the client has closed its sending side
        self._body: StreamReader | None = None  # of the request that is being handled
        self._unread: Callable[[], None] | None = None  # see `when_unread`
        self.policy: Policy | None = None

    @property
    def is_disconnected(self) -> bool:
        """Whether the client has gone, as far as the kernel tells."""
        transport = self.transport
        return transport is None or transport.is_closing() or (self._half_closed and self._fully_closed())

    def disconnected(self) -> asyncio.Future[None]:
        """Return a future that is done when the client of the current request has gone or closed its sending side."""
        if self._disconnected is None:
            self._connections.busy -= self._handling  # it waits for what may take long
            self._disconnected = self._connections.loop.create_future()
            if self.transport is None or self._half_closed:
                self._disconnected.set_result(None)
        return self._disconnected

    def request_started(self, request: web.Request) -> None:
        """Note that the head of a request is complete and its handler begins."""
        self._handling = True
        self._connections.busy += 1
        self._head_since = None
        self._unread = None
        self._body = request.content
        if self._half_closed:
            self._end_body()

    @property
    def others_wait(self) -> bool:
        return self._connections.busy > 0

    def when_unread(self, callback: Callable[[], None]) -> None:
        """Call `callback` if the connection breaks before the client can have read the answer just written.

        A client that closes with unread data resets the connection. The next request ends this: it comes after reading.
        """
        self._unread = callback

    def request_finished(self) -> None:
        """Note that the handler has returned. The answer may not have been written yet."""
        self._handling = False
        self._connections.busy -= self._disconnected is None
        self._answered = True
        self._body = None
        self._idle_since = self._connections.loop.time()
        self._disconnected = None
        if self._half_closed and not self._messages:
            self.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        if not self.tcp or self._connections.quick or not peer.LINUX:
            self._begin(transport, self._connections.policy(transport))
        else:
            transport.pause_reading()
            looked_up = self._connections.loop.run_in_executor(None, self._connections.policy, transport)
            looked_up.add_done_callback(lambda done: self._resume(transport, done))

    def _resume(self, transport: asyncio.Transport, looked_up: asyncio.Future[Policy]) -> None:
        """Begin a connection whose peer was looked up in a thread."""
        if looked_up.cancelled() or looked_up.exception() or transport.is_closing():
            transport.abort()
            return
        self._begin(transport, looked_up.result())
        transport.resume_reading()

    def _begin(self, transport: asyncio.Transport, policy: Policy) -> None:
        self.policy = policy
        if policy.gone:
            transport.abort()
        elif policy.refusal is not None:
            LOG.warning("connection_refused", reason=policy.refusal)
            transport.write(forbidden(policy.refusal))
            transport.close()
        elif self._connections.add(self):
            self._head_since = self._idle_since = self._connections.loop.time()
            super().connection_made(transport)
        else:
            transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self._unread is not None and (exc is not None or self._stalled_since is not None):
            self._unread()
        self._unread = None
        self._connections.discard(self)
        if self._disconnected is not None and not self._disconnected.done():
            self._disconnected.set_result(None)

    def data_received(self, data: bytes) -> None:
        if not self._received or (not self._handling and self._head_since is None):
            self._received = True
            self._head_since = self._connections.loop.time()
        super().data_received(data)

    def eof_received(self) -> bool:  # type: ignore[override] # aiohttp's returns None, which closes the connection
        """Keep a half-closed connection (`nc -N`) open until its responses are written; a long poll or stream ends."""
        self.write_waiting()
        assert self.transport is not None
        if self.transport.get_extra_info("ssl_object") is not None:
            return False  # under TLS asyncio keeps no half-closed connection
        if self._is_idle() or self._disconnected is not None or self._fully_closed():
            return False
        self._half_closed = True
        self._end_body()
        self.end_linger()
        if not self._handling and not self._messages:  # the last response is being written
            self.close()
        return True

    def _fully_closed(self) -> bool:
        """Return whether a client that closed its sending side has closed the receiving side too."""
        assert self.transport is not None
        if not self.tcp:
            poll = select.poll()
            poll.register(self.transport.get_extra_info("socket"), select.POLLOUT)  # macOS reports no event unasked
            return any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))
        if not self._connections.quick or self.policy is None or not self.policy.local:
            return False  # TCP itself does not show the difference
        theirs, ours = (self.transport.get_extra_info(name) for name in ("peername", "sockname"))
        return peer.of_tcp(theirs[:2], ours[:2]) is None

    def _end_body(self) -> None:
        """Fail the read of a body whose rest cannot arrive any more."""
        if self._body is not None and not self._body.is_eof():
            self._body.set_exception(ConnectionResetError("the client closed its sending side before the body's end"))
            self._body.feed_eof()  # otherwise LINGER_S are spent waiting for the rest

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled_since = self._connections.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stalled_since = None
        self._idle_since = self._connections.loop.time()  # the answer may have taken long

    def is_overdue(self, now: float) -> bool:
        """Return whether this connection has exceeded HEAD_S, STALL_S or IDLE_S."""
        if self._head_since is not None and now - self._head_since > HEAD_S:
            return True
        if self._stalled_since is not None:
            return now - self._stalled_since > STALL_S
        return now - self._idle_since > IDLE_S and self._is_idle()

    def waits_for_client(self) -> tuple[bool, float] | None:
        """Return whether its client has had an answer and owes nothing, and since when; None if the daemon is at work.

        What sorts first gives way first: a client that has not asked yet, or ends neither its head nor its body, or
        does not read its answer, before one that is idle between two requests.
        """
        stalls = self._stalled_since is not None or (self._body is not None and not self._body.is_eof())
        if not stalls and not self._is_idle():
            return None
        return self._answered and self._head_since is None and not stalls, self._idle_since

    def _is_idle(self) -> bool:
        """Return whether aiohttp waits for a request: none has come, or its head has not ended."""
        return not self._received or (self._waiter is not None and not self._waiter.done())

    def abort(self) -> None:
        """Close the connection without a response to what is being handled."""
        self.write_waiting()
        if self.transport is not None:
            self.transport.abort()


class HttpConnections:
    """The open HTTP connections of the daemon.

    `policy` makes the policy of a new one; `find` returns who answers a request, None if only the application knows.
    """

    def __init__(
        self,
        server: web.Server,
        loop: asyncio.AbstractEventLoop,
        policy: Callable[[asyncio.Transport], Policy],
        find: Find,
    ) -> None:
        self.server = server
        self.loop = loop
        self.policy = policy
        self.find = find
        self.heads = KnownHeads()
        self.outbox = Outbox(loop)
        self.busy = 0  # requests between their head and their answer, but for long polls and streams
        self.quick = peer.is_quick()
        if not request_loop.IN_USE:
            LOG.warning("aiohttp_changed", aiohttp=aiohttp.__version__, effect="requests take longer")
        self._open: set[HttpConnection] = set()
        self._tcp = 0

    def tcp(self) -> HttpConnection:
        """Return the protocol of a new TCP connection. Above MOST_TCP it takes the place of an idle one."""
        return HttpConnection(self, tcp=True)

    def unix(self) -> HttpConnection:
        """Return the protocol of a new connection on the unix socket."""
        return HttpConnection(self, tcp=False)

    def add(self, connection: HttpConnection) -> bool:
        """Count a connection, in place of an idle one if there are too many; return False if none is idle."""
        if connection.tcp and self._tcp >= MOST_TCP and not self._drop_oldest_idle():
            return False
        self._open.add(connection)
        self._tcp += connection.tcp
        return True

    def _drop_oldest_idle(self) -> bool:
        """Close the TCP connection that has waited for its client for longest; return False if none does."""
        idle = [(since, each) for each in self._open if each.tcp and (since := each.waits_for_client()) is not None]
        LOG.warning("connections_full", most=MOST_TCP, idle=len(idle))
        if not idle:
            return False
        _, oldest = min(idle, key=lambda pair: pair[0])
        self.discard(oldest)
        oldest.abort()
        return True

    def discard(self, connection: HttpConnection) -> None:
        """Stop counting a connection. Repeating does nothing."""
        if connection in self._open:
            self._open.remove(connection)
            self._tcp -= connection.tcp

    async def sweep(self) -> None:
        """Abort overdue connections, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            now = self.loop.time()
            for connection in [each for each in self._open if each.is_overdue(now)]:
                connection.abort()


def connection_of(request: web.Request) -> HttpConnection:
    """Return the connection of a request."""
    connection = request.protocol
    assert isinstance(connection, HttpConnection)
    return connection


def is_disconnected(request: web.Request) -> bool:
    """Return whether the client of `request` has gone, as far as the kernel tells."""
    return connection_of(request).is_disconnected
