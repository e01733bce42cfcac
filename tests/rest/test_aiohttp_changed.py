"""Serving on an aiohttp whose private parts are not those that postino knows: by its own loop, with a warning."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import structlog
from aiohttp import web

from postino.broker.limited_log import LimitedLog
from postino.rest import connection, request_loop
from tests.rest.raw import get, post


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_loop, "IN_USE", request_loop.is_known(object))
    monkeypatch.setattr(request_loop.RequestLoop, "_handle_next", None)  # it takes what that aiohttp does not have
    monkeypatch.setattr(connection, "LOG", LimitedLog())  # one that has not said it yet


async def talk(api: Any, *requests: bytes) -> list[bytes]:
    """Send requests on one connection, each after the answer to the one before; return the answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    answers = []
    for request in requests:
        writer.write(request.replace(b"Host: localhost", b"Host: localhost:%d" % api.port))
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        answers.append(head + (b"" if request.startswith(b"HEAD") else await reader.readexactly(length)))
    writer.close()
    return answers


async def test_requests_are_answered_as_ever(changed: None, api: Any) -> None:
    message = b'{"to":"bob","body":"hello","id":"m1"}'
    sent, again, read, head, bad = await talk(
        api,
        *[post("/api/messages", message)] * 2,
        post("/api/messages/bob/read", b'{"ack":"now"}'),
        get("/api/check/bob", close=False).replace(b"GET", b"HEAD"),
        b"no HTTP\r\n\r\n",
    )

    assert [each.split(b" ")[1] for each in (sent, again, read, head, bad)] == [b"200"] * 4 + [b"400"]
    assert [json.loads(each.partition(b"\r\n\r\n")[2])["created"] for each in (sent, again)] == [True, False]
    assert json.loads(read.partition(b"\r\n\r\n")[2])["items"][0]["body"] == "hello"
    assert b"Server: postino" in read
    assert json.loads(bad.partition(b"\r\n\r\n")[2])["code"] == "bad_request"


async def test_the_log_says_so_once_for_a_daemon(changed: None) -> None:
    async def none(_: Any) -> Any:
        raise AssertionError

    with structlog.testing.capture_logs() as lines:
        connection.HttpConnections(web.Server(none), asyncio.get_running_loop(), none, none)  # type: ignore[arg-type]

    assert [(each["event"], each["log_level"]) for each in lines] == [("aiohttp_changed", "warning")]


def test_this_aiohttp_is_known() -> None:
    assert request_loop.IN_USE


@pytest.mark.parametrize("missing", sorted(request_loop.USED))
def test_an_aiohttp_without_one_of_the_parts_in_use_is_not_known(missing: str) -> None:
    parts = {name: getattr(web.RequestHandler, name) for name in request_loop.USED}
    assert request_loop.is_known(type("Same", (), parts))

    del parts[missing]
    assert not request_loop.is_known(type("Changed", (), parts))


def test_an_aiohttp_that_handles_a_request_otherwise_is_not_known() -> None:
    async def handle(self: Any, request: Any, handler: Any) -> None: ...

    parts = {name: getattr(web.RequestHandler, name) for name in request_loop.USED} | {"_handle_request": handle}
    assert not request_loop.is_known(type("Changed", (), parts))
