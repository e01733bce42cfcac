"""A request whose head was parsed before: the answer is the same, however it and others arrive."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import secrets
import socket
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.rest import known_heads
from postino.rest.app import STATE
from postino.rest.connection import HttpConnections
from postino.rest.known_heads import head_of
from tests.rest.raw import ask, dial, get, half_closed, post

AGAIN = 5  # times that a request is sent: its path is known from the second on, its head from the third

CHECK, NONE = get("/api/check/bob", close=False), get("/api/none", close=False)
SEND = post("/api/messages", b'{"to":"bob","body":"hi","id":"m1"}')
LONGER = post("/api/messages", b'{"to":"bob","body":"hello","id":"m2"}')
READ = post("/api/messages/ada/read", b'{"limit":1}')
EMPTY = post("/api/agents/eve/heartbeat", b"")
CHUNKED = SEND.partition(b"Content-Length")[0] + b"Transfer-Encoding: chunked\r\n\r\n22\r\n%b\r\n0\r\n\r\n" % SEND[-34:]
REFUSED = post("/api/messages", b'{"to":"bob"}')


def heads(api: Any) -> known_heads.KnownHeads:
    connections: HttpConnections = api.client.server.runner.connections
    return connections.heads


def at(api: Any, request: bytes) -> bytes:
    return request.replace(b"Host: localhost", b"Host: localhost:%d" % api.port)


async def talk(api: Any, *pieces: bytes, answers: int) -> list[tuple[int, bytes]]:
    """Send pieces of requests on one connection, each in a turn of its own; return status and body of the answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    try:
        async with asyncio.timeout(30):
            for each in pieces:
                writer.write(each)
                for _ in range(3):
                    await asyncio.sleep(0)
            return [await _answer(reader) for _ in range(answers)]
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    assert length is not None
    return int(head.split(b" ")[1]), await reader.readexactly(int(length[1]))


async def test_a_head_is_parsed_until_it_is_known(api: Any) -> None:
    requests = [at(api, each) for each in (SEND, LONGER, CHECK)]
    first = await talk(api, *requests, answers=3)
    assert len(heads(api)) == 0

    for _ in range(AGAIN):
        for each, (status, body) in zip(requests, first, strict=True):
            answer = (await talk(api, each, answers=1))[0]
            assert (answer[0], len(answer[1]) - len(body) in (0, 1)) == (status, True)
    assert len(heads(api)) == 3
    assert [heads(api).find(each) is not None for each in requests] == [True] * 3


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_requests_in_pieces_of_any_size_are_answered_in_order(served: Any, data: Any) -> None:
    kinds = [CHECK, NONE, SEND, LONGER, READ, EMPTY, CHUNKED, REFUSED]
    given = [each.replace(b"localhost", b"localhost:%d" % served.port) for each in kinds]
    wanted = data.draw(st.lists(st.integers(0, len(kinds) - 1), min_size=1, max_size=12))
    whole = b"".join(given[each] for each in wanted)
    ends = [sum(len(given[each]) for each in wanted[: count + 1]) for count in range(len(wanted))]
    cuts = data.draw(st.sets(st.one_of(st.sampled_from(ends), st.integers(0, len(whole))), max_size=12))
    places = sorted({0, *cuts, len(whole)})
    with dial(served, tcp=True) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answers, at = b"", 0
        for begin, end in itertools.pairwise(places):
            line.sendall(whole[begin:end])
            while at < len(ends) and ends[at] <= end:  # what was asked whole is answered
                answers, at = answers + _next_answer(line)[0], at + 1
    statuses = [int(each) for each in re.findall(rb"HTTP/1.1 (\d+)", answers)]
    assert statuses == [[200, 404, 200, 200, 200, 200, 200, 400][each] for each in wanted]


def _next_answer(line: socket.socket) -> tuple[bytes, bytes]:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += line.recv(1)
    length = re.search(rb"Content-Length: (\d+)", head)
    assert length is not None
    body = b""
    while len(body) < int(length[1]):
        body += line.recv(int(length[1]) - len(body))
    return head, body


@pytest.mark.parametrize("how", ["head first", "with the head", "in pieces"])
async def test_a_body_that_looks_like_a_known_request_is_a_body(api: Any, how: str) -> None:
    known = at(api, SEND)
    for _ in range(AGAIN):
        await talk(api, known, answers=1)
    assert heads(api).find(known) is not None
    before = (await api.get("check/bob")).json["unreadMessages"]
    head = at(api, post("/api/messages", b"", length=len(known)))

    pieces = {"head first": [head, known], "with the head": [head + known], "in pieces": [head, known[:9], known[9:]]}
    first, second = await talk(api, *pieces[how], at(api, CHECK), answers=2)

    assert (first[0], second[0]) == (400, 200)  # the body is no JSON, and nothing was sent
    assert (await api.get("check/bob")).json["unreadMessages"] == before


