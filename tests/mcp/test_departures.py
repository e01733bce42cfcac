"""Who has left is a line among the broadcasts, which costs nothing until somebody looks."""

from __future__ import annotations

import asyncio

from postino.model import BroadcastDraft, Sender
from tests.waiting import eventually


async def test_who_left_is_told_once_to_who_looks_and_counts_for_nothing(broker, connect):
    ann, bob = await connect("ann"), await connect("bob")
    await broker.broadcasts.broadcast(BroadcastDraft(id="b1", body="hear"), Sender(name="ci", via="http"))
    await bob.close()
    await eventually(lambda: gone(broker, "bob"))
    before = await ann.call("msg_check")
    read = (await ann.call("msg_broadcasts"))["broadcasts"]
    again = await ann.call("msg_broadcasts")

    assert (before["unreadMessages"], before["unseenBroadcasts"]) == (0, 1)
    assert [(each.get("kind"), each["from"]) for each in read] == [(None, "ci"), ("departure", "system")]
    assert (read[1]["agent"], set(read[1])) == ("bob", {"kind", "from", "agent", "timestamp"})
    assert again["broadcasts"] == [] and "note" not in again
    await eventually(lambda: has_seen_all(ann))
    assert [each.get("agent") for each in (await ann.call("msg_broadcasts", all=True))["broadcasts"]] == [None, "bob"]


async def test_who_is_back_or_left_before_the_session_began_is_not_told(broker, connect):
    early = await connect("early")
    await early.close()
    await eventually(lambda: gone(broker, "early"))
    await asyncio.sleep(0.002)  # who leaves within the millisecond in which a session begins is told to it
    ann, bob = await connect("ann"), await connect("bob")
    await bob.close()
    await eventually(lambda: gone(broker, "bob"))
    await connect("bob")

    assert (await ann.call("msg_broadcasts"))["broadcasts"] == []


async def test_a_person_who_closes_the_page_has_not_left(broker, connect):
    ann = await connect("ann")
    await broker.people.register("lea")
    for name in ("lea", "script"):
        await broker.agents.heartbeat(name)
        await broker.agents.offline(name)

    assert [each["agent"] for each in (await ann.call("msg_broadcasts"))["broadcasts"]] == ["script"]


async def gone(broker, name: str) -> bool:
    return name not in await broker.agents.online()


async def has_seen_all(relay) -> bool:
    return (await relay.call("msg_check"))["unseenBroadcasts"] == 0
