"""The listening sockets: a unix socket, and TCP on the first free port."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
from pathlib import Path

from postino.config import LOOPBACK
from postino.errors import BadField

BACKLOG = 512
TRIES = 20  # ports after the wanted one
LOCAL = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))  # what browsers take `localhost` for


def bind_unix(path: Path) -> socket.socket:
    """Return a bound unix socket, created with mode 0600. A stale file must have been removed.

    Raises:
        BadField: the file cannot be created.
    """
    sock = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        sock.bind(str(path))
    except OSError as error:
        sock.close()
        raise BadField(f"POSTINO_HOME: {path} cannot be created: {error.strerror}", field="POSTINO_HOME") from None
    finally:
        os.umask(mask)
    sock.setblocking(False)
    return sock


def bind_tcp(host: str, port: int) -> list[socket.socket]:
    """Return a listening socket for each address of `host`, all on `port` or on the first free one of the next 20.

    A loopback host means every address of `localhost`. Otherwise another user could listen on one of them, and a
    browser that tries it first would show that user's page as postino's.

    Raises:
        BadField: this machine does not have the address, or no port is free or allowed.
    """
    addresses = _addresses(host, port) if host not in LOOPBACK else _loopback(host, port)
    last = min(port + TRIES, 65_535)
    for wanted in range(port, last + 1) if port else [0] * TRIES:
        try:
            return _bind_all(addresses, wanted)
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise BadField(
                    f"POSTINO_WEB_HOST={host} is not an address of this machine", field="POSTINO_WEB_HOST"
                ) from None
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise BadField(f"POSTINO_WEB_PORT={wanted}: {error.strerror}", field="POSTINO_WEB_PORT") from None
    raise BadField(
        f"POSTINO_WEB_PORT: no port from {port} to {last} is free; set another, or POSTINO_WEB_ENABLED=false",
        field="POSTINO_WEB_PORT",
    )


def _loopback(host: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
    """Return every address of `localhost`, that of `host` first, and none beyond loopback, whatever the name means."""
    found: list[tuple[socket.AddressFamily, str]] = []
    for name in (host, "localhost"):
        with contextlib.suppress(BadField):  # the name need not resolve
            found += _addresses(name, port)
    found = [(family, address) for family, address in found if ipaddress.ip_address(address).is_loopback]
    return list(dict.fromkeys([*found, *LOCAL]))


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        raise BadField(f"POSTINO_WEB_HOST={host} is not an address", field="POSTINO_WEB_HOST") from None
    return list(dict.fromkeys((family, str(place[0])) for family, *_, place in found))


def _bind_all(addresses: list[tuple[socket.AddressFamily, str]], port: int) -> list[socket.socket]:
    """Bind every address that this machine has, or none. For port 0 the first one chooses, for all."""
    absent = OSError(errno.EADDRNOTAVAIL, "no address")
    with contextlib.ExitStack() as undo:
        bound: list[socket.socket] = []
        for family, address in addresses:
            try:
                sock = undo.enter_context(_bind(family, address, port))
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                absent = error  # `localhost` also resolves to ::1 where IPv6 is disabled
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
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart must not fail because of old connections
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, port))
        sock.listen(BACKLOG)  # bind alone does not fail if another program listens
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock
