"""/mcp: what a session over HTTP reads is acknowledged, given back and kept as over a relay, and who may use it."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from postino.broker import Broker
from postino.mcp import http_session, http_sessions, keepalive
from postino.mcp.session import Session
from postino.mcp.tools import TOOLS
from postino.store import sessions as stored_sessions
from tests.mcp.sessions import mail, states
from tests.mcp_http import READ, HttpClient, event, post_unread
from tests.relays import INITIALIZE, hand_relays
from tests.rest.mcp_sessions import Open, front, only_session
from tests.waiting import eventually

INBOX = "postino://inbox/bob"


def given(answer: dict[str, Any]) -> list[tuple[str, bool]]:
    return [(each["id"], each["redelivered"]) for each in answer["messages"]]


# what is offered


@pytest.mark.parametrize("mode", ["legacy", "auto", "2026-07-28"])
async def test_the_sdks_client_finds_what_it_finds_over_a_relay(api: Any, broker: Broker, mode: str) -> None:
    await mail(broker, "m1")
    headers = {"X-Postino-Agent": "bob"} | ({"X-Postino-Session": "tab 1"} if mode == "2026-07-28" else {})
    transport = streamable_http_client(
        f"http://127.0.0.1:{api.port}/mcp", http_client=httpx2.AsyncClient(headers=headers)
    )
    async with Client(transport, mode=mode) as client:
        version = client.protocol_version
        tools = [each.name for each in (await client.list_tools()).tools]
        prompts = [each.name for each in (await client.list_prompts()).prompts]
        resources = [str(each.uri) for each in (await client.list_resources()).resources]
        agents = json.loads((await client.read_resource("postino://agents")).contents[0].text)  # type: ignore[union-attr]
        read = json.loads((await client.call_tool("msg_read", {})).content[0].text)  # type: ignore[union-attr]
        refused = await client.call_tool("msg_send", {"to": "carol"})
    async with hand_relays(broker) as connect:
        relay = await connect("bob")
        over_relay = {
            what: (await relay.ask(f"{what}/list"))["result"][what] for what in ("tools", "prompts", "resources")
        }

    assert version == ("2026-07-28" if mode == "2026-07-28" else "2025-11-25")
    assert tools == [each["name"] for each in over_relay["tools"]] == list(TOOLS)
    assert prompts == [each["name"] for each in over_relay["prompts"]]
    assert resources == [each["uri"] for each in over_relay["resources"]]
    assert (agents["you"], given(read)) == ("bob", [("m1", False)])
    assert refused.is_error


async def test_no_hooks_are_expected_to_acknowledge_for_it(api: Any) -> None:
    client = HttpClient(api.client, "/mcp")
    answer = await client.ask("initialize", INITIALIZE | {"clientInfo": {"name": "claude-code", "version": "2"}})

    assert "call msg_ack with their ids before you end" in answer["result"]["instructions"]


async def test_an_answer_comes_as_json_or_as_a_stream(api: Any, connect_mcp: Open) -> None:
    bob = await connect_mcp()
    for accept, kind in (
        ("application/json, text/event-stream", "application/json"),
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        ("text/event-stream", "text/event-stream"),
    ):
        status, content, headers = await bob.send("POST", bob.message("ping"), headers={"Accept": accept})
        assert (status, content["result"], headers["Content-Type"].partition(";")[0]) == (200, {}, kind)
    assert (await bob.send("POST", bob.message("ping"), headers={"Accept": "text/html"}))[0] == 400
    assert (await bob.send("GET", headers={"Accept": "application/json"}))[0] == 400
    assert (await bob.send("HEAD"))[0] == 200


# what acknowledges


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_a_read_is_acknowledged_by_the_sessions_next_call_alone(
    broker: Broker, connect_mcp: Open, accept: str
) -> None:
    await mail(broker, "m1")
    bob, other = await connect_mcp(), await connect_mcp()
    bob.headers["Accept"] = accept
    assert given(await bob.call("msg_read")) == [("m1", False)]
    await bob.think()
    await other.call("msg_check")
    await bob.ask("tools/list")  # no model causes it
    assert await states(broker, "m1") == ["leased"]

    await bob.call("msg_check")

    assert await states(broker, "m1") == ["acked"]


async def test_a_request_without_a_handshake_acknowledges_by_its_session_key(broker: Broker, connect_mcp: Open) -> None:
    await mail(broker, "m1", "m2")
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    clients = [await connect_mcp(X_Postino_Agent="bob", X_Postino_Session=key) for key in ("one", "two")]

    async def call(client: HttpClient, name: str, **arguments: Any) -> Any:
        client.headers.pop("Mcp-Session-Id", None)
        client.headers |= {"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": name}
        params = {"name": name, "arguments": arguments, "_meta": meta}
        return json.loads((await client.ask("tools/call", params))["result"]["content"][0]["text"])

    assert given(await call(clients[0], "msg_read", limit=1)) == [("m1", False)]
    assert given(await call(clients[1], "msg_read")) == [("m2", False)]
    await clients[0].think()
    await call(clients[1], "msg_check")
    assert await states(broker, "m1", "m2") == ["leased", "acked"]
    clients[0].headers["Mcp-Name"] = "msg_send"
    wrong = clients[0].message("tools/call", {"name": "msg_check", "arguments": {}, "_meta": meta})
    status, content, _ = await clients[0].send("POST", wrong)
    assert (status, "error" in content) == (400, True)  # its headers say something else

    del clients[0].headers["X-Postino-Session"]
    for method, expected in (("server/discover", (404, -32601)), ("tools/list", (400, -32600))):
        status, content, _ = await clients[0].send(
            "POST", clients[0].message(method, {"_meta": meta}), headers={"Mcp-Method": method}
        )
        assert (status, content["error"]["code"]) == expected
        assert "X-Postino-Session" in content["error"]["message"]


async def test_an_answer_that_the_client_did_not_read_acknowledges_nothing(
    api: Any, broker: Broker, connect_mcp: Open
) -> None:
    await mail(broker, "m1")
    bob = await connect_mcp()
    session = (await only_session(api)).session
    line = await asyncio.to_thread(post_unread, bob, api.port, bob.message("tools/call", READ))
    await eventually(lambda: session._pending and session._pending[0].written_at, "the answer is written")
    line.close()  # with unread data: a reset
    await eventually(lambda: not session._pending, "it is given back")
    await bob.think()

    assert given(await bob.call("msg_read")) == [("m1", True)]
    assert await states(broker, "m1") == ["leased"]


@pytest.mark.parametrize("how", ["gone", "cancelled"])
async def test_a_read_that_is_given_up_meanwhile_keeps_nothing(
    api: Any, broker: Broker, connect_mcp: Open, how: str
) -> None:
    await mail(broker, "m1")
    bob = await connect_mcp()
    session = await only_session(api)
    request = bob.message("tools/call", READ)
    async with session.session.reading:  # as long as another read of the session is under way
        if how == "gone":
            line = await asyncio.to_thread(post_unread, bob, api.port, request)
            await eventually(lambda: session.is_used(), "the read is under way")
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            line.close()
        else:
            asked = asyncio.create_task(bob.send("POST", request))
            await eventually(lambda: session.is_used(), "the read is under way")
            await bob.notify("notifications/cancelled", {"requestId": request["id"]})
            assert (await asked)[1]["error"]["code"] == http_session.CANCELLED
        await eventually(lambda: not session.is_used(), "it is given up")
    await bob.think()
    await bob.call("msg_check")
    assert await states(broker, "m1") == ["queued"]

    assert [id for id, _ in given(await bob.call("msg_read"))] == ["m1"]


async def test_a_cancellation_of_an_answered_read_means_nothing(broker: Broker, connect_mcp: Open) -> None:
    await mail(broker, "m1")
    bob = await connect_mcp()
    request = bob.message("tools/call", READ)
    await bob.send("POST", request)
    await bob.notify("notifications/cancelled", {"requestId": request["id"]})  # as opencode does after each answer
    assert await states(broker, "m1") == ["leased"]
    await bob.think()
    await bob.call("msg_check")

    assert await states(broker, "m1") == ["acked"]


# how a session ends


async def test_the_end_of_a_session_gives_back_what_it_has_not_acknowledged(
    api: Any, broker: Broker, connect_mcp: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mail(broker, "m1")
    bob = await connect_mcp()
    await bob.call("msg_read")
    assert (await bob.end())[0] == 200
    assert await states(broker, "m1") == ["queued"]
    assert (await api.get("agents/bob")).json["online"] is False
    for method in ("POST", "GET", "DELETE"):
        status, content, _ = await bob.send(method, bob.message("ping"))
        assert (status, content["code"]) == (404, "unknown_session")

    await bob.open()
    assert given(await bob.call("msg_read")) == [("m1", True)]
    monkeypatch.setattr(http_sessions, "SWEEP_S", 0.05)
    (await front(api))._sweeping.cancel()
    (await front(api))._sweeping = asyncio.create_task((await front(api))._sweep())
    async with bob.stream():
        monkeypatch.setattr(http_sessions, "IDLE_S", 0.05)
        await asyncio.sleep(0.3)  # several rounds
        assert await states(broker, "m1") == ["leased"]  # an open stream is use

    async def is_given_back() -> bool:
        return await states(broker, "m1") == ["queued"]

    await eventually(is_given_back, "the idle session has ended")
    assert (await bob.send("POST", bob.message("ping")))[0] == 404


async def test_a_call_under_way_at_the_end_of_its_session_is_told_that_its_outcome_is_unknown(
    broker: Broker, connect_mcp: Open
) -> None:
    bob = await connect_mcp()
    ask = {"name": "msg_ask", "arguments": {"to": "alice", "body": "who?", "id": "q1", "timeout": 600}}
    asking = asyncio.create_task(bob.ask("tools/call", ask))

    async def is_sent() -> bool:
        return bool((await broker.mail.known([("alice", "q1")]))[0])

    await eventually(is_sent, "the question is sent")
    assert (await bob.end())[0] == 200

    assert "the outcome is unknown" in (await asking)["error"]["message"]


async def test_a_session_that_ends_with_an_open_stream_stays_offline(
    api: Any, connect_mcp: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keepalive, "PAUSE_S", 0.01)
    for _ in range(5):
        bob = await connect_mcp()
        async with bob.stream() as stream:
            await asyncio.sleep(0.05)  # so long that a sign of life would be passed on
            assert (await bob.end())[0] == 200
            assert await event(stream) is None
        await asyncio.sleep(0.05)  # for whatever the end of the stream causes
        assert (await api.get("agents/bob")).json["online"] is False


async def test_a_client_that_leaves_while_its_session_is_opened_leaves_none_behind(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions, joins = await front(api), asyncio.Event()
    join = Session.join

    async def slowly(session: Session) -> Any:
        joins.set()
        await asyncio.sleep(0.05)
        return await join(session)

    monkeypatch.setattr(Session, "join", slowly)
    opening = asyncio.create_task(sessions.open(http_sessions.Client(name="bob")))
    await joins.wait()
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    assert len(sessions) == 0

    await asyncio.gather(*sessions._leaving)
    assert (await api.get("agents/bob")).json["online"] is False


async def test_the_end_of_a_session_that_hangs_is_not_waited_for(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any) -> None:
        await asyncio.Event().wait()

    sessions = await front(api)
    session = await sessions.open(http_sessions.Client(name="bob"))
    monkeypatch.setattr(http_sessions, "END_S", 0.1)
    monkeypatch.setattr(Session, "close", never)

    async with asyncio.timeout(20):
        await sessions.end(session)


async def test_a_session_key_takes_its_session_over(broker: Broker, connect_mcp: Open) -> None:
    await mail(broker, "m1")
    first = await connect_mcp(X_Postino_Session="/tmp/claude/42.sock")
    name = (await first.call("msg_whoami"))["agent"]
    await mail(broker, "m2", to=name)
    await first.call("msg_read")
    second = await connect_mcp(X_Postino_Session="/tmp/claude/42.sock")

    assert (await second.call("msg_whoami"))["agent"] == name
    assert given(await second.call("msg_read")) == [("m2", True)]
    assert (await first.send("POST", first.message("ping")))[0] == 404


# the stream


async def test_a_subscribed_stream_tells_of_mail_and_the_next_one_takes_its_place(
    broker: Broker, connect_mcp: Open
) -> None:
    bob = await connect_mcp()
    answer = await bob.ask("resources/subscribe", {"uri": "postino://inbox/carol"})
    assert "only your own inbox" in answer["error"]["message"]
    assert (await bob.ask("resources/subscribe", {"uri": INBOX}))["result"] == {}
    async with bob.stream() as first:
        await mail(broker, "m1")
        news = await event(first)
        assert news is not None
        assert (news["method"], news["params"]) == ("notifications/resources/updated", {"uri": INBOX})
        async with bob.stream() as second:
            assert await event(first) is None
            await mail(broker, "m2")
            assert (await event(second) or {})["params"] == {"uri": INBOX}
            await bob.end()
            assert await event(second) is None


async def test_an_agent_is_online_while_its_session_has_a_stream_or_is_used(
    api: Any, connect_mcp: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_sessions, "ONLINE_MS", 1000)
    monkeypatch.setattr(keepalive, "PAUSE_S", 0.1)
    bob = await connect_mcp()

    async def online() -> bool:
        return bool((await api.get("agents/bob")).json["online"])

    async def offline() -> bool:
        return not await online()

    await eventually(offline, "silence has ended its presence")
    async with bob.stream():
        await eventually(online, "the stream makes it online")
    await eventually(offline, "the stream has ended")
    await bob.call("msg_check")
    await eventually(online, "a call makes it online")
