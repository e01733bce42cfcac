"""The sockets: one unix socket for two protocols, and TCP on the first port that is free."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import structlog

from postino.errors import BadField
from postino.rest import peer

BACKLOG = 512
SILENCE_S = 30.0  # until a connection must have said its first byte
LINE = 1 << 20  # bytes of one relay line
TRIES = 20  # ports after the wanted one
RELAY = b"{"  # what a relay's first byte is and no HTTP method's can be

Relay = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]

_log = structlog.get_logger()


class Door(asyncio.Protocol):
    """A new connection on the unix socket, until its first byte tells who is to have it."""

    def __init__(self, http: Callable[[], asyncio.Protocol], relay: Relay) -> None:
        self._http = http
        self._relay = relay
        self._transport: asyncio.Transport | None = None
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        uid = peer.of_unix(transport.get_extra_info("socket"))
        if uid is not None and not peer.allowed(uid):
            _log.warning("stranger", uid=uid)
            transport.abort()
            return
        self._transport = transport
        self._patience = asyncio.get_running_loop().call_later(SILENCE_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._patience is not None:
            self._patience.cancel()

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._patience is None:
            return
        self._patience.cancel()
        protocol = self._stream() if data.startswith(RELAY) else self._http()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(data)

    def _stream(self) -> asyncio.Protocol:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=LINE, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        assert self._transport is not None
        writer = asyncio.StreamWriter(self._transport, protocol, reader, loop)
        # the relay's task begins in the next round of the loop: by then the protocol has its transport
        self._relay(reader, writer)
        return protocol


def bind_unix(path: Path) -> socket.socket:
    """Return the listening unix socket, mode 0600 from its first moment. A stale file must be gone already.

    Raises:
        BadField: the file cannot be made.
    """
    sock = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        sock.bind(str(path))
    except OSError as error:
        sock.close()
        raise BadField(f"POSTINO_HOME: {path} cannot be made: {error.strerror}", field="POSTINO_HOME") from None
    finally:
        os.umask(mask)
    sock.setblocking(False)
    return sock


def bind_tcp(host: str, port: int) -> list[socket.socket]:
    """Return a bound socket for each address of `host`, all on `port` or on the next of 20 that is free.

    Raises:
        BadField: the address is not this machine's, or no port is free or allowed.
    """
    addresses = _addresses(host, port)
    last = min(port + TRIES, 65_535)
    for wanted in range(port, last + 1) if port else [0] * TRIES:
        try:
            return _bind_all(addresses, wanted)
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise BadField(
                    f"POSTINO_WEB_HOST={host} is no address of this machine", field="POSTINO_WEB_HOST"
                ) from None
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise BadField(f"POSTINO_WEB_PORT={wanted}: {error.strerror}", field="POSTINO_WEB_PORT") from None
    raise BadField(
        f"POSTINO_WEB_PORT: no port from {port} to {last} can be had; name another, or POSTINO_WEB_ENABLED=false",
        field="POSTINO_WEB_PORT",
    )


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        raise BadField(f"POSTINO_WEB_HOST={host} is no address", field="POSTINO_WEB_HOST") from None
    return list(dict.fromkeys((family, str(place[0])) for family, *_, place in found))


def _bind_all(addresses: list[tuple[socket.AddressFamily, str]], port: int) -> list[socket.socket]:
    """Bind every address this machine has, or none; port 0 is chosen by the first and shared by the others."""
    absent = OSError(errno.EADDRNOTAVAIL, "no address")
    with contextlib.ExitStack() as undo:
        bound: list[socket.socket] = []
        for family, address in addresses:
            try:
                sock = undo.enter_context(_bind(family, address, port))
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                absent = error  # `localhost` is ::1 too where IPv6 is switched off
                continue
            port = sock.getsockname()[1]
            bound.append(sock)
        if not bound:
            raise absent
        undo.pop_all()
        return bound


def _bind(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart must not wait for old connections
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, port))
        sock.listen(BACKLOG)  # bind alone does not tell that a stranger listens
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock
