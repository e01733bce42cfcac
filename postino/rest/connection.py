"""One HTTP connection with the time limits that aiohttp does not have, and all of them together with their number.

aiohttp 3.14 waits for ever for the rest of a head, and for a reader that does not read.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import StreamReader, web

from postino.errors import BadRequest, PostinoError
from postino.model import visible
from postino.rest import peer
from postino.rest.answers import closing, refusal, turned_away

HEAD_S = 5.0  # from the first byte of a request to the end of its head, and to the first byte of the first one
IDLE_S = 30.0  # between two requests; ours come back sooner or dial again in under 1 ms
STALL_S = 30.0  # a reader that takes nothing for so long has gone
LINGER_S = 1.0  # for the rest of a body nobody wants, so that its sender can read the refusal
SWEEP_S = 1.0
MOST_TCP = 200  # connections: 64 streams, and far more than one person's tools need


@dataclass(frozen=True, slots=True)
class Entrance:
    """What holds for every request of one connection."""

    hosts: frozenset[str]
    origins: frozenset[str]
    token: bytes | None = None
    closed: str | None = None  # why nothing from this peer is answered
    any_port: bool = False  # on the unix socket a port in the Host means nothing
    own: bool = False  # the peer is on this machine, and is us or root as far as the system can tell

    def knows(self, host: str) -> bool:
        """Return whether a Host, exactly as it came, names us."""
        if host in self.hosts:
            return True
        name, _, port = host.rpartition(":")
        return self.any_port and name in self.hosts and port.isdecimal()


Examine = Callable[[asyncio.Transport], Entrance]


class Connection(web.RequestHandler):
    """aiohttp's connection, its head and its reader watched; its peer is examined before it counts (see guard)."""

    __slots__ = (
        "_all",
        "_asking",
        "_content",
        "_head_since",
        "_heard",
        "_last",
        "_lost",
        "_stalled_since",
        "_tcp",
        "entrance",
    )

    def __init__(self, everyone: Connections, *, tcp: bool) -> None:
        super().__init__(
            everyone.server,
            loop=everyone.loop,
            keepalive_timeout=IDLE_S,
            lingering_time=LINGER_S,
            access_log=None,  # type: ignore[arg-type] # aiohttp's own default turns it on; None is what its runner passes
            auto_decompress=False,
        )
        self._all = everyone
        self._tcp = tcp
        self._asking = False  # between a request's head and its answer: what comes in is not a new head
        self._head_since: float | None = None
        self._heard = False
        self._stalled_since: float | None = None
        self._lost: asyncio.Future[None] | None = None
        self._last = False  # the client will send nothing more
        self._content: StreamReader | None = None  # the body of the request that is being answered
        self.entrance: Entrance | None = None

    @property
    def tcp(self) -> bool:
        """Whether it came by TCP."""
        return self._tcp

    def lost(self) -> asyncio.Future[None]:
        """Return a future that is done when the client of the present request has gone, or will send nothing more."""
        if self._lost is None:
            self._lost = self._all.loop.create_future()
            if self.transport is None or self._last:
                self._lost.set_result(None)
        return self._lost

    def began(self, request: web.Request) -> None:
        """A request's head is complete."""
        self._asking = True
        self._head_since = None
        self._content = request.content
        self._cut_short()

    def ended(self) -> None:
        """Its answer is made."""
        self._asking = False
        self._lost = None
        if self._last and not self._messages:
            self.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.entrance = self._all.examine(transport)
        if self.entrance.closed is not None:
            transport.write(turned_away(self.entrance.closed))
            transport.close()
        elif self._all.add(self):
            self._head_since = self._all.loop.time()
            super().connection_made(transport)
        else:
            transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._all.discard(self)
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        if not self._heard or (not self._asking and self._head_since is None):
            self._heard = True
            self._head_since = self._all.loop.time()
        super().data_received(data)

    def eof_received(self) -> bool:  # type: ignore[override] # aiohttp never keeps it open
        """Let a client that will send nothing more (`nc -N`) hear its answers; in a long poll or stream it has gone."""
        idle = self._waiter is not None and not self._waiter.done()
        if idle or self._lost is not None or self._hung_up():
            return False
        self._last = True
        self._cut_short()
        if not self._asking and not self._messages:  # an answer that is being written is the last one
            self.close()
        return True

    @property
    def gone(self) -> bool:
        """Whether the client has gone, as far as the kernel tells."""
        transport = self.transport
        return transport is None or transport.is_closing() or (self._last and self._hung_up())

    def _hung_up(self) -> bool:
        """Return whether a client that will send nothing more has closed all of its socket: nobody hears an answer."""
        assert self.transport is not None
        if not self._tcp:
            poll = select.poll()
            poll.register(self.transport.get_extra_info("socket"), select.POLLOUT)  # macOS tells nothing unasked
            return any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))
        if not peer.LINUX or self.entrance is None or not self.entrance.own:
            return False  # TCP itself shows no difference
        theirs, ours = (self.transport.get_extra_info(name) for name in ("peername", "sockname"))
        return peer.of_tcp(theirs[:2], ours[:2]) is None

    def _cut_short(self) -> None:
        """End the wait for the rest of a body that will not come."""
        if self._last and self._content is not None and not self._content.is_eof():
            self._content.set_exception(ConnectionResetError("the client has sent all it will"))
            self._content.feed_eof()  # else aiohttp would linger for what is missing

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled_since = self._all.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stalled_since = None

    def overdue(self, now: float) -> bool:
        """Return whether this connection has used up one of its times."""
        if self._head_since is not None and now - self._head_since > HEAD_S:
            return True
        return self._stalled_since is not None and now - self._stalled_since > STALL_S

    def abort(self) -> None:
        """End it without another word."""
        if self.transport is not None:
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP, or a bug in aiohttp's layer, as JSON."""
        if status == 400:
            return closing(refusal(BadRequest(f"this is no HTTP request: {visible(message or '')[:200]}")))
        self.logger.error("Error handling request", exc_info=exc)
        return closing(refusal(PostinoError("postino has a bug; its log has the traceback")))


class Connections:
    """Every open HTTP connection of the daemon, made by it and counted by it."""

    def __init__(self, server: web.Server, loop: asyncio.AbstractEventLoop, examine: Examine) -> None:
        self.server = server
        self.loop = loop
        self.examine = examine
        self._open: set[Connection] = set()
        self._tcp = 0

    def tcp(self) -> Connection:
        """Return the protocol of a new TCP connection; one too many is closed at once."""
        return Connection(self, tcp=True)

    def unix(self) -> Connection:
        """Return the protocol of a new connection on the unix socket."""
        return Connection(self, tcp=False)

    def add(self, connection: Connection) -> bool:
        """Count a connection in; return False if it is one too many."""
        if connection.tcp and self._tcp >= MOST_TCP:
            return False
        self._open.add(connection)
        self._tcp += connection.tcp
        return True

    def discard(self, connection: Connection) -> None:
        """Count it out; twice is once."""
        if connection in self._open:
            self._open.remove(connection)
            self._tcp -= connection.tcp

    async def sweep(self) -> None:
        """End connections that are overdue, for ever."""
        while True:
            await asyncio.sleep(SWEEP_S)
            now = self.loop.time()
            for connection in [each for each in self._open if each.overdue(now)]:
                connection.abort()


def lost(request: web.Request) -> asyncio.Future[None]:
    """Return a future that is done when the client of `request` has gone; under another server, never."""
    if isinstance(request.protocol, Connection):
        return request.protocol.lost()
    return asyncio.get_running_loop().create_future()


def is_gone(request: web.Request) -> bool:
    """Return whether the client of `request` has gone, as far as the kernel has told."""
    if isinstance(request.protocol, Connection):
        return request.protocol.gone
    transport = request.transport
    return transport is None or transport.is_closing()
