"""Clients that send nothing more, or less than they announced, and what they cost the daemon."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from postino.rest.connection import MOST_TCP
from tests.relays import HELLO
from tests.rest.raw import ask, dial, get, half_closed, post, rest
from tests.waiting import until


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("size", [1, 32_768])
def test_a_client_that_sends_nothing_more_gets_its_answer(served: Any, tcp: bool, size: int) -> None:
    message = {"to": "half", "body": "\U0001f4ec" * size, "id": f"h{size}-{tcp}"}
    answer = half_closed(served, post("/api/messages", json.dumps(message, ensure_ascii=False).encode()), tcp=tcp)

    assert answer.startswith(b"HTTP/1.1 200")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["id"] == message["id"]


def test_a_client_that_sends_nothing_more_gets_each_of_its_answers(served: Any) -> None:
    answer = half_closed(served, get("/api/health", close=False) * 4 + post("/api/messages/nobody/read", b""))

    assert answer.count(b"HTTP/1.1 200") == 5


@pytest.mark.parametrize("tcp", [False, True])
def test_an_answer_under_way_to_a_client_that_sends_nothing_more_is_the_last(served: Any, tcp: bool) -> None:
    for _ in range(100):
        half_closed(served, post("/api/messages", b'{"to":"half-%d","body":"%s"}' % (tcp, b"x" * 32_000)))
    with dial(served, tcp=tcp) as line:
        request = get(f"/api/messages/half-{tcp:d}?limit=200", close=False)
        line.sendall(request.replace(b"Host: localhost", b"Host: localhost:%d" % served.port))
        line.recv(1, socket.MSG_PEEK)  # the answer begins; it is more than the buffers take
        time.sleep(0.2)
        line.shutdown(socket.SHUT_WR)
        began = time.monotonic()
        assert len(rest(line)) > 3_000_000
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("tcp", [False, True])
def test_a_body_that_ends_early_is_told_at_once(served: Any, tcp: bool) -> None:
    began = time.monotonic()
    answer = half_closed(served, post("/api/messages", b'{"to":"half","body":"hi"}', length=100), tcp=tcp)

    assert answer.startswith(b"HTTP/1.1 400")
    assert b"ended early" in answer
    assert time.monotonic() - began < 2


def test_in_a_long_poll_or_a_stream_a_client_that_sends_nothing_more_has_gone(served: Any) -> None:
    for request in (post("/api/messages/half-poll/read?wait=30", b""), get("/api/events", close=False)):
        began = time.monotonic()
        half_closed(served, request)
        with dial(served) as line:  # the same once it waits
            line.sendall(request)
            time.sleep(0.2)
            line.shutdown(socket.SHUT_WR)
            rest(line)
        assert time.monotonic() - began < 3
    ask(
        served,
        post("/api/messages", b'{"to":"half-poll","body":"hi","id":"hp"}').replace(
            b"\r\n", b"\r\nConnection: close\r\n", 1
        ),
    )
    state = json.loads(ask(served, get("/api/messages/half-poll/hp")).partition(b"\r\n\r\n")[2])
    assert (state["state"], state["deliveries"]) == ("queued", 0)


def test_the_daemon_keeps_no_descriptor_of_a_client_that_has_gone(served: Any) -> None:
    def open_files() -> int:
        return len(list(Path(f"/proc/{served.pid}/fd").iterdir()))

    ask(served, get("/api/health"))
    before = open_files()
    for number in range(50):
        ask(served, get("/api/health"), tcp=number % 2 == 0)
        dial(served).close()
        half_closed(served, get("/api/health", close=False), tcp=number % 2 == 0)
        with dial(served) as relay:
            relay.sendall(HELLO)
    until(lambda: open_files() <= before + 3)


async def test_stalled_bodies_do_not_shut_others_out_and_an_idle_client_outlives_them(served: Any) -> None:
    port = served.port
    kept_reader, kept = await asyncio.open_connection("127.0.0.1", port)
    kept.write(get("/api/health", f"127.0.0.1:{port}", close=False))
    async with asyncio.timeout(20):
        assert (await kept_reader.readline()).startswith(b"HTTP/1.1 200")
    stalled = post("/api/messages", b'{"to":', length=100).replace(b"localhost", b"localhost:%d" % port)
    lines = []
    for _ in range(MOST_TCP + 20):
        lines.append(await asyncio.open_connection("127.0.0.1", port))
        lines[-1][1].write(stalled)
    async with asyncio.timeout(20):
        kept.write(get("/api/health", f"127.0.0.1:{port}"))
        assert b"HTTP/1.1 200" in await kept_reader.read()
    for _, writer in [*lines, (kept_reader, kept)]:
        writer.transport.abort()


def test_an_expectation_of_a_request_that_no_route_takes_is_refused_as_json(served: Any) -> None:
    request = b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\nExpect: 200-ok\r\n\r\n"

    head, _, body = ask(served, request).partition(b"\r\n\r\n")
    assert (head.split(b" ")[1], json.loads(body)["code"]) == (b"400", "bad_request")
    assert b"aiohttp" not in head
