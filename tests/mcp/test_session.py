"""What acknowledges, and what gives back: the session's side of a relay connection, on real Valkey."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from postino.broker import Broker, Hello
from postino.broker.mail import Mail
from postino.mcp.connected import HOOK_SILENCE_S, ConnectedSessions
from postino.mcp.session import Session
from postino.model import BroadcastDraft, Draft, Sender
from tests.relays import HandRelay, said
from tests.waiting import eventually

ALICE = Sender(name="alice", via="http")


async def mail(broker: Broker, *ids: str, to: str = "bob") -> None:
    for id in ids:
        await broker.mail.send(Draft(id=id, to=to, body=f"body of {id}"), ALICE)


async def states(broker: Broker, *ids: str) -> list[str]:
    return [(await broker.mail.state("bob", id)).state for id in ids]


def ids(answer: dict[str, Any]) -> list[str]:
    return [each["id"] for each in answer["messages"]]


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


async def is_state(broker: Broker, id: str, state: str) -> bool:
    return (await broker.mail.state("bob", id)).state == state


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


async def test_the_end_of_a_connection_gives_back_at_once_and_the_next_reader_sees_the_repeat(broker, connect):
    await mail(broker, "m1")
    bob = await connect("bob")
    assert not (await bob.call("msg_read"))["messages"][0]["redelivered"]
    await bob.close()
    assert await states(broker, "m1") == ["queued"]
    (again,) = (await (await connect("bob")).call("msg_read"))["messages"]
    assert (again["id"], again["delivery"], again["redelivered"]) == ("m1", 2, True)


async def test_an_agent_is_offline_as_soon_as_its_connection_ends(broker, connect):
    bob = await connect("bob")
    assert (await broker.agents.one("bob")).online
    await bob.close()
    assert not (await broker.agents.one("bob")).online


async def test_the_end_of_an_old_connection_undoes_nothing_of_a_new_one(broker, connect):
    await mail(broker, "m1")
    old = await connect("bob", session="s-same", generation=1)
    new = await connect("bob", session="s-same", generation=2)
    await new.call("msg_read")
    await old.close()
    assert await states(broker, "m1") == ["leased"]
    assert (await broker.agents.one("bob")).online


async def test_the_end_of_an_old_connection_gives_back_nothing_that_the_new_one_was_given(broker, connect):
    await mail(broker, "m1")
    old = await connect("bob", session="s-same", generation=1)
    await old.answer(old.tool("msg_read"))  # and is not written to the client any more
    new = await connect("bob", session="s-same", generation=2)
    assert (await new.call("msg_read"))["messages"]
    await old.close()
    assert await states(broker, "m1") == ["leased"]
    await new.think()
    await new.call("msg_check")
    await eventually(lambda: is_state(broker, "m1", "acked"))


async def test_a_new_connection_of_a_session_gets_again_what_the_old_one_held(broker, connect):
    await mail(broker, "m1")
    old = await connect("bob", session="s-same", generation=1)
    await old.call("msg_read")
    new = await connect("bob", session="s-same", generation=2)
    (again,) = (await new.call("msg_read"))["messages"]
    assert (again["id"], again["redelivered"]) == ("m1", True)


async def test_cancelling_a_read_under_way_gives_back_what_it_got(broker, connect):
    await mail(broker, "m1")
    bob = await connect("bob")
    read = bob.tool("msg_read")
    bob.notify("notifications/cancelled", {"requestId": read})
    await bob.ask("ping")
    await eventually(lambda: is_state(broker, "m1", "queued"))
    assert read not in bob.came
    (again,) = (await bob.call("msg_read"))["messages"]
    assert (again["id"], again["delivery"]) == ("m1", 1)


async def test_a_read_that_is_cancelled_at_any_moment_is_given_again(broker, connect):
    bob = await connect("bob")
    for number in range(150):
        await mail(broker, f"m{number}")
        read = bob.tool("msg_read")
        for _ in range(number % 50):  # turns of the loop: from before the read to after its answer
            await asyncio.sleep(0)
        bob.notify("notifications/cancelled", {"requestId": read if number % 2 else str(read)})
        await bob.ask("ping")
        if read in bob.came:
            bob.written(read)
        await bob.think()
        (again,) = (await bob.call("msg_read"))["messages"]
        assert again["id"] == f"m{number}"
        await bob.call("msg_ack", ids=[again["id"]])


async def test_a_read_that_is_cancelled_when_it_is_done_but_not_answered_is_given_back(broker):
    await mail(broker, "m1")
    session = Session(broker, Hello(session="s-1", generation=1, name="bob"))
    done = asyncio.Event()

    async def read() -> None:
        await session.read(7, 5, 1000)
        done.set()

    session.request_arrived(7)
    reading = asyncio.create_task(session.run(7, read()))
    await done.wait()  # the next turn of the loop: `run` has not returned yet

    session.request_cancelled(7)
    await reading
    session.answer_written(7)
    await asyncio.sleep(0.06)
    session.request_arrived(8)
    await session.close()

    assert await states(broker, "m1") == ["queued"]


async def test_cancelling_a_read_before_its_answer_reached_the_client_gives_back_and_labels_the_repeat(broker, connect):
    await mail(broker, "m1")
    bob = await connect("bob")
    read = bob.tool("msg_read")
    await bob.answer(read)
    bob.notify("notifications/cancelled", {"requestId": read})
    await eventually(lambda: is_state(broker, "m1", "queued"))
    (again,) = (await bob.call("msg_read"))["messages"]
    assert (again["id"], again["delivery"], again["redelivered"]) == ("m1", 2, True)


async def test_a_cancel_of_what_was_answered_already_means_nothing(broker, connect):
    await mail(broker, "m1")
    await broker.broadcasts.broadcast(BroadcastDraft(id="b1", body="one"), ALICE)
    bob = await connect("bob")
    for tool in ("msg_read", "msg_broadcasts"):
        call = bob.tool(tool)
        await bob.answer(call)
        bob.written(call)
        bob.notify("notifications/cancelled", {"requestId": call})
    assert (await bob.call("msg_read"))["messages"] == []
    await bob.think()
    await bob.call("msg_check")
    assert await states(broker, "m1") == ["acked"]
    assert (await broker.agents.check("bob")).unseen_broadcasts == 0


async def test_a_read_right_after_a_cancelled_one_waits_for_what_that_gives_back(broker, connect, monkeypatch):
    real = Mail.nack

    async def slow(self: Mail, *given: Any, **more: Any) -> Any:
        await asyncio.sleep(0.2)
        return await real(self, *given, **more)

    monkeypatch.setattr(Mail, "nack", slow)
    await mail(broker, "m1")
    bob = await connect("bob")
    read = bob.tool("msg_read")
    await bob.answer(read)
    bob.notify("notifications/cancelled", {"requestId": read})

    assert ids(await bob.call("msg_read")) == ["m1"]


async def test_a_cancelled_send_is_carried_out_or_not_but_never_half(broker, connect):
    bob = await connect("bob")
    for number in range(20):
        send = bob.tool("msg_send", to="carol", body="x", id=f"c{number}")
        bob.notify("notifications/cancelled", {"requestId": send})
    await bob.call("msg_check")
    await bob.close()
    stored, total = await broker.mail.peek("carol", 200, 0)
    assert len(stored) == total
    for each in stored:
        assert (await broker.mail.state("carol", each.id)).state == "queued"


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
