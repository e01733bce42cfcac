"""What a sender can ask for: every state of a message's life, with its times, reader and count."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime, timedelta

import pytest

from postino.broker import Broker
from postino.errors import UnknownMessage
from postino.model import MessageState
from postino.store.history import NEWEST


def when(text: str | None) -> datetime:
    assert text is not None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    return datetime.fromisoformat(text)


async def test_a_message_waits_as_queued(broker: Broker, send) -> None:
    await send(broker, "m1", sender="alice")

    state = await broker.mail.state("bob", "m1")

    assert state == MessageState(id="m1", to="bob", from_="alice", seq=1, state="queued", timestamp=state.timestamp)
    assert when(state.timestamp)


async def test_a_read_message_is_leased_to_its_reader_until_a_time(broker: Broker, send) -> None:
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")

    state = await broker.mail.state("bob", "m1")

    assert (state.state, state.reader, state.deliveries, state.settled_at) == ("leased", "s1", 1, None)
    assert when(state.timestamp) <= when(state.leased_at)
    assert when(state.lease_until) - when(state.leased_at) == timedelta(seconds=120)


async def test_an_acknowledged_message_keeps_who_and_when(broker: Broker, send) -> None:
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")
    await broker.mail.ack("bob", "s1", ["m1"])

    state = await broker.mail.state("bob", "m1")

    assert (state.state, state.reader, state.deliveries, state.lease_until) == ("acked", "s1", 1, None)
    assert when(state.leased_at) <= when(state.settled_at)
    assert state.reason is None


async def test_a_returned_message_is_queued_without_a_reader(broker: Broker, send) -> None:
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")
    await broker.mail.nack("bob", "s1", ["m1"])

    state = await broker.mail.state("bob", "m1")

    assert (state.state, state.reader, state.deliveries, state.lease_until) == ("queued", None, 1, None)


async def test_a_lapsed_lease_is_told_as_queued_before_anybody_reads(open_broker, send, due) -> None:
    broker = await open_broker(message_lease=1)
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")
    await due(broker)

    state = await broker.mail.state("bob", "m1")

    assert (state.state, state.lease_until, state.deliveries) == ("queued", None, 1)


async def test_a_dead_message_tells_why_and_after_how_many_deliveries(open_broker, send) -> None:
    broker = await open_broker(max_deliveries=2)
    await send(broker, "m1")
    for _ in range(2):
        await broker.mail.read("bob", "s1")
        await broker.mail.nack("bob", "s1", ["m1"])

    state = await broker.mail.state("bob", "m1")

    assert (state.state, state.reason, state.deliveries, state.lease_until) == ("dead", "max_deliveries", 2, None)
    assert when(state.settled_at)


async def test_a_requeued_message_begins_again(open_broker, send) -> None:
    broker = await open_broker(max_deliveries=1)
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")
    await broker.mail.nack("bob", "s1", ["m1"])
    await broker.dead.requeue("bob", ["m1"])

    state = await broker.mail.state("bob", "m1")

    assert (state.state, state.reason, state.deliveries, state.settled_at) == ("queued", None, 0, None)
    assert (state.reader, state.leased_at) == (None, None)


async def test_an_expired_message_is_told_before_and_after_it_left_the_inbox(open_broker, send, eventually) -> None:
    broker = await open_broker(msg_ttl=1)
    await send(broker, "m1")

    async def expired() -> bool:
        return (await broker.mail.state("bob", "m1")).state == "expired"

    await eventually(expired, "the message is too old")
    assert (await broker.agents.one("bob")).message_count == 1
    await broker.agents.check("bob")

    state = await broker.mail.state("bob", "m1")
    assert (state.state, state.reason) == ("expired", "ttl")
    assert when(state.settled_at) - when(state.timestamp) >= timedelta(seconds=1)
    assert (await broker.agents.one("bob")).message_count == 0


async def test_a_cleared_message_is_told_as_cleared(broker: Broker, send) -> None:
    await send(broker, "m1")
    await broker.mail.clear("bob")

    state = await broker.mail.state("bob", "m1")

    assert (state.state, state.reason) == ("cleared", "cleared")
    assert when(state.settled_at)


async def test_how_the_recipient_was_told_is_kept_for_the_first_time(broker: Broker, send, events) -> None:
    await send(broker, "m1")
    assert (await broker.mail.state("bob", "m1")).notified == "none"

    for process, how in (("h:1:0", "hook"), ("h:2:0", "socket")):
        await broker.claude.mark_notified(await broker.claude.unnotified("bob", process, "c1"), process, "c1", how=how)
    await broker.mail.read("bob", "s1")

    state = await broker.mail.state("bob", "m1")
    assert (state.notified, state.state) == ("hook", "leased")
    assert when(state.notified_at)
    assert [each.data["ids"] for each in await events(broker, "msg_notified")] == [["m1"]]


async def test_an_id_without_a_trace_is_unknown(broker: Broker, send) -> None:
    await send(broker, "m1")

    for agent, id in (("bob", "m2"), ("alice", "m1"), ("nobody", "m1")):
        with pytest.raises(UnknownMessage):
            await broker.mail.state(agent, id)


async def test_the_states_of_messages_to_many_agents_let_others_pass(broker, send) -> None:
    await send(broker, "m1")
    (entry,) = (await broker.history._stream.part([], NEWEST, 1)).entries
    page = asyncio.ensure_future(broker.history._with_states([entry] * 4_000, await broker.agents.names()))
    for _ in range(5):
        await asyncio.sleep(0)

    await send(broker, "m2")

    assert not page.done()
    assert {each.state for each in await page} == {"queued"}