@pytest.mark.parametrize(
    "unusual",
    [
        b"GET /api/check/ada HTTP/1.1\r\nHost: localhost\r\nX-A: ",  # the known one is then within its head
        CHECK + b"GET /api/check/ada HTTP/1.1\r\nHost: localhost\r\nX-A: ",
        CHECK + post("/api/messages", b"", length=10),  # in one piece
        CHECK + CHECK + SEND[:-1],
        b"\r\n\r\n" + post("/api/messages", b"", length=10),  # empty lines before a request
        post("/api/messages", b"", length=10).replace(b"\r\n", b"\n"),
        post("/api/messages", b"", length=10).replace(
            b"Content-Length", b"Transfer-Encoding: chunked\r\nContent-Length"
        ),
        post("/api/messages", b"", length=10).replace(
            b"Content-Length: 10", b"Content-Length: 10\r\nContent-Length: 0"
        ),
        post("/api/messages", b"", length=10).replace(b"HTTP/1.1", b"HTTP/1.0"),
        post("/api/messages", b"", length=10).replace(b"Host", b"Connection: Upgrade\r\nUpgrade: h2c\r\nHost"),
    ],
)
async def test_after_an_unusual_request_a_known_one_is_found_where_it_is_otherwise(api: Any, unusual: bytes) -> None:
    known = at(api, SEND)

    async def exchange(cut: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        answers = b""
        with contextlib.suppress(ConnectionError):
            writer.write(at(api, unusual) + b"0123456789ab"[:cut])
            for _ in range(5):
                await asyncio.sleep(0)
            writer.write(known)
            for _ in range(5):
                await asyncio.sleep(0)
            with contextlib.suppress(OSError):
                writer.write_eof()
            async with asyncio.timeout(30):
                while part := await reader.read(1 << 16):
                    answers += part
        writer.close()
        return re.sub(rb"Date: [^\r]+", b"", answers)

    await talk(api, known, answers=1)
    for cut in (0, 9, 10, 11):
        heads(api)._known.clear()
        otherwise = await exchange(cut)
        for _ in range(AGAIN):
            await talk(api, known, answers=1)
        assert heads(api).find(known) is not None
        assert [await exchange(cut) for _ in range(AGAIN)] == [otherwise] * AGAIN


async def test_a_revoked_token_is_refused_although_its_head_is_known(api: Any) -> None:
    tokens = api.client.app[STATE].tokens
    text, _ = await tokens.create("ci", "agent", None)
    request = (
        at(api, CHECK)
        .replace(b"/bob", b"/ci")
        .replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer %b\r\n\r\n" % text.encode())
    )
    assert [(await talk(api, request, answers=1))[0][0] for _ in range(AGAIN)] == [200] * AGAIN
    assert heads(api).find(request) is not None

    await tokens.revoke("ci", None)

    assert [(await talk(api, request, answers=1))[0][0] for _ in range(AGAIN)] == [401] * AGAIN


def test_a_head_that_one_listener_admits_is_refused_by_another(served: Any) -> None:
    request = get(f"/api/check/n{secrets.token_hex(4)}", "postino", close=False)  # a name of the unix socket alone
    with dial(served) as line:
        for _ in range(AGAIN):
            line.sendall(request)
            assert _next_answer(line)[0].startswith(b"HTTP/1.1 200")
            assert ask(served, request, tcp=True).startswith(b"HTTP/1.1 421")


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"application/json", b"application/xml", 415),
        (b"Content-Type", b"Content-Encoding: gzip\r\nContent-Type", 415),
        (b"Host", b"Origin: http://elsewhere\r\nHost", 403),
        (b"Host", b"Sec-Fetch-Site: cross-site\r\nHost", 403),
        (b"Host", b"Authorization: Bearer wrong\r\nHost", 401),
        (b"/messages", b"/messages?x=1", 400),
    ],
)
async def test_a_refused_head_is_refused_each_time(api: Any, old: bytes, new: bytes, status: int) -> None:
    request = at(api, SEND).replace(old, new)
    assert [(await talk(api, request, answers=1))[0][0] for _ in range(AGAIN)] == [status] * AGAIN


async def test_a_body_over_the_limit_is_refused_each_time(api: Any) -> None:
    request = at(api, post("/api/agents/bob/heartbeat", b'{"x":"%b"}' % (b"x" * 100_000)))
    for _ in range(AGAIN):
        status, body = (await talk(api, request, answers=1))[0]
        assert status in (400, 413), body


async def test_a_request_for_another_protocol_does_not_become_known(api: Any) -> None:
    request = at(api, CHECK).replace(b"Host", b"Connection: Upgrade\r\nUpgrade: websocket\r\nHost")
    assert [(await talk(api, request, answers=1))[0][0] for _ in range(AGAIN)] == [200] * AGAIN
    assert heads(api).find(request) is None


async def test_a_limited_number_of_heads_is_remembered(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_heads, "_MOST", 5)
    for number in range(12):
        for _ in range(AGAIN):
            await talk(api, at(api, CHECK).replace(b"/bob", b"/n%d" % number), answers=1)
        assert 0 < len(heads(api)) <= 5
    before = len(heads(api))
    for headers in (b"X: %b\r\n" % (b"x" * 3000), b"X: x\r\n" * 40):
        for _ in range(AGAIN):
            await talk(api, at(api, CHECK).replace(b"Host", headers + b"Host"), answers=1)
        assert len(heads(api)) == before


