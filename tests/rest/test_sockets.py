"""The sockets of a real daemon: two protocols on one, and no client that can hold a connection for nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import stat
from collections.abc import AsyncIterator
from typing import Any

import pytest

from postino.rest.connection import MOST_TCP
from tests.relays import HELLO
from tests.rest.raw import ask, dial, get, half_closed, post, rest


def test_the_socket_is_for_its_owner_only(served: Any) -> None:
    assert stat.S_IMODE(served.home.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(served.home.root.stat().st_mode) == 0o700


def test_one_socket_speaks_http_and_to_relays(served: Any) -> None:
    assert ask(served, get("/api/health")).startswith(b"HTTP/1.1 200")

    with dial(served) as relay, relay.makefile("rb") as lines:
        relay.sendall(HELLO)
        welcome = json.loads(lines.readline())
        assert (welcome["postino"], welcome["agent"]) == ("welcome", "bob")
        assert b'"online":true' in ask(served, get("/api/agents/bob"))


def test_a_hello_may_come_byte_by_byte(served: Any) -> None:
    with dial(served) as relay, relay.makefile("rb") as lines:
        for byte in HELLO:
            relay.sendall(bytes([byte]))
        assert json.loads(lines.readline())["postino"] == "welcome"


def test_an_http_head_may_come_byte_by_byte(served: Any) -> None:
    with dial(served) as line:
        for byte in get("/api/health"):
            line.sendall(bytes([byte]))
        assert rest(line).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("host", ["postino", "localhost", "localhost:3333", "127.0.0.1", "[::1]", "[::1]:80"])
def test_on_the_unix_socket_a_port_means_nothing(served: Any, host: str) -> None:
    assert ask(served, get("/api/health", host)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("host", ["evil.example", "postino.evil.example", "localhost:x", "0.0.0.0"])
def test_even_on_the_unix_socket_a_foreign_host_is_foreign(served: Any, host: str) -> None:
    assert ask(served, get("/api/health", host)).startswith(b"HTTP/1.1 421")


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /api/health HTTP/9.9\r\n\r\n",
        b"GET /api/health HTTP/1.1\r\n\r\n",
        b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n",
        b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /api/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /api/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00" * 100 + b"\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_as_json_and_closed(served: Any, request_: bytes, tcp: bool) -> None:
    answer = ask(served, request_, tcp=tcp)

    status = answer.split(b" ", 2)[1]
    assert status in (b"400", b"421"), answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["ok"] is False
    assert b"<" not in answer


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize(
    ("line", "status", "code"),
    [
        ("OPTIONS *", 405, "method_not_allowed"),
        ("GET http://{host}", 404, "not_found"),
        ("GET http://evil.example", 421, "bad_host"),
        ("CONNECT evil.example:80", 421, "bad_host"),
        ("CONNECT {host}", 421, "bad_host"),
        ("BREW /nowhere", 400, "bad_request"),
    ],
)
def test_what_no_route_can_catch_is_refused_as_json(served: Any, line: str, status: int, code: str, tcp: bool) -> None:
    host = f"localhost:{served.port}"
    answer = ask(
        served, f"{line.format(host=host)} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode(), tcp=tcp
    )

    head, _, body = answer.partition(b"\r\n\r\n")
    assert (int(head.split(b" ")[1]), json.loads(body)["code"]) == (status, code)
    assert b"aiohttp" not in head


@pytest.mark.parametrize("line", ["OPTIONS *", "GET http://localhost", "CONNECT localhost:80"])
def test_what_no_route_can_catch_meets_the_guard_first(served: Any, line: str) -> None:
    answer = ask(served, f"{line} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".encode(), tcp=True)

    assert answer.startswith(b"HTTP/1.1 421")


def test_an_answer_to_a_hook_names_no_library(served: Any) -> None:
    event = b'{"session_id":"c-9","hook_event_name":"Stop","cwd":"/"}'

    assert b"aiohttp" not in half_closed(served, post("/api/hooks/Stop", event))


def test_a_badly_chunked_body_is_refused(served: Any) -> None:
    head = (
        b"POST /api/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    assert ask(served, head + b"zz\r\nxx\r\n").split(b" ", 2)[1] == b"400"


def test_requests_in_one_piece_are_answered_in_order(served: Any) -> None:
    answer = ask(served, get("/api/health", close=False) * 5 + get("/nowhere"))

    assert answer.count(b"HTTP/1.1 200") == 5
    assert answer.count(b"HTTP/1.1 404") == 1


@pytest.mark.waits("a body that stalls has 13 s")
@pytest.mark.timeout(180)
async def test_half_requests_and_idle_connections_are_ended_in_time_and_disturb_nobody(served: Any) -> None:
    port = served.port
    host = f"Host: 127.0.0.1:{port}\r\n".encode()
    post = b"POST /api/messages HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n" + host + b"\r\n"
    half = {
        "a connection without a word": (b"", 30, 8),
        "a head without its end": (b"GET /api/health HTTP/1.1\r\n" + host, 30, 8),
        "the head after an answer": (b"GET /api/health HTTP/1.1\r\n" + host + b"\r\n\0GET /", 30, 8),
        "a body that stalls": (post + b'{"to":', 30, 13),
        "a chunked body that stalls": (
            post.replace(b"Content-Length: 100", b"Transfer-Encoding: chunked") + b"5\r\n{",
            5,
            13,
        ),
    }
    async with asyncio.TaskGroup() as group:
        for name, (request, count, seconds) in half.items():
            for _ in range(count):
                group.create_task(ended(port, request, seconds, name))
        # two more that are not overdue: a long poll and a stream go on
        wait = (
            b"POST /api/messages/bob/read?wait=14 HTTP/1.1\r\nContent-Type: application/json\r\nConnection: close\r\n"
        )
        poll = group.create_task(answered(port, wait + host + b"Content-Length: 0\r\n\r\n", 20))
        stream = group.create_task(still_open(port, b"GET /api/events HTTP/1.1\r\n" + host + b"\r\n", 14))
        slowest = group.create_task(slowest_of(served, 100))
    assert poll.result().startswith(b"HTTP/1.1 200")
    assert stream.result()
    assert slowest.result() < 1.0


async def ended(port: int, request: bytes, seconds: float, name: str) -> None:
    """Send part of a request, after a whole one if there is a NUL; the daemon must end the connection in time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    whole, _, half = request.rpartition(b"\0")
    if whole:
        writer.write(whole)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.write(half)
    try:
        async with asyncio.timeout(seconds):
            with contextlib.suppress(ConnectionError):
                answer = await reader.read()
                assert b" 500 " not in answer
    except TimeoutError:
        pytest.fail(f"{name} is still open after {seconds} s")
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def answered(port: int, request: bytes, seconds: float) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(seconds):
        answer = await reader.read()
    writer.close()
    return answer


async def still_open(port: int, request: bytes, seconds: float) -> bool:
    """Read a stream for `seconds`; return whether it is open then."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        async with asyncio.timeout(seconds):
            while await reader.read(65_536):
                pass
        return False
    except TimeoutError:
        return True
    finally:
        writer.close()


async def slowest_of(served: Any, count: int) -> float:
    """Ask for the health again and again meanwhile; return the longest time an answer took."""
    loop = asyncio.get_running_loop()
    longest = 0.0
    for _ in range(count):
        began = loop.time()
        reader, writer = await asyncio.open_unix_connection(str(served.home.socket))
        writer.write(get("/api/health"))
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
        longest = max(longest, loop.time() - began)
        await asyncio.sleep(0.02)
    return longest


async def test_above_two_hundred_tcp_connections_the_oldest_idle_one_gives_way(served: Any) -> None:
    port = served.port
    async with many(port, MOST_TCP - 1) as first:
        busy_reader, busy = await asyncio.open_connection("127.0.0.1", port)
        busy.write(post("/api/messages/nobody/read", b'{"wait":60}').replace(b"localhost", b"localhost:%d" % port))
        await busy.drain()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get("/api/health", f"127.0.0.1:{port}"))
        async with asyncio.timeout(5):
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            with contextlib.suppress(ConnectionError):
                assert await first[0].read() == b""
        writer.close()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await busy_reader.read(1)
        busy.close()


@contextlib.asynccontextmanager
async def many(port: int, count: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    lines = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    yield lines[0]
    for _, writer in lines:
        writer.close()
    for _, writer in lines:
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def test_a_client_that_leaves_its_long_poll_leases_nothing(served: Any) -> None:
    with dial(served) as line:
        line.sendall(
            b"POST /api/messages/bob/read?wait=30 HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nContent-Length: 0\r\n\r\n"
        )
        assert ask(served, get("/api/check/bob")).endswith(b'"unreadMessages":0,"unseenBroadcasts":0}\n')
    body = json.dumps({"to": "bob", "body": "hi", "id": "m1"}).encode()
    sent = ask(
        served,
        b"POST /api/messages HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body),
    )
    assert sent.startswith(b"HTTP/1.1 200")

    state = json.loads(ask(served, get("/api/messages/bob/m1")).partition(b"\r\n\r\n")[2])
    assert (state["state"], state["deliveries"]) == ("queued", 0)
