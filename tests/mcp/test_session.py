"""What acknowledges, and what gives back: the session's side of a relay connection, on real Valkey."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from postino.broker import Broker
from postino.broker.mail import Mail
from postino.mcp.connected import HOOK_SILENCE_S, ConnectedSessions
from postino.model import BroadcastDraft
from tests.mcp.mail import ALICE
from tests.mcp.sessions import ids, is_state, mail, states
from tests.relays import HandRelay, said
from tests.waiting import eventually


async def test_a_read_is_acknowledged_by_the_next_call(broker, connect):
    await mail(broker, "m1", "m2")
    bob = await connect("bob")
    assert ids(await bob.call("msg_read")) == ["m1", "m2"]
    assert await states(broker, "m1", "m2") == ["leased", "leased"]
    await bob.think()
    await bob.call("msg_check")
    assert await states(broker, "m1", "m2") == ["acked", "acked"]


async def read_as(bob: HandRelay, tool_use: str | None, tool: str = "msg_read") -> Any:
    """Call a tool as Claude Code does, which names its tool uses."""
    meta = {"_meta": {"claudecode/toolUseId": tool_use}} if tool_use else {}
    call = bob.request("tools/call", {"name": tool, "arguments": {}} | meta)
    answer = await bob.answer(call)
    bob.written(call)
    return said(answer)


async def test_where_hooks_are_heard_a_read_is_acknowledged_after_its_round_by_the_next_hook(broker, connect):
    await mail(broker, "m1")
    sessions = ConnectedSessions()
    bob = await connect("bob", sessions=sessions)
    (connected,) = sessions
    connected.hook_received("c-1", idle=False)
    await read_as(bob, "toolu_1")
    await bob.think()
    await bob.call("msg_send", to="alice", body="of the same round of calls, which the model has seen nothing of")
    await connected.session.ack_listed(turn_ended=True)
    connected.session.round_ended({"toolu_0"})  # of a subagent, say
    await connected.session.ack_listed(turn_ended=True)
    connected.session.round_ended({"toolu_1", "toolu_2"})
    assert await states(broker, "m1") == ["leased"]

    await connected.session.ack_listed()

    assert await states(broker, "m1") == ["acked"]


@pytest.mark.parametrize("sign", ["a round later", "the end of the turn"])
async def test_a_read_of_no_tool_call_is_acknowledged_by_the_round_after_the_next_or_the_end_of_the_turn(
    broker, connect, sign
):
    await mail(broker, "m1")
    sessions = ConnectedSessions()
    bob = await connect("bob", sessions=sessions)
    (connected,) = sessions
    connected.hook_received("c-1", idle=False)
    await read_as(bob, None)
    await bob.ask("ping")
    await connected.session.ack_listed()
    assert await states(broker, "m1") == ["leased"]
    if sign == "a round later":
        connected.session.round_ended({"toolu_1"})
    await connected.session.ack_listed(turn_ended=sign == "the end of the turn")

    assert await states(broker, "m1") == ["acked"]


async def test_what_a_subagent_was_given_all_the_same_goes_back_labelled(broker, connect):
    await mail(broker, "m1")
    await broker.broadcasts.broadcast(BroadcastDraft(id="b1", body="one"), ALICE)
    sessions = ConnectedSessions()
    bob = await connect("bob", sessions=sessions)
    (connected,) = sessions
    connected.hook_received("c-1", idle=False)
    await read_as(bob, "toolu_sub")
    await read_as(bob, "toolu_sub_2", "msg_broadcasts")

    await connected.session.give_back_shown({"toolu_sub", "toolu_sub_2"})

    (again,) = (await read_as(bob, "toolu_main"))["messages"]
    assert (again["id"], again["delivery"], again["redelivered"]) == ("m1", 2, True)
    assert [each["id"] for each in (await read_as(bob, "toolu_main", "msg_broadcasts"))["broadcasts"]] == ["b1"]


async def test_hooks_that_have_fallen_silent_are_not_waited_for(broker, connect):
    await mail(broker, "m1")
    sessions = ConnectedSessions()
    bob = await connect("bob", sessions=sessions)
    (connected,) = sessions
    connected.last_hook_at = asyncio.get_running_loop().time() - HOOK_SILENCE_S - 1
    await bob.call("msg_read")
    await bob.think()
    await bob.call("msg_check")
    assert await states(broker, "m1") == ["acked"]


async def test_the_acknowledgement_comes_before_the_call_is_handled(broker, connect):
    await mail(broker, "m1")
    bob = await connect("bob")
    await bob.call("msg_read")
    await bob.think()
    entry = (await bob.call("msg_list_agents"))["agents"][0]
    assert entry["name"] == "bob" and entry["messageCount"] == 0


@pytest.mark.parametrize("method", ["resources/read", "prompts/get"])
async def test_reading_a_resource_or_getting_a_prompt_acknowledges_too(broker, connect, method):
    await mail(broker, "m1")
    bob = await connect("bob")
    await bob.call("msg_read")
    await bob.think()
    await bob.ask(method, {"uri": "postino://agents"} if method == "resources/read" else {"name": "check-messages"})
    await eventually(lambda: is_state(broker, "m1", "acked"))


@pytest.mark.parametrize("method", ["ping", "tools/list", "prompts/list", "resources/list"])
async def test_what_a_client_asks_by_itself_acknowledges_nothing(broker, connect, method):
    await mail(broker, "m1")
    bob = await connect("bob")
    await bob.call("msg_read")
    await bob.think()
    assert "result" in await bob.ask(method)
    assert await states(broker, "m1") == ["leased"]


async def test_a_call_sooner_than_50_ms_after_the_answer_acknowledges_nothing(broker, connect):
    await mail(broker, "m1")
    bob = await connect("bob")
    await bob.call("msg_read")
    await bob.call("msg_check")
    assert await states(broker, "m1") == ["leased"]
    await bob.think()
    await bob.call("msg_check")
    assert await states(broker, "m1") == ["acked"]


async def test_an_answer_that_was_not_written_to_the_client_is_not_acknowledged(broker, connect):
    await mail(broker, "m1")
    bob = await connect("bob")
    await bob.answer(bob.tool("msg_read"))
    await bob.think()
    await bob.call("msg_check")
    await bob.think()
    await bob.call("msg_check")
    assert await states(broker, "m1") == ["leased"]


async def test_a_call_beside_another_one_acknowledges_nothing(broker, connect):
    await mail(broker, "m1")
    bob = await connect("bob")
    await bob.call("msg_read")
    await bob.think()
    beside = bob.tool("msg_whoami")  # arrives alone, so it settles m1
    await mail(broker, "m2")
    second = bob.tool("msg_read")
    await bob.answer(second)
    bob.written(second)
    await bob.answer(beside)
    await bob.think()
    await bob.call("msg_check")  # the answer of `beside` is not with the client: it may have been sent before m2 came
    assert await states(broker, "m1", "m2") == ["acked", "leased"]
    bob.written(beside)
    await bob.call("msg_check")
    assert await states(broker, "m2") == ["acked"]


async def test_a_call_that_is_refused_acknowledges_as_well(broker, connect):
    await mail(broker, "m1", "m2")
    bob = await connect("bob")
    await bob.call("msg_read", limit=1)
    await bob.think()
    assert (await bob.call("msg_send", to=5))["code"] == "bad_field"
    await eventually(lambda: is_state(broker, "m1", "acked"))
    await bob.call("msg_read", limit=1)
    await bob.think()
    assert "error" in await bob.ask("tools/call", {"nonsense": 1})
    await eventually(lambda: is_state(broker, "m2", "acked"))


async def test_a_second_read_gives_further_messages(broker, connect):
    await mail(broker, "m1", "m2")
    bob = await connect("bob")
    first, second = await bob.call("msg_read", limit=1), await bob.call("msg_read", limit=1)
    assert (ids(first), first["more"], ids(second), second["more"]) == (["m1"], True, ["m2"], False)


async def test_an_explicit_ack_needs_no_later_call(broker, connect):
    await mail(broker, "m1", "m2")
    bob = await connect("bob")
    await bob.call("msg_read")
    settled = await bob.call("msg_ack", ids=["m1", "nobodys"])
    assert settled == {"acknowledged": ["m1"], "rejected": ["nobodys"]}
    assert await states(broker, "m1", "m2") == ["acked", "leased"]
    assert (await bob.call("msg_ack", ids=["m1"]))["acknowledged"] == ["m1"]


async def test_leases_of_a_connected_session_are_prolonged(open_broker, connect):
    broker = await open_broker(message_lease=1)
    await mail(broker, "m1")
    bob = await connect("bob", broker=broker)
    await bob.call("msg_read")
    async with asyncio.timeout(10):
        before = (await broker.mail.state("bob", "m1")).lease_until
        while (now := (await broker.mail.state("bob", "m1")).lease_until) == before:
            assert not (await broker.mail.read("bob", "s-other")).items
            await asyncio.sleep(0.05)
    assert now > before


async def test_a_broadcast_counts_as_seen_with_the_next_call(broker, connect):
    bob = await connect("bob")
    await broker.broadcasts.broadcast(BroadcastDraft(id="b1", body="one"), ALICE)
    assert [each["id"] for each in (await bob.call("msg_broadcasts"))["broadcasts"]] == ["b1"]
    assert (await broker.agents.check("bob")).unseen_broadcasts == 1
    await bob.think()
    await bob.call("msg_check")
    assert (await broker.agents.check("bob")).unseen_broadcasts == 0


async def test_a_session_reads_each_broadcast_once_and_a_new_one_those_not_acknowledged(broker, connect):
    for number in range(3):
        await broker.broadcasts.broadcast(BroadcastDraft(id=f"b{number}", body="x"), ALICE)
    bob = await connect("bob")
    first = await bob.call("msg_broadcasts", limit=2)
    second = await bob.call("msg_broadcasts", limit=2)
    assert [each["id"] for each in first["broadcasts"] + second["broadcasts"]] == ["b0", "b1", "b2"]
    assert (first["more"], second["more"]) == (True, False)
    await bob.close()
    again = await (await connect("bob")).call("msg_broadcasts")
    assert [each["id"] for each in again["broadcasts"]] == ["b0", "b1", "b2"]


async def test_cancelling_a_read_of_broadcasts_gives_them_again(broker, connect):
    await broker.broadcasts.broadcast(BroadcastDraft(id="b1", body="one"), ALICE)
    bob = await connect("bob")
    read = bob.tool("msg_broadcasts")
    await bob.answer(read)
    bob.notify("notifications/cancelled", {"requestId": read})
    await bob.ask("ping")
    assert [each["id"] for each in (await bob.call("msg_broadcasts"))["broadcasts"]] == ["b1"]


async def test_a_rename_by_another_session_of_the_agent_is_followed(broker, connect):
    one, two = await connect("bob"), await connect("bob")
    assert (await one.call("msg_whoami"))["sharedWith"] == 1
    await mail(broker, "m1")
    await one.call("msg_read")
    await two.call("msg_rename", name="robert")
    assert (await one.call("msg_whoami"))["agent"] == "robert"
    await one.think()
    await one.call("msg_check")
    assert (await broker.mail.state("robert", "m1")).state == "acked"


async def test_a_session_that_the_store_forgot_joins_again(broker, connect):
    bob = await connect("bob")
    await broker._store.call("DEL", broker._store.keys.shared("sessions"))
    assert (await bob.call("msg_whoami"))["agent"] == "bob"


async def test_a_stopping_daemon_says_bye_after_what_is_under_way_and_is_gone_within_a_second(
    broker, connect, monkeypatch
):
    real, under_way, go_on = Mail.send, asyncio.Semaphore(0), asyncio.Event()

    async def send(self: Broker, *given: Any) -> Any:
        under_way.release()
        await go_on.wait()
        return await real(self, *given)

    monkeypatch.setattr(Mail, "send", send)
    bob = await connect("bob")
    asked = [bob.tool("msg_send", to="carol", body="x") for _ in range(10)]
    for _ in asked:
        await under_way.acquire()
    go_on.set()
    started = asyncio.get_running_loop().time()
    bob.serving.cancel()
    await asyncio.wait([bob.serving])
    assert asyncio.get_running_loop().time() - started < 1
    for each in asked:
        assert said_ok(await bob.answer(each))
    assert {"postino": "bye"} in bob.others or (await bob.next()) == {"postino": "bye"}
    assert not await bob.reader.read()
    assert not (await broker.agents.one("bob")).online


def said_ok(answer: dict[str, Any]) -> bool:
    return not answer["result"].get("isError", False)


@pytest.mark.parametrize("id", [0, -1, "", "0", "seven"])
async def test_whatever_id_a_client_counts_from_is_answered(connect, id):
    bob = await connect("bob")
    bob.send({"jsonrpc": "2.0", "id": id, "method": "ping"})
    assert (await bob.answer(id))["result"] == {}


async def test_many_calls_at_once_are_all_answered(broker, connect):
    bob = await connect("bob")
    asked = [bob.tool("msg_check") for _ in range(300)]
    for each in asked:
        assert said_ok(await bob.answer(each))


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (b'{"postino":"hello","session":"s-1"}', "generation"),
        (b'{"postino":"hello","session":"x","generation":1}', "s-"),
        (b'{"postino":"hello","session":"s-1","generation":1,"name":"no good"}', "POSTINO_AGENT_NAME"),
        (b'{"postino":"hello","session":"s-1","generation":1,"name":"human"}', "reserved"),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping"}', "hello"),
        (b"{nonsense", "hello"),
    ],
)
async def test_a_wrong_hello_is_refused_with_a_sentence(connect, line, word):
    relay = await connect()
    relay.send(line)
    refused = await relay.next()
    assert refused["postino"] == "refused" and word in refused["error"]
    assert not await relay.reader.read()


async def test_sessions_without_a_name_get_different_ones_in_one_directory(connect):
    names = set()
    for number in range(3):
        relay = await connect()
        welcome = await relay.greet(session=f"s-{number}", directory="/work", host="h")
        names.add(welcome["agent"])
    assert len(names) == 3


async def test_a_line_nested_too_deep_to_read_does_not_end_the_connection(connect):
    relay = await connect("bob")
    relay.send(b'{"jsonrpc":"2.0","id":7,"method":"ping","params":' + b'{"x":' * 2000 + b"1" + b"}" * 2001)
    assert (await relay.call("msg_check"))["agent"] == "bob"
