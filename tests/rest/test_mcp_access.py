"""MCP over HTTP: who a session is, who is let in, and what bounds it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

import pytest

from postino.broker import Broker
from postino.mcp import http_session, http_sessions
from postino.rest.app import STATE
from tests.mcp_http import HttpClient, event
from tests.relays import INITIALIZE
from tests.rest.mcp_sessions import Open, front, only_session
from tests.waiting import eventually


async def test_the_name_is_the_tokens_or_claimed_or_derived(api: Any, connect_mcp: Open) -> None:
    secret, _ = await api.client.app[STATE].tokens.create("ci", "agent", None)
    token = f"Bearer {secret}"
    shown = {}
    for headers in ({"Authorization": token}, {"X-Postino-Agent": "carol"}, {"X-Postino-Agent": "${UNSET}"}):
        client = await connect_mcp(**headers)
        name = (await client.call("msg_whoami"))["agent"]
        await client.call("msg_send", to="bob", body="x")
        message = (await api.read("bob"))[-1]
        shown[name] = (message["from"] == name, message["verified"], message["via"])
    derived = next(each for each in shown if each not in ("ci", "carol"))
    assert shown == {"ci": (True, True, "mcp"), "carol": (True, False, "mcp"), derived: (True, True, "mcp")}

    ci = await connect_mcp(Authorization=token)
    for tool in ("msg_cleanup", "msg_rename"):
        assert (await ci.call(tool, **({"name": "x"} if tool == "msg_rename" else {})))["code"] == "not_allowed"
    stranger = HttpClient(api.client, "/mcp", Mcp_Session_Id=ci.headers["Mcp-Session-Id"])
    assert (await stranger.send("POST", stranger.message("ping")))[0] == 404
    other = HttpClient(api.client, "/mcp", Authorization=token, X_Postino_Agent="carol")
    status, content, _ = await other.send("POST", other.message("initialize", INITIALIZE))
    assert (status, content["code"], content["field"]) == (403, "not_allowed", "X-Postino-Agent")
    publisher, _ = await api.client.app[STATE].tokens.create("cd", "publish", None)
    refused = HttpClient(api.client, "/mcp", Authorization=f"Bearer {publisher}")
    assert (await refused.send("POST", refused.message("initialize", INITIALIZE)))[0] == 403

    async with ci.stream() as stream:
        await api.client.app[STATE].tokens.revoke("ci", None)
        assert await event(stream) is None
    assert (await ci.send("POST", ci.message("ping")))[0] == 401


async def test_a_token_sends_as_often_as_over_the_api(connect: Any, broker: Broker, settings: Any) -> None:
    client = await connect(broker, replace(settings, send_rate=2))
    secret, _ = await client.app[STATE].tokens.create("ci", "agent", None)
    ci = await HttpClient(client, "/mcp", Authorization=f"Bearer {secret}").open()
    async with client.post("/api/messages", json={"to": "bob", "body": "x"}, headers=ci.headers) as answer:
        assert answer.status == 200
    await ci.call("msg_broadcast", body="x")

    assert (await ci.call("msg_send", to="bob", body="x"))["code"] == "rate_limited"


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_the_guard_stands_before_it_as_before_the_api(api: Any, method: str) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    for headers, status in (
        ({"Host": "evil.example"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        (link, 403),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Mcp-Session-Id": "none"}, 404),
        ({}, 400),
    ):
        answer = await api.call(method, "/mcp", {"jsonrpc": "2.0", "id": 1, "method": "ping"}, headers=headers)
        assert (answer.status, headers) == (status, headers)
    assert (await api.call("OPTIONS", "/mcp")).status == 405
    assert (await api.call("PUT", "/mcp")).headers["Allow"] == "DELETE, GET, HEAD, POST"


# bounds


async def test_what_is_no_message_is_refused_and_opens_nothing(api: Any, connect_mcp: Open) -> None:
    bob = await connect_mcp()
    for data, status in (
        (b"", 400),
        (b"[]", 400),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', 400),
        (b'"x"', 400),
        (b"{", 400),
        (b'{"a":' * 200 + b"1" + b"}" * 200, 400),
        (b'{"x":"' + b"a" * 300_000 + b'"}', 413),
    ):
        for headers in ({}, {"Mcp-Session-Id": ""}):
            assert (await bob.send("POST", data=data, headers=headers))[0] in (status, 404)
    assert (await bob.send("POST", {"id": 7}))[0] == 202  # an answer to what nobody asked
    assert (await bob.send("POST", {"id": 7, "method": 5}))[1]["error"]["code"] == -32600
    assert (await bob.send("POST", {"postino": "written", "id": 1}))[0] == 202  # no control line
    assert (await bob.ask("nonsense"))["error"]["code"] == -32601
    assert (await bob.ask("ping", headers={"Mcp-Protocol-Version": "2025-06-18"}))["result"] == {}
    assert (await bob.send("POST", bob.message("ping"), headers={"Mcp-Protocol-Version": "1999-01-01"}))[0] == 400
    bad = HttpClient(api.client, "/mcp")
    assert (await bad.send("POST", bad.message("initialize", {"capabilities": 5})))[1]["error"]
    unnamed = HttpClient(api.client, "/mcp", X_Postino_Agent="no name")
    status, content, _ = await unnamed.send("POST", unnamed.message("initialize", INITIALIZE))
    assert (status, content["field"]) == (400, "X-Postino-Agent")

    sessions = await front(api)
    await eventually(lambda: len(sessions) == 1, "what was not opened is gone")


async def test_sessions_and_requests_are_limited(
    api: Any, broker: Broker, connect_mcp: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_sessions, "MOST", 2)
    monkeypatch.setattr(http_session, "IN_FLIGHT", 1)
    first, second = await connect_mcp(), await connect_mcp()
    third = HttpClient(api.client, "/mcp")
    status, content, _ = await third.send("POST", third.message("initialize", INITIALIZE))
    assert (status, content["code"]) == (503, "too_many")  # both were used just now
    monkeypatch.setattr(http_sessions, "RECENT_S", 0.0)
    async with first.stream():
        await third.open()
        assert (await second.send("POST", second.message("ping")))[0] == 404  # the one that had no stream
        await first.ask("ping")

    sessions = (await front(api))._open
    held = sessions[third.headers["Mcp-Session-Id"]]
    async with held.session.reading:
        asked = asyncio.create_task(third.call("msg_read"))
        await eventually(lambda: held.is_used(), "the read is under way")
        assert (await third.send("POST", third.message("ping")))[1]["code"] == "too_many"
    await asked


async def test_a_stream_that_is_not_read_holds_nothing_up(api: Any, connect_mcp: Open) -> None:
    bob = await connect_mcp()
    session = await only_session(api)
    async with bob.stream():
        for number in range(5000):
            session.put({"jsonrpc": "2.0", "method": "notifications/x", "params": {"text": "x" * 1000, "n": number}})
        assert len(session._notifications) <= http_session.NOTIFICATIONS
        assert (await bob.call("msg_check"))["unreadMessages"] == 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.1):
            async for _ in session.notifications():
                pass
