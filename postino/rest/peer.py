"""Find the user at the other end of a local connection. Linux only; unknown elsewhere."""

from __future__ import annotations

import os
import socket
import struct
import sys
from pathlib import Path
from typing import Final

LINUX: Final = sys.platform == "linux"

_DIAG = 4  # NETLINK_SOCK_DIAG
_BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY
_ERROR = 2  # NLMSG_ERROR
_LISTEN = 10  # TCP_LISTEN: the kernel returns a listening socket if the connection is gone
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


def is_here(peer: Address, ours: Address) -> bool:
    """Return whether a peer is certainly on this machine: on loopback, or with the address that it called."""
    host = peer[0].removeprefix("::ffff:")
    return host == "::1" or host.startswith("127.") or peer[0] == ours[0]


def of_tcp(peer: Address, ours: Address) -> int | None:
    """Return the uid that owns the other end of a connection; None if this machine has no open socket for it.

    A socket without an inode has no owner any more: the kernel reports it with uid 0, which must not count as root.
    """
    found = _from_netlink(peer, ours)
    if found is None and is_here(peer, ours):  # other peers are on another machine; the fast query suffices for them
        found = _from_proc(peer, ours)
    if found is None or found[1] == 0:
        return None
    return found[0]


def _from_netlink(peer: Address, ours: Address) -> tuple[int, int] | None:
    """Ask the kernel for this one socket: 10 us. Reading /proc/net/tcp took 4 ms even when it was empty."""
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
        return None  # not available, for example in a sandbox or on an old kernel


def _answer(data: bytes, ports: bytes) -> tuple[int, int] | None:
    """Return uid and inode from an inet_diag_msg, if it is about exactly this connection."""
    if len(data) < 88 or struct.unpack_from("=H", data, 4)[0] != _BY_FAMILY:
        return None
    if data[17] == _LISTEN or data[20:24] != ports:
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
            return int(columns[6]), int(columns[8])
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
