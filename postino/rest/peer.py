"""Find the user at the other end of a local connection. Linux only; unknown elsewhere."""

from __future__ import annotations

import asyncio.trsock
import functools
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Final

LINUX: Final = sys.platform == "linux"

_DIAG = 4  # NETLINK_SOCK_DIAG
_BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY
_ESTABLISHED, _FIN_WAIT1, _FIN_WAIT2, _CLOSE_WAIT = 1, 4, 5, 8  # states of a TCP socket
#: of the other end. SYN_SENT may be another process that reuses the port; LISTEN means that there is no connection.
_CONNECTED = frozenset({_ESTABLISHED, _FIN_WAIT1, _FIN_WAIT2, _CLOSE_WAIT})
_NO_COOKIE = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
_TIMEOUT = 0.5  # s; the kernel answers in 10 us

Address = tuple[str, int]


def allowed(uid: int) -> bool:
    """Return whether a process of `uid` may call: this user or root."""
    return uid in (0, os.getuid())


def of_unix(sock: socket.socket) -> int | None:
    """Return the uid that connected this unix socket; None where the system does not report it."""
    if not LINUX:
        return None  # the modes of the socket (0600) and of its directory (0700) keep others out
    _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(uid)


def pid_of_unix(sock: asyncio.trsock.TransportSocket) -> int | None:
    """Return the pid that connected this unix socket; None where the system does not report it."""
    if not LINUX:
        return None
    pid, _, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(pid) or None  # 0: it is in a pid namespace that is not seen from here


def is_here(peer: Address, ours: Address) -> bool:
    """Return whether a peer is certainly on this machine: on loopback, or with the address that it called."""
    host = peer[0].removeprefix("::ffff:")
    return host == "::1" or host.startswith("127.") or peer[0] == ours[0]


def is_open(sock: socket.socket | asyncio.trsock.TransportSocket) -> bool:
    """Return whether this TCP connection still stands: the peer may have closed its sending side, but not reset it.

    While it stands, no other process can have the peer's address, so what `of_tcp` found before belongs to this peer.
    """
    if not LINUX:
        return True
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in (_ESTABLISHED, _CLOSE_WAIT)
    except OSError:
        return False


def of_tcp(peer: Address, ours: Address) -> int | None:
    """Return the uid that owns the other end of a connection; None if this machine has no open socket for it.

    A socket without an inode has no owner any more: the kernel reports it with uid 0, which must not count as root.
    Takes about 10 us, or milliseconds where `is_quick` is false.
    """
    find = _from_netlink if is_quick() else _from_proc
    found = find(peer, ours)
    return None if found is None or found[1] == 0 else found[0]


@functools.cache
def is_quick() -> bool:
    """Return whether the kernel answers about single sockets. Without that, only its whole table tells, slowly.

    A sandbox may forbid netlink, and a small kernel may lack it; it then answers as for a connection that is gone.
    """
    if not LINUX:
        return False
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        return _from_netlink(client.getsockname(), client.getpeername()) is not None


def _from_netlink(peer: Address, ours: Address) -> tuple[int, int] | None:
    """Ask the kernel for this one socket."""
    plain_peer, plain_ours = _plain(peer), _plain(ours)
    family = socket.AF_INET6 if ":" in plain_peer[0] else socket.AF_INET
    addresses = socket.inet_pton(family, plain_peer[0]), socket.inet_pton(family, plain_ours[0])
    ports = struct.pack("!HH", peer[1], ours[1])
    query = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF)
    query += ports + addresses[0].ljust(16, b"\0") + addresses[1].ljust(16, b"\0") + _NO_COOKIE
    head = struct.pack("=IHHII", 16 + len(query), _BY_FAMILY, 1, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _DIAG) as kernel:
            kernel.settimeout(_TIMEOUT)
            kernel.sendto(head + query, (0, 0))
            return _answer(kernel.recv(4096), ports)
    except OSError:
        return None


def _answer(data: bytes, ports: bytes) -> tuple[int, int] | None:
    """Return uid and inode from an inet_diag_msg, if it is about exactly this connection."""
    if len(data) < 88 or struct.unpack_from("=H", data, 4)[0] != _BY_FAMILY:
        return None
    if data[17] not in _CONNECTED or data[20:24] != ports:
        return None
    uid, inode = struct.unpack_from("=II", data, 80)
    return uid, inode


def _from_proc(peer: Address, ours: Address) -> tuple[int, int] | None:
    """Find the socket in /proc/net/tcp, or in tcp6, which also lists IPv4 connections of IPv6 sockets."""
    plain_peer, plain_ours = _plain(peer), _plain(ours)
    rows = [("/proc/net/tcp", plain_peer, plain_ours)] if ":" not in plain_peer[0] else []
    mapped = _mapped(plain_peer), _mapped(plain_ours)
    for path, local, remote in [*rows, ("/proc/net/tcp6", *mapped)]:
        try:
            table = Path(path).read_bytes()
        except OSError:
            continue
        at = table.find(b" %b %b " % (_hex(local), _hex(remote)))
        if at >= 0:
            columns = table[at : table.find(b"\n", at)].split()
            return (int(columns[6]), int(columns[8])) if int(columns[2], 16) in _CONNECTED else None
    return None


def _hex(address: Address) -> bytes:
    """Return an address as /proc/net/tcp has it: 32-bit words in the machine's byte order."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    packed = socket.inet_pton(family, address[0])
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return f"{''.join(f'{word:08X}' for word in words)}:{address[1]:04X}".encode()


def _plain(address: Address) -> Address:
    return address[0].removeprefix("::ffff:"), address[1]


def _mapped(address: Address) -> Address:
    return (address[0] if ":" in address[0] else f"::ffff:{address[0]}"), address[1]
