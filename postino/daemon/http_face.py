"""What the daemon serves: HTTP and relays on the unix socket, HTTP on TCP.

Imported while Valkey starts: aiohttp and all routes take as long as that.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from postino.daemon import tls
from postino.daemon.relays import Relays
from postino.daemon.sockets import BACKLOG
from postino.mcp.face import spare_collector
from postino.relay.lines import LINE_LIMIT
from postino.rest import peer
from postino.rest.app import GUARD, KNOWN
from postino.rest.connection import LOG, HttpConnections
from postino.tasks import cancelled

FIRST_BYTE_S = 30.0  # within which a connection must send its first byte
HANDLERS_S = 0.4  # for requests in progress at the end, and again after they are cancelled
RELAY = b"{"  # first byte of every relay, and of no HTTP method

AcceptRelay = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]


class ProtocolSwitch(asyncio.Protocol):
    """A new connection on the unix socket: its first byte decides whether it speaks HTTP or is a relay's."""

    def __init__(self, http: Callable[[], asyncio.Protocol], accept_relay: AcceptRelay) -> None:
        self._http = http
        self._accept_relay = accept_relay
        self._transport: asyncio.Transport | None = None
        self._timeout: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        uid = peer.of_unix(transport.get_extra_info("socket"))
        if uid is not None and not peer.allowed(uid):
            LOG.warning("connection_refused", uid=uid)
            transport.abort()
            return
        self._transport = transport
        self._timeout = asyncio.get_running_loop().call_later(FIRST_BYTE_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timeout is not None:
            self._timeout.cancel()

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._timeout is None:
            return
        self._timeout.cancel()
        protocol = self._relay() if data.startswith(RELAY) else self._http()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(data)

    def _relay(self) -> asyncio.Protocol:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=LINE_LIMIT, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        assert self._transport is not None
        writer = asyncio.StreamWriter(self._transport, protocol, reader, loop)
        # the relay's task begins in the next iteration of the loop, when the protocol has its transport
        self._accept_relay(reader, writer)
        return protocol


@contextlib.asynccontextmanager
async def listening(
    app: web.Application,
    relays: Relays,
    unix: socket.socket,
    sockets: list[socket.socket],
    secured: ssl.SSLContext | None,
) -> AsyncIterator[None]:
    """Serve one application on the unix socket, which `relays` share, and on TCP, with TLS if it is `secured`."""
    loop = asyncio.get_running_loop()
    runner = web.AppRunner(app, shutdown_timeout=HANDLERS_S)
    await runner.setup()
    assert runner.server is not None
    connections = HttpConnections(runner.server, loop, app[GUARD].policy, app[KNOWN].find)
    handshake_s, shutdown_s = (None, None) if secured is None else (tls.HANDSHAKE_S, tls.SHUTDOWN_S)
    async with contextlib.AsyncExitStack() as undo:
        undo.push_async_callback(_end, runner, relays)
        accept = functools.partial(ProtocolSwitch, connections.unix, relays.accept)
        undo.callback((await loop.create_unix_server(accept, sock=unix, backlog=BACKLOG)).close)
        for sock in sockets:
            server = await loop.create_server(
                connections.tcp,
                sock=sock,
                backlog=BACKLOG,
                ssl=secured,
                ssl_handshake_timeout=handshake_s,
                ssl_shutdown_timeout=shutdown_s,
            )
            undo.callback(server.close)
        undo.push_async_callback(cancelled, asyncio.create_task(connections.sweep()))
        spare_collector()
        yield


async def _end(runner: web.AppRunner, relays: Relays) -> None:
    await asyncio.gather(relays.close(), runner.cleanup())
