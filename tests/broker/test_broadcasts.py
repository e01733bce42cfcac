"""Broadcasts: seen by all, consumed by nobody; each agent's place only ever moves forward."""

from __future__ import annotations

import asyncio

import pytest

from postino.broker import Broker
from postino.broker.history_filter import Search
from postino.errors import KeyReused
from postino.model import BroadcastBatch


def ids(batch: BroadcastBatch) -> list[str]:
    return [each.id for each in batch.items]


async def unseen(broker: Broker, agent: str) -> int:
    return (await broker.agents.check(agent)).unseen_broadcasts


async def test_broadcasts_are_numbered_without_gap_and_listed_oldest_first(broker: Broker, say) -> None:
    said = await asyncio.gather(*(say(broker, f"b{number}") for number in range(20)))

    items, total = await broker.broadcasts.page(50, 0)

    assert sorted(each.seq for each in said) == list(range(1, 21))
    assert [each.seq for each in items] == list(range(1, 21))
    assert total == 20
    assert [each.seq for each in (await broker.broadcasts.page(3, 10))[0]] == [11, 12, 13]


@pytest.mark.parametrize("way", ["see", "read"])
async def test_a_place_from_before_the_store_was_emptied_hides_nothing(broker: Broker, say, way) -> None:
    await say(broker, "b1")
    if way == "see":
        await broker.broadcasts.move_cursor("bob", "9999999999999-0 7")
    else:
        given = await broker.broadcasts.read("bob", 5, after="9999999999999-0 7", move=False)
        assert ids(given) == ["b1"]

    assert await unseen(broker, "bob") == 1


async def test_one_id_is_one_broadcast(broker: Broker, say) -> None:
    first = await say(broker, "b1")
    second = await say(broker, "b1")
    with pytest.raises(KeyReused):
        await say(broker, "b1", body="other")
    third = await say(broker, "b2")

    assert (first.created, second.created, first.seq, second.seq, third.seq) == (True, False, 1, 1, 2)


async def test_every_agent_sees_each_once_in_order(broker: Broker, say) -> None:
    for number in range(3):
        await say(broker, f"b{number}")

    for agent in ("alice", "bob"):
        assert await unseen(broker, agent) == 3
        assert ids(await broker.broadcasts.read(agent, 10)) == ["b0", "b1", "b2"]
        assert ids(await broker.broadcasts.read(agent, 10)) == []
        assert await unseen(broker, agent) == 0


async def test_a_limit_and_a_budget_bound_one_read(broker: Broker, say) -> None:
    for number in range(4):
        await say(broker, f"b{number}", body="é" * 40)

    first = await broker.broadcasts.read("bob", 1)
    second = await broker.broadcasts.read("bob", 10, budget=90)
    third = await broker.broadcasts.read("bob", 10, budget=1)

    assert (ids(first), first.more) == (["b0"], True)
    assert (ids(second), second.more) == (["b1", "b2"], True)
    assert (ids(third), third.more) == (["b3"], False)


async def test_a_new_agent_sees_all_that_are_alive_and_has_missed_nothing(open_broker, say) -> None:
    broker = await open_broker(max_broadcasts=3)
    for number in range(5):
        await say(broker, f"b{number}")

    batch = await broker.broadcasts.read("newcomer", 10)

    assert (ids(batch), batch.missed) == (["b2", "b3", "b4"], 0)


async def test_a_reader_that_was_overtaken_is_told_once_how_many_it_missed(open_broker, say) -> None:
    broker = await open_broker(max_broadcasts=3)
    await say(broker, "b0")
    await broker.broadcasts.read("bob", 10)
    for number in range(1, 6):
        await say(broker, f"b{number}")

    assert await unseen(broker, "bob") == 3
    batch = await broker.broadcasts.read("bob", 1)

    assert (ids(batch), batch.missed) == (["b3"], 2)
    assert (await broker.broadcasts.read("bob", 10)).missed == 0


async def test_what_left_by_age_counts_as_missed(open_broker, say, eventually) -> None:
    broker = await open_broker(msg_ttl=1)
    await say(broker, "b0")
    await broker.broadcasts.read("bob", 10)
    await say(broker, "b1")
    await say(broker, "b2")

    async def gone() -> bool:
        return await unseen(broker, "bob") == 0

    await eventually(gone, "the broadcasts are too old")
    batch = await broker.broadcasts.read("bob", 10)

    assert (ids(batch), batch.missed) == ([], 2)
    assert (await broker.broadcasts.read("newcomer", 10)).missed == 0


async def test_what_was_cleared_is_not_missed_and_what_was_trimmed_is(open_broker, say) -> None:
    broker = await open_broker(max_broadcasts=3)
    await say(broker, "b1")
    await broker.broadcasts.read("bob", 10)
    for number in range(2, 6):  # 2 is trimmed, 3 4 5 are alive
        await say(broker, f"b{number}")
    assert await broker.broadcasts.clear() == 3
    for number in range(6, 11):  # 6 and 7 are trimmed
        await say(broker, f"b{number}")

    batch = await broker.broadcasts.read("bob", 10)

    assert (ids(batch), batch.missed) == (["b8", "b9", "b10"], 3)


async def test_after_a_clear_nothing_is_unseen_and_the_numbers_go_on(broker: Broker, say, events) -> None:
    await say(broker, "b1")
    await say(broker, "b2")

    assert await broker.broadcasts.clear() == 2
    assert await broker.broadcasts.clear() == 0

    assert await unseen(broker, "bob") == 0
    assert (await say(broker, "b3")).seq == 3
    assert await unseen(broker, "bob") == 1
    assert [each.data["count"] for each in await events(broker, "broadcast_clear")] == [2]


async def test_a_hundred_clears_apart_stay_bounded_and_tell_nobody_of_missed_ones(open_broker, say) -> None:
    broker = await open_broker(max_broadcasts=1)
    await say(broker, "first")
    await broker.broadcasts.read("bob", 10)
    for number in range(100):  # each pair: one trimmed, one cleared
        await say(broker, f"t{number}")
        await say(broker, f"c{number}")
        await broker.broadcasts.clear()

    batch = await broker.broadcasts.read("bob", 10)

    kept = await broker._store.call("HGET", broker._store.keys.shared("feed"), "cleared")
    assert len(str(kept)) < 2000
    assert 0 < batch.missed <= 100


async def test_a_sender_that_had_seen_everything_is_moved_past_its_own(broker: Broker, say, hello) -> None:
    await broker.sessions.join(hello(name="alice"))
    await say(broker, "b1", sender="ci")
    await broker.broadcasts.read("alice", 10)

    await say(broker, "b2", sender="alice")
    await say(broker, "b3", sender="alice")

    assert await unseen(broker, "alice") == 0
    assert await unseen(broker, "bob") == 3
    assert ids(await broker.broadcasts.read("alice", 10)) == []


async def test_a_sender_with_unseen_ones_gets_them_and_its_own(broker: Broker, say, hello) -> None:
    await broker.sessions.join(hello(name="alice"))
    await say(broker, "b1", sender="ci")

    await say(broker, "b2", sender="alice")

    assert ids(await broker.broadcasts.read("alice", 10)) == ["b1", "b2"]


async def test_a_sender_under_its_former_name_is_moved_too(broker: Broker, say, hello) -> None:
    await broker.sessions.join(hello(name="alice"))
    await broker.agents.rename("alice", "alicia")

    await say(broker, "b1", sender="alice")

    assert await unseen(broker, "alicia") == 0


async def test_a_session_reads_ahead_and_the_agents_place_follows_when_it_settles(broker: Broker, say) -> None:
    for number in range(3):
        await say(broker, f"b{number}")

    first = await broker.broadcasts.read("bob", 2, move=False)
    second = await broker.broadcasts.read("bob", 2, after=first.cursor, move=False)

    assert (ids(first), ids(second)) == (["b0", "b1"], ["b2"])
    assert await unseen(broker, "bob") == 3
    await broker.broadcasts.move_cursor("bob", first.cursor)
    assert await unseen(broker, "bob") == 1
    await broker.broadcasts.move_cursor("bob", second.cursor)
    assert await unseen(broker, "bob") == 0


async def test_a_session_that_ended_before_it_settled_has_seen_nothing(broker: Broker, say) -> None:
    await say(broker, "b1")
    await broker.broadcasts.read("bob", 10, move=False)

    assert ids(await broker.broadcasts.read("bob", 10, move=False)) == ["b1"]


async def test_a_place_never_moves_back(broker: Broker, say) -> None:
    for number in range(3):
        await say(broker, f"b{number}")
    early = await broker.broadcasts.read("bob", 1, move=False)
    late = await broker.broadcasts.read("bob", 3, move=False)

    await broker.broadcasts.move_cursor("bob", late.cursor)
    await broker.broadcasts.move_cursor("bob", early.cursor)

    assert await unseen(broker, "bob") == 0
    # a session whose place lies behind the agent's goes on from the agent's
    assert ids(await broker.broadcasts.read("bob", 10, after=early.cursor)) == []
    assert await unseen(broker, "bob") == 0


async def test_missed_ones_are_told_to_a_session_once(open_broker, say) -> None:
    broker = await open_broker(max_broadcasts=1)
    await say(broker, "b0")
    await broker.broadcasts.read("bob", 10)
    for number in range(1, 4):
        await say(broker, f"b{number}")

    first = await broker.broadcasts.read("bob", 10, move=False)
    second = await broker.broadcasts.read("bob", 10, after=first.cursor, move=False)

    assert (first.missed, second.missed) == (2, 0)


async def test_missed_ones_are_told_also_when_nothing_is_left_to_read(open_broker, say) -> None:
    broker = await open_broker(max_broadcasts=1)
    await say(broker, "b0")
    await broker.broadcasts.read("bob", 10)
    for number in range(1, 4):
        await say(broker, f"b{number}")
    await broker.broadcasts.clear()

    batch = await broker.broadcasts.read("bob", 10)

    assert (ids(batch), batch.missed) == ([], 2)
    assert (await broker.broadcasts.read("bob", 10)).missed == 0


async def test_the_list_moves_nobody_and_tells_how_many_have_seen_each(broker: Broker, say, hello) -> None:
    await broker.sessions.join(hello(name="alice"))
    await broker.sessions.join(hello(name="bob"))
    await say(broker, "b0")
    await say(broker, "b1")
    await broker.broadcasts.read("alice", 1)

    items, _ = await broker.broadcasts.page(50, 0)

    assert [(each.id, each.seen, each.agents) for each in items] == [("b0", 1, 2), ("b1", 0, 2)]
    assert [(each.seen_by, each.not_seen_by) for each in items] == [(["alice"], ["bob"]), ([], ["bob", "alice"])]
    assert await unseen(broker, "bob") == 2


async def test_of_many_readers_ten_are_named_of_each_kind_and_people_are_none(broker: Broker, say) -> None:
    await say(broker, "b0")
    await broker.people.register("lea")
    await broker.agents.heartbeat("lea")
    await broker.broadcasts.read("lea", 1)
    await say(broker, "b1")
    names = [f"a{number:02}" for number in range(30)]
    for name in names:
        await broker.agents.heartbeat(name)
        await broker.broadcasts.read(name, 2 if name > "a14" else 1)
    await broker.agents.rename("a00", "z00")
    await broker.broadcasts.page(50, 0)
    before = broker.round_trips
    items, _ = await broker.broadcasts.page(50, 0)

    assert broker.round_trips - before <= 2  # the broadcasts, and what names have changed: however many of each
    assert [(each.seen, each.agents) for each in items] == [(30, 30), (15, 30)]
    assert items[1].not_seen_by == names[1:11]
    assert items[1].seen_by == names[15:25]
    (found,) = await broker.broadcasts.with_readers((await broker.history.search(Search(q="b1"))).items)
    assert (found.seen, found.agents, found.seen_by) == (15, 30, names[15:25])


async def test_everything_a_sender_said_is_heard_unchanged(broker: Broker, say) -> None:
    body = "ünïcödé 😀\n" + "x" * 32_000
    await say(broker, "b1", body=body, sender="alice")

    got = (await broker.broadcasts.read("bob", 1)).items[0]

    assert (got.body, got.from_, got.via, got.verified, got.seq) == (body, "alice", "http", False, 1)


async def test_reading_broadcasts_by_a_former_name_moves_the_present_agent(broker: Broker, say, hello) -> None:
    await broker.sessions.join(hello(name="bob"))
    await broker.agents.rename("bob", "robert")
    await say(broker, "b1")

    batch = await broker.broadcasts.read("bob", 10)

    assert (ids(batch), batch.agent) == (["b1"], "robert")
    assert await unseen(broker, "robert") == 0
