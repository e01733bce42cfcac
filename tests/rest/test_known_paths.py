"""A path that was asked for before is answered past aiohttp's router and response: byte for byte as the first time."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
from typing import Any

import pytest

from postino.rest import connection, known_paths, request_loop
from tests.rest.raw import ask, dial, get, post, rest
from tests.waiting import eventually

HOST = b"Host: localhost\r\n"
LAST = b"Connection: close\r\n"


def undated(answer: bytes) -> bytes:
    return re.sub(rb"Date: [^\r]+ GMT\r\n", b"Date\r\n", answer)


@pytest.fixture
def name() -> str:
    """A name that no path had before."""
    return f"n{secrets.token_hex(6)}"


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize(
    "request_",
    [
        b"GET /api/check/%s HTTP/1.1\r\n" + HOST + LAST,
        b"GET /api/check/%s HTTP/1.0\r\n" + HOST,
        b"GET /api/check/%s HTTP/1.0\r\nConnection: keep-alive\r\n" + HOST,
        b"HEAD /api/check/%s HTTP/1.1\r\n" + HOST + LAST,
        b"GET /api/check/%s?a=b HTTP/1.1\r\n" + HOST + LAST,
        b"GET /api/check/x%%2F%s HTTP/1.1\r\n" + HOST + LAST,
        b"GET /api/messages/%s?limit=3 HTTP/1.1\r\n" + HOST + LAST,
        b"GET http://localhost/api/check/%s HTTP/1.1\r\n" + HOST + LAST,
        b"GET /api/check/%s HTTP/1.1\r\nExpect: 100-continue\r\n" + HOST + LAST,
        b"GET /api/check/%s HTTP/1.1\r\nExpect: a miracle\r\n" + HOST + LAST,
        b"GET /api/check/%s HTTP/1.1\r\nHost: elsewhere\r\n" + LAST,
        b"DELETE /api/check/%s HTTP/1.1\r\n" + HOST + LAST,
        b"GET /api/nothing/%s HTTP/1.1\r\n" + HOST + LAST,
    ],
)
def test_a_path_is_answered_alike_each_time(served: Any, name: str, request_: bytes, tcp: bool) -> None:
    request = (request_ % f"{name}-{tcp}".encode()).replace(HOST, b"Host: localhost:%d\r\n" % served.port) + b"\r\n"
    follows = b"" if LAST in request else get("/api/nothing", f"localhost:{served.port}")  # HTTP/1.0 may keep alive

    first, *others = (undated(ask(served, request + follows, tcp=tcp)) for _ in range(5))

    assert first.startswith(request[request.index(b"HTTP/") :][:8])
    assert b"\r\nConnection: close\r\n" in first or LAST not in request
    assert others == [first] * 4


def test_requests_of_all_kinds_in_one_piece_are_answered_in_order(served: Any, name: str) -> None:
    known = get(f"/api/check/{name}", close=False)
    ask(served, known.replace(b"\r\n\r\n", b"\r\n" + LAST + b"\r\n"))
    message = post("/api/messages", b'{"to":"%s","body":"hi"}' % name.encode())
    pieces = [known, message, known.replace(b"GET", b"HEAD"), known, get("/api/none", close=False), message, known]

    answer = ask(served, b"".join(pieces) + get("/api/none"))

    assert re.findall(rb"HTTP/1.1 (\d+)|\"unreadMessages\":(\d)", answer) == [
        *[(b"200", b""), (b"", b"0"), (b"200", b""), (b"200", b""), (b"200", b""), (b"", b"1"), (b"404", b"")],
        *[(b"200", b""), (b"200", b""), (b"", b"2"), (b"404", b"")],
    ]


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
def test_a_client_that_asks_for_another_protocol_is_answered_in_this_one(
    served: Any, name: str, protocol: bytes
) -> None:
    host = f"localhost:{served.port}"
    for _ in range(5):
        with dial(served, tcp=True) as line:
            asked = get(f"/api/check/{name}", host, close=False)
            line.sendall(asked.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n" % protocol))
            assert b'"unreadMessages":0' in line.recv(1 << 16)
            line.sendall(get(f"/api/check/{name}", host))
            assert b'"unreadMessages":0' in rest(line)


def test_a_body_may_come_after_its_head(served: Any, name: str) -> None:
    message = post("/api/messages", b'{"to":"%s","body":"hi"}' % name.encode())
    head, end, body = message.partition(b"\r\n\r\n")
    with dial(served, tcp=True) as line:
        for _ in range(5):
            line.sendall(head.replace(b"localhost", b"localhost:%d" % served.port) + end)
            line.sendall(body[:5])
            line.sendall(body[5:])
            assert line.recv(1 << 16).startswith(b"HTTP/1.1 200")
        line.sendall(get("/api/none", f"localhost:{served.port}"))
        assert rest(line).startswith(b"HTTP/1.1 404")


async def test_aiohttp_sends_the_same_head(api: Any) -> None:
    async with api.client.head("/api/check/bob") as answer:  # which aiohttp writes
        theirs = answer.raw_headers
    async with api.client.get("/api/check/bob") as answer:
        await answer.read()
        ours = answer.raw_headers

    assert [each for each in ours if each[0] != b"Date"] == [each for each in theirs if each[0] != b"Date"]
    assert [each[0] for each in ours] == [each[0] for each in theirs]


async def test_a_refused_body_is_awaited_no_longer_than_its_client_may_send_it(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_loop, "LINGER_S", 60.0)
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(f"DELETE /api/messages/bob HTTP/1.1\r\nHost: 127.0.0.1:{api.port}\r\n".encode())
    writer.write(b"Content-Type: application/json\r\nContent-Length: 5\r\n\r\n")
    async with asyncio.timeout(10):
        assert (await reader.readline()).startswith(b"HTTP/1.1 40")
        writer.write_eof()
        await reader.read()  # returns at its end
    writer.close()


async def test_a_connection_that_is_idle_too_long_is_closed_and_one_that_waits_is_not(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "IDLE_S", 0.3)
    monkeypatch.setattr(connection, "SWEEP_S", 0.05)
    connections = api.client.server.runner.connections
    sweeping = asyncio.create_task(connections.sweep())
    try:
        port = api.client.server.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get("/api/health", f"127.0.0.1:{port}", close=False))
        async with asyncio.timeout(10):
            assert (await reader.read()).startswith(b"HTTP/1.1 200")  # returns at its end
        writer.close()
        answer = await api.post("messages/bob/read?wait=2")
        assert (answer.status, answer.json["items"]) == (200, [])
    finally:
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)


async def test_a_limited_number_of_paths_is_remembered(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_paths, "_MOST", 5)
    known = api.client.server.runner.connections.find.__self__
    for number in range(12):
        assert (await api.get(f"check/agent-{number}")).json["agent"] == f"agent-{number}"
        assert len(known) <= 5
    before = len(known)
    assert before > 0
    assert (await api.get(f"check/{'a' * 300}")).status == 400
    assert len(known) == before


async def test_many_requests_in_one_piece_leave_others_their_turn(api: Any) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    counting = asyncio.create_task(count())
    try:
        writer.write(get("/api/none", f"127.0.0.1:{api.port}", close=False) * 300)
        writer.write(get("/api/none", f"127.0.0.1:{api.port}"))
        async with asyncio.timeout(30):
            assert (await reader.read()).count(b"HTTP/1.1 404") == 301
    finally:
        counting.cancel()
        writer.close()
    assert turns > 300


async def test_the_time_that_a_slow_reader_takes_is_no_idle_time(api: Any) -> None:
    connections, line = api.client.server.runner.connections, socket.socket()
    with line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.connect(("127.0.0.1", api.port))
        line.setblocking(False)
        await eventually(lambda: connections._open)
        (slow,) = connections._open
        slow.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        line.sendall(get("/api/openapi.json", f"127.0.0.1:{api.port}", close=False))
        await eventually(lambda: slow._stalled_since is not None)
        slow._idle_since -= connection.IDLE_S * 2

        async with asyncio.timeout(30):
            while slow._stalled_since is not None or not slow._is_idle():
                await asyncio.get_running_loop().sock_recv(line, 1 << 12)
        assert not slow.is_overdue(slow._loop.time())
