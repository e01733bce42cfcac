"""Clients that never finish: `python -m bench.slow_clients PORT` holds 300 connections until its stdin ends.

A third send a head a few bytes at a time, a third a body that stalls, a third nothing at all. One that the daemon
closes is opened again a second later.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

CONNECTIONS = 300
DRIP_S = 1.0  # between two bytes of a slow head
REOPEN_S = 1.0

HEAD = b"GET /api/agents HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-Slow: "
BODY = (
    b"POST /api/messages HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
    b'Content-Length: 1000\r\n\r\n{"to": "bob", "body": "'
)


async def main(port: int) -> int:
    """Hold the connections; print `open` when each was opened once."""
    started = asyncio.Semaphore(0)
    kinds = (HEAD % port, BODY % port, b"")
    holding = [asyncio.create_task(_hold(port, kinds[at % 3], started)) for at in range(CONNECTIONS)]
    for _ in holding:
        await started.acquire()
    print("open", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for each in holding:
        each.cancel()
    await asyncio.gather(*holding, return_exceptions=True)
    return 0


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


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]))))