@pytest.mark.parametrize(
    "header", [b"Authorization: Bearer wrong", b"Origin: http://elsewhere", b"Sec-Fetch-Site: cross-site"]
)
async def test_the_head_of_a_request_that_is_not_admitted_is_not_remembered(api: Any, header: bytes) -> None:
    refused = at(api, CHECK).replace(b"Host", header + b"\r\nHost")
    await talk(api, at(api, CHECK), answers=1)
    for each in (refused, refused.replace(b"localhost", b"elsewhere")):
        assert all([(await talk(api, each, answers=1))[0][0] in (401, 403, 421) for _ in range(AGAIN)])
        assert heads(api).find(each) is None


@pytest.mark.parametrize(
    "data", [b"", b"\r\n\r\n", b"\r\nGET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\nHost: a\r\n\r\n", b"GET"]
)
def test_what_may_end_elsewhere_has_no_head(data: bytes) -> None:
    assert head_of(data) == b""


async def test_answers_that_are_ready_together_all_arrive(api: Any) -> None:
    """Each connection closes its sending side at once, as `nc -N` does: its answer must not be lost by that."""

    async def one(number: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(at(api, post("/api/messages", b'{"to":"bob","body":"hi","id":"t%d"}' % number)))
        if number % 2:
            writer.write_eof()
        else:
            writer.write(at(api, get("/api/none")))
        try:
            return await reader.read()
        finally:
            writer.close()

    async with asyncio.timeout(60):
        for begin in range(0, 300, 60):
            answers = await asyncio.gather(*[one(begin + each) for each in range(60)])
            assert all(b'"created":true' in each for each in answers)
            assert [each.count(b"HTTP/1.1 ") for each in answers] == [2, 1] * 30


async def test_an_answer_that_waits_is_written_before_its_connection_is_closed(api: Any) -> None:
    for close in ("force_close", "abort", "eof_received"):
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(at(api, CHECK))
        async with asyncio.timeout(30):
            await _answer(reader)
            (connection,) = [
                each
                for each in api.client.server.runner.connections._open
                if each.peername == writer.get_extra_info("sockname")
            ]
            connection._unwritten = b"waits"
            getattr(connection, close)()
            assert await reader.readexactly(5) == b"waits"
        writer.close()


@pytest.mark.parametrize(
    ("path", "kind", "data", "answer"),
    [
        ("/api/import?check=true", b"application/x-ndjson", b'{"postino":"no export"}\n', b'"line":1'),
        ("/api/hooks/Stop", b"application/json", b'{"session_id":"s","cwd":"/","hook_event_name":"Stop"}', b""),
        ("/mcp", b"application/json", b'{"jsonrpc":"2.0","id":1,"method":"nothing"}', b'"jsonrpc":"2.0"'),
    ],
)
def test_a_route_that_reads_its_body_itself_gets_all_of_it(
    served: Any, path: str, kind: bytes, data: bytes, answer: bytes
) -> None:
    request = post(path, data).replace(b"application/json", kind)
    with dial(served) as line:
        got = []
        for _ in range(AGAIN):
            line.sendall(request)
            head, body = _next_answer(line)
            got.append((head.split(b"\r\n")[0], body))
    assert got == [got[0]] * AGAIN
    assert answer in got[0][1], got[0]
    assert b" 500 " not in got[0][0]


def test_half_closed_requests_are_answered(served: Any) -> None:
    name = secrets.token_hex(4).encode()
    for number in range(AGAIN):
        data = b'{"to":"bob","body":"hi","id":"%b-%d"}' % (name, number)
        for tcp in (False, True):
            assert b" 200 OK" in half_closed(served, post("/api/messages", data), tcp=tcp)


async def test_a_slow_reader_gets_each_answer_once_and_fills_no_memory(api: Any) -> None:
    for number in range(40):
        await api.send("bob", "x" * 30_000, id=f"long-{number}")
    peek = at(api, get("/api/messages/bob?limit=40", close=False))
    ((_, whole),) = await talk(api, peek, answers=1)
    connections, line = api.client.server.runner.connections, socket.socket()
    with line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.connect(("127.0.0.1", api.port))
        line.setblocking(False)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(60):
            for _ in range(AGAIN):  # each in a piece of its own
                await loop.sock_sendall(line, peek)
                await asyncio.sleep(0.05)
            (slow,) = [each for each in connections._open if each.peername == line.getsockname()]
            assert slow.transport.get_write_buffer_size() + len(slow._unwritten) < 2.5 * len(whole)
            await loop.sock_sendall(line, at(api, get("/api/none")))  # after which the connection is closed
            answers = b""
            while part := await loop.sock_recv(line, 1 << 20):
                answers += part
    assert answers.count(whole) == answers.count(b"HTTP/1.1 200") == AGAIN
    assert answers.count(b"HTTP/1.1 404") == 1
