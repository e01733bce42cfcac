"""The end of a connection whose request ends in the moment in which aiohttp's shutdown gives up waiting for it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from aiohttp import web

from postino.rest.answers import Answer
from postino.rest.connection import HttpConnections
from postino.rest.policy import Policy
from tests.waiting import PATIENCE_S


async def test_a_request_that_ends_when_the_shutdown_gives_up_is_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begun, end = asyncio.Event(), asyncio.Event()

    async def slow(_: web.BaseRequest) -> web.StreamResponse:
        begun.set()
        await end.wait()
        return Answer({"ok": True})

    loop = asyncio.get_running_loop()
    connections = HttpConnections(web.Server(slow), loop, lambda _: Policy(frozenset(), frozenset()), lambda _: None)
    server = await loop.create_unix_server(connections.unix, str(tmp_path / "socket"))
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "socket"))
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await begun.wait()
    (connection,) = connections._open
    stopping = asyncio.create_task(connection.shutdown(60))
    await asyncio.sleep(0)  # it waits for the request

    with caplog.at_level(logging.ERROR):
        end.set()  # the handler goes on before the shutdown does
        stopping.cancel()
        head = await reader.readuntil(b"\r\n\r\n")
        await asyncio.wait([stopping])
    writer.close()
    server.close()

    assert head.startswith(b"HTTP/1.1 200")
    assert caplog.records == []


@pytest.mark.parametrize("busy", [0, 1])
@pytest.mark.parametrize("before", [0, 2])
async def test_the_shutdown_waits_for_the_reader_of_a_long_answer(tmp_path: Path, before: int, busy: int) -> None:
    """`before`: requests with the same head, which is known then; `busy`: those of other connections."""

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return Answer({"text": "x" * (4 << 20)})

    loop = asyncio.get_running_loop()
    connections = HttpConnections(
        web.Server(answer), loop, lambda _: Policy(frozenset(), frozenset()), lambda _: answer
    )
    server = await loop.create_unix_server(connections.unix, str(tmp_path / "socket"))
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "socket"))
    connections.busy = busy
    for number in range(before + 1):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        if number < before:
            await reader.readexactly(length)
    (connection,) = connections._open
    assert (connection.known is not None) == (before > 0)

    async with asyncio.timeout(PATIENCE_S):
        stopping = asyncio.create_task(connection.shutdown(60))
        waits = not (await asyncio.wait([stopping], timeout=0.2))[0]
        assert len(await reader.readexactly(length)) == length
        await stopping
    writer.close()
    server.close()
    assert waits
