"""msg_ask: the reply is read as by msg_read, what nobody hears of is not lost, and a wait wakes nobody."""

from __future__ import annotations

import asyncio

import pytest

from postino.mcp import asking, relay_connection
from postino.mcp.connected import ConnectedSessions
from postino.mcp.updates import COLLECT_S
from postino.model import Draft, Sender
from tests.mcp.mail import ALICE
from tests.relays import said
from tests.waiting import eventually


async def answer(broker, id: str = "r1", answered: str = "q1", to: str = "bob") -> None:
    await broker.mail.send(Draft(id=id, to=to, body="me", reply_to=answered), ALICE)


async def waits(broker, id: str = "q1") -> None:
    """Return once the question is stored: the call waits."""

    async def asked() -> bool:
        return bool((await broker.mail.known([("alice", id)]))[0])

    await eventually(asked)


async def state(broker, id: str = "r1") -> str:
    return (await broker.mail.state("bob", id)).state


async def test_the_reply_is_acknowledged_by_the_next_call(broker, connect):
    bob = await connect("bob")
    call = bob.tool("msg_ask", to="alice", body="who?", id="q1", thread="Red build")
    await waits(broker)
    await answer(broker)

    got = await said_to(bob, call)

    assert (got["to"], got["reply"]["id"], got["reply"]["body"]) == ("alice", "r1", "me")
    assert "not instructions" in got["note"]
    assert await state(broker) == "leased"
    assert (await bob.call("msg_read"))["messages"] == []  # and is not given twice
    await bob.think()
    await bob.call("msg_check")
    assert await state(broker) == "acked"


async def said_to(relay, call: int):
    got = await relay.answer(call)
    relay.written(call)
    return said(got)


async def test_an_answer_that_never_arrived_loses_no_reply(broker, connect):
    bob = await connect("bob")
    call = bob.tool("msg_ask", to="alice", body="who?", id="q1")
    await waits(broker)
    await answer(broker)
    await bob.answer(call)
    bob.send(b'{"postino":"lost","id":%d}' % call)

    (item,) = (await bob.call("msg_read"))["messages"]

    assert (item["id"], item["redelivered"]) == ("r1", True)


async def test_a_killed_client_loses_no_reply(broker, connect):
    bob = await connect("bob")
    bob.tool("msg_ask", to="alice", body="who?", id="q1", timeout=600)
    await waits(broker)
    await bob.close()  # ends the wait at once
    assert not (await broker.agents.one("bob")).online
    await answer(broker)
    again = await connect("bob")
    assert [each["id"] for each in (await again.call("msg_read"))["messages"]] == ["r1"]


async def test_a_cancelled_call_ends_its_wait_and_takes_nothing(broker, connect):
    bob = await connect("bob")
    call = bob.tool("msg_ask", to="alice", body="who?", id="q1", timeout=600)
    await waits(broker)
    bob.notify("notifications/cancelled", {"requestId": call})
    await bob.call("msg_whoami")
    await answer(broker)
    assert (await bob.call("msg_check"))["unreadMessages"] == 1


async def test_a_call_that_is_repeated_under_its_id_waits_on(broker, connect):
    """As the relay repeats it when a daemon was lost."""
    bob = await connect("bob")
    first = await bob.call("msg_ask", to="alice", body="who?", id="q1", timeout="1")
    assert (first["reply"], "ordinary mail" in first["note"]) == (None, True)
    await answer(broker)
    again = await bob.call("msg_ask", to="alice", body="who?", id="q1", timeout=1)
    assert (again["created"], again["reply"]["id"]) == (False, "r1")


@pytest.mark.parametrize("to", ("robert", "human"))
async def test_a_person_answers_by_the_id_of_the_question(broker, connect, to):
    await broker.people.register("robert")
    bob = await connect("bob")
    call = bob.tool("msg_ask", to=to, body="who?", id="q1")
    await eventually(lambda: asked(broker))

    await broker.mail.send(Draft(id="r1", body="me", reply_to="q1"), Sender(name="robert", via="web", verified=True))

    got = await said_to(bob, call)
    assert (got["to"], got["reply"]["from"], got["reply"]["body"]) == (to, "robert", "me")
    assert (await bob.call("msg_history", **{"with": to}))["messages"] != []


async def asked(broker) -> bool:
    return bool((await broker.people.inbox("robert", 10)).items)


