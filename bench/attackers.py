"""Clients that do harm until their stdin ends: `python -m bench.attackers PORT HOME KIND`.

`slow` holds 300 connections that never finish: a third send a head a few bytes at a time, a third a body that stalls, a
third nothing at all. One that the daemon closes is opened again a second later. `refused` sends 400 requests a second
that are refused, from another user if this one is root, and resets every second connection before the answer.
`malformed` sends 400 requests a second that are not HTTP or not what a route takes; `lines` 400 lines a second to the
unix socket that no relay would send.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import struct
import sys
from collections.abc import Sequence

CONNECTIONS = 300
DRIP_S = 1.0  # between two bytes of a slow head
REOPEN_S = 1.0
PAUSE_S = 0.0025
STRANGER = 65534  # a user id
RESETS = struct.pack("ii", 1, 0)  # SO_LINGER: close() resets

HEAD = b"GET /api/agents HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-Slow: "
BODY = (
    b"POST /api/messages HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
    b'Content-Length: 1000\r\n\r\n{"to": "bob", "body": "'
)
MALFORMED = (
    b"GET\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01",
    b"POST /api/messages HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nContent-Length: 6\r\n"
    b"\r\n{{{{{{",
    b"POST /api/messages HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /api/messages/bob?limit=x HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n",
    b"POST /api/messages HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n"
    b"Connection: close\r\n\r\n" + b"[" * 60_000,
)
LINES = (b"5\n", b"null\n", b"{{{\n", b"[" * 60_000 + b"\n", b'{"postino":"hello","session":5}\n', b"\xff\xfe\n")
FOREIGN = b"POST /api/messages HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 2\r\n\r\n{}"


async def main(port: int, home: str, kind: str) -> int:
    """Attack; print `open` when it has begun."""
    attacks = {
        "slow": lambda: _slow(port),
        "refused": lambda: _refused(port),
        "malformed": lambda: _each(("127.0.0.1", port), [each.replace(b"%d", b"%d" % port) for each in MALFORMED]),
        "lines": lambda: _each(f"{home}/daemon.sock", LINES),
    }
    work = asyncio.create_task(attacks[kind]())
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    return 0


async def _slow(port: int) -> None:
    started = asyncio.Semaphore(0)
    kinds = (HEAD % port, BODY % port, b"")
    async with asyncio.TaskGroup() as group:
        for at in range(CONNECTIONS):
            group.create_task(_hold(port, kinds[at % 3], started))
        for _ in range(CONNECTIONS):
            await started.acquire()
        print("open", flush=True)


async def _hold(port: int, begin: bytes, started: asyncio.Semaphore) -> None:
    first = True
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            if first:
                started.release()
                first = False
            try:
                writer.write(begin)
                await _until_closed(reader, writer, drips=begin.startswith(b"GET"))
            finally:
                writer.close()
        await asyncio.sleep(REOPEN_S)


async def _until_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, drips: bool) -> None:
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRIP_S):
                if not await reader.read(1 << 16):
                    return
        if drips:
            writer.write(b"x")


async def _refused(port: int) -> None:
    if os.getuid() == 0:
        os.setuid(STRANGER)
    print("open", flush=True)
    resets = False
    while True:
        resets = not resets
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as line:
            if resets:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETS)
            line.sendall(FOREIGN)
            if not resets:
                line.recv(1 << 12)
        await asyncio.sleep(PAUSE_S)


async def _each(address: tuple[str, int] | str, texts: Sequence[bytes]) -> None:
    """Send each text in turn on a connection of its own and read the beginning of what comes back."""
    print("open", flush=True)
    for text in itertools.cycle(texts):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        with contextlib.suppress(OSError), socket.socket(family) as line:
            line.settimeout(0.05)  # some are answered only when more has come, or never
            line.connect(address)
            line.sendall(text)
            line.recv(1 << 12)
        await asyncio.sleep(PAUSE_S)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3])))