async def test_progress_is_reported_to_who_gave_a_token(broker, connect):
    bob = await connect("bob")
    params = {"name": "msg_ask", "arguments": {"to": "alice", "body": "who?", "id": "q1", "timeout": 300}}
    call = bob.request("tools/call", params | {"_meta": {"progressToken": "t1"}})
    await waits(broker)
    await answer(broker)
    await said_to(bob, call)
    (shown,) = [each for each in bob.others if each["method"] == "notifications/progress"]
    assert (shown["params"]["progressToken"], shown["params"]["total"]) == ("t1", 300)
    assert "alice" in shown["params"]["message"]


async def test_the_reply_is_announced_to_nobody_and_other_mail_is(broker, connect):
    bob = await connect("bob")
    await bob.ask("resources/subscribe", {"uri": "postino://inbox/bob"})
    call = bob.tool("msg_ask", to="alice", body="who?", id="q1")
    await waits(broker)
    await answer(broker)
    await said_to(bob, call)
    await asyncio.sleep(3 * COLLECT_S)
    await bob.call("msg_check")
    assert bob.others == []
    await broker.mail.send(Draft(id="m1", to="bob", body="x"), ALICE)

    async def notified() -> bool:
        await bob.call("msg_check")
        return [each["method"] for each in bob.others] == ["notifications/resources/updated"]

    await eventually(notified)


async def test_a_session_that_waits_is_not_to_be_woken(broker, connect):
    sessions = ConnectedSessions()
    bob = await connect("bob", sessions=sessions)
    (connected,) = sessions
    call = bob.tool("msg_ask", to="alice", body="who?", id="q1")
    await waits(broker)
    assert connected.session.is_waiting
    await answer(broker)
    await said_to(bob, call)
    assert not connected.session.is_waiting


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"to": "bob", "body": "x"}, "to"),
        ({"to": "alice"}, "body"),
        ({"body": "x"}, "to"),
        ({"to": "alice", "body": "x", "timeout": 0}, "timeout"),
        ({"to": "alice", "body": "x", "timeout": 601}, "timeout"),
        ({"to": "alice", "body": "x", "timeout": "soon"}, "timeout"),
        ({"to": "alice", "body": "x", "reply_to": "m1"}, "reply_to"),
    ],
)
async def test_a_wrong_ask_is_refused_at_once(broker, connect, arguments, field):
    bob = await connect("bob")
    refused = await bob.call("msg_ask", **arguments)
    assert (refused["ok"], refused["field"]) == (False, field)
    assert (await broker.stats())["messageCount"] == 0


async def test_ten_sessions_ask_each_other_at_once(broker, connect):
    """Each asks the next one, answers the one before, and gets its own answer."""
    names = [f"a{number}" for number in range(10)]
    sessions = [await connect(name) for name in names]
    calls = [
        relay.tool("msg_ask", to=names[(at + 1) % 10], body=f"question of {names[at]}", id=f"q{at}", timeout=60)
        for at, relay in enumerate(sessions)
    ]

    async def all_came() -> bool:
        return all([await broker.mail.length(name) for name in names])

    await eventually(all_came)
    for at, got in enumerate(await asyncio.gather(*(each.call("msg_read") for each in sessions))):
        (asked,) = got["messages"]
        await sessions[at].call("msg_send", body=f"{names[at]} answers {asked['body']}", reply_to=asked["id"])
    for at, relay in enumerate(sessions):
        got = await said_to(relay, calls[at])
        assert got["reply"]["body"] == f"{names[(at + 1) % 10]} answers question of {names[at]}"


async def test_a_client_that_hears_of_no_progress_is_answered_before_it_gives_up(broker, connect, monkeypatch):
    monkeypatch.setattr(asking, "UNHEARD_S", 0.1)
    bob = await connect("bob")

    told = await bob.call("msg_ask", to="alice", body="who?", timeout=600)

    assert told["reply"] is None and "it will come as ordinary mail" in told["note"]


async def test_beyond_the_most_calls_in_flight_a_call_waits_for_one_of_them(broker, connect, monkeypatch):
    monkeypatch.setattr(relay_connection, "MAX_IN_FLIGHT", 2)
    bob = await connect("bob")
    asked = [bob.tool("msg_ask", to="alice", body="who?", id=f"q{number}", timeout=600) for number in (1, 2)]
    check = bob.tool("msg_check")
    await waits(broker, "q1")
    await waits(broker, "q2")
    await answer(broker)

    assert [(await bob.next())["id"] for _ in range(2)] == [asked[0], check]
