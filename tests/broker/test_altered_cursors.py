"""An altered cursor, broadcast or number costs a repeat: it hides no broadcast, and a reader comes to the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from postino.broker import Broker

IDS = ["b1", "b2", "b3", "b4", "b5"]
FAR = "9999999999999-0"
LARGEST = "18446744073709551615-18446744073709551615"


async def moving(broker: Broker) -> tuple[list[str], bool]:
    """Read one broadcast as bob, as a plain read over HTTP does: the cursor moves at once."""
    batch = await broker.broadcasts.read("bob", 1)
    return [each.id for each in batch.items], batch.more


async def confirming(broker: Broker) -> tuple[list[str], bool]:
    """Read one broadcast as bob, who says that he has seen it."""
    batch = await broker.broadcasts.read("bob", 1, move=False, lease=True)
    for each in batch.items:
        await broker.broadcasts.seen("bob", each.id)
    return [each.id for each in batch.items], batch.more


class Session:
    """A session of bob, whose own cursor is that of bob only from its second sign of life on."""

    def __init__(self) -> None:
        self.cursor: str | None = None

    async def __call__(self, broker: Broker) -> tuple[list[str], bool]:
        """Read one broadcast."""
        if self.cursor:
            await broker.broadcasts.move_cursor("bob", self.cursor)
        batch = await broker.broadcasts.read("bob", 1, after=self.cursor, move=False)
        self.cursor = batch.cursor
        await broker.broadcasts.mark_given("bob", batch.cursor)
        return [each.id for each in batch.items], batch.more


Way = Callable[[Broker], Awaitable[tuple[list[str], bool]]]


async def all_read(broker: Broker, way: Way) -> list[str]:
    """Read to the end, one at a time, and fail if there is none."""
    found = list[str]()
    for _ in range(2 * len(IDS) + 2):
        ids, more = await way(broker)
        found += ids
        if not more:
            return found
    raise AssertionError(f"a reader never comes to the end: {found}")


@pytest.fixture(params=[moving, confirming, Session], ids=["moving", "confirming", "as a session"])
def way(request) -> Way:
    """Each way to read as bob."""
    return request.param() if request.param is Session else request.param


async def set_cursor(broker: Broker, place: str | None, number: int | None) -> None:
    """Alter the place or the number of bob's cursor, as a disk or a person at the command line of the store may."""
    key, call = broker._store.keys.shared("cursors"), broker._store.call
    was_place, was_number = (await call("HGET", key, "bob")).split(" ")
    await call("HSET", key, "bob", f"{place or was_place} {was_number if number is None else number}")


async def alter_stream(broker: Broker, change: Callable[[list[tuple[str, str]]], None]) -> None:
    """Write the stream of broadcasts anew, after `change` of the list of (ID, message)."""
    key, call = broker._store.keys.shared("broadcasts"), broker._store.call
    entries = [(id, fields[1]) for id, fields in await call("XRANGE", key, "-", "+")]
    change(entries)
    await call("DEL", key)
    for id, message in entries:
        await call("XADD", key, id, "m", message)


async def bob_has_read(broker: Broker, say, count: int) -> None:
    """Let bob have seen the first `count` of the five broadcasts."""
    await broker.agents.heartbeat("bob")
    for id in IDS[:count]:
        await say(broker, id)
    await broker.broadcasts.read("bob", 10)
    for id in IDS[count:]:
        await say(broker, id)


@pytest.mark.parametrize("count", [2, 4, 5])
@pytest.mark.parametrize(
    ("place", "number"),
    [
        (None, 9), (None, 4_000_000_000_000), (None, 5), (None, 0), (None, 1),
        (FAR, None), (FAR, 9), (FAR, 5), (LARGEST, None), ("9" * 25 + "-1", None), ("1-1", None), ("1-1", 9),
    ],
)  # fmt: skip
async def test_an_altered_cursor_hides_no_broadcast(
    broker: Broker, say, way: Way, count: int, place: str | None, number: int | None
) -> None:
    await bob_has_read(broker, say, count)
    await set_cursor(broker, place, number)

    unseen = (await broker.agents.check("bob")).unseen_broadcasts
    found = await all_read(broker, way)

    # a number that another broadcast has makes the count wrong, until the next read
    assert unseen >= len(IDS) - count or number == 5
    if (place, number) != (FAR, 5):  # with both halves altered to be that of the last one, it is found at the next one
        assert set(found) >= set(IDS[count:])
    await say(broker, "b6")
    assert (await broker.agents.check("bob")).unseen_broadcasts >= 1
    found += await all_read(broker, way)
    assert set(found) >= {*IDS[count:], "b6"}
    assert await all_read(broker, way) == []


async def test_a_cursor_that_was_moved_by_one_digit_is_not_taken_for_what_it_says(broker: Broker, say) -> None:
    await bob_has_read(broker, say, 2)
    newest = (await broker._store.call("XREVRANGE", broker._store.keys.shared("broadcasts"), "+", "-"))[0][0]
    ms, _, seq = newest.partition("-")
    await set_cursor(broker, f"{ms}-{int(seq) + 4}", None)

    assert [each.id for each in (await broker.broadcasts.read("bob", 10)).items] == IDS
    assert (await broker.broadcasts.read("bob", 10)).items == []


async def test_the_own_broadcast_of_an_agent_with_an_altered_cursor_hides_no_other(broker: Broker, say) -> None:
    await bob_has_read(broker, say, 2)
    await set_cursor(broker, None, 9)

    await say(broker, "own", sender="bob")

    assert [each.id for each in (await broker.broadcasts.read("bob", 10)).items] == [*IDS, "own"]


async def test_what_is_altered_of_one_agent_costs_no_other_a_repeat(broker: Broker, say) -> None:
    await bob_has_read(broker, say, 2)
    await broker.agents.heartbeat("ann")
    await broker.broadcasts.read("ann", 3)
    await set_cursor(broker, FAR, 9)
    await broker.broadcasts.read("bob", 10)

    assert [each.id for each in (await broker.broadcasts.read("ann", 10)).items] == IDS[3:]


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("number", ["x", "0", "1", "4", "9", "1.5", "nan", "9" * 30])
async def test_an_altered_number_of_a_broadcast_holds_up_and_hides_nothing(
    broker: Broker, say, way: Way, at: int, number: str
) -> None:
    await bob_has_read(broker, say, 0)

    def change(entries: list[tuple[str, str]]) -> None:
        entries[at] = (entries[at][0], f"{number} {entries[at][1].partition(' ')[2]}")

    await alter_stream(broker, change)

    assert (await broker.agents.check("bob")).unseen_broadcasts >= 1
    found = await all_read(broker, way)
    assert [each for each in found if each] == IDS
    assert await all_read(broker, way) == []
    assert (await broker.agents.check("bob")).unseen_broadcasts == 0
    assert (await say(broker, "b6")).seq == 6
    assert await all_read(broker, way) == ["b6"]


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("count", [0, 2, 5])
async def test_a_broadcast_that_was_removed_by_hand_takes_none_with_it(
    broker: Broker, say, way: Way, at: int, count: int
) -> None:
    await bob_has_read(broker, say, count)
    await alter_stream(broker, lambda entries: entries.pop(at) and None)

    found = await all_read(broker, way)

    assert set(found) >= {*IDS[count:]} - {IDS[at]}
    assert await all_read(broker, way) == []


@pytest.mark.parametrize("altered", ["x", "", "1", "-1", "1e400"])
async def test_an_altered_number_of_the_last_broadcast_refuses_nobody(broker: Broker, say, altered: str) -> None:
    await bob_has_read(broker, say, 2)
    await broker.agents.heartbeat("ann")
    await alter_stream(broker, lambda entries: entries.pop(0) and None)  # as if trimmed by count
    await broker._store.call("HSET", broker._store.keys.shared("feed"), "last", altered)

    for name, seen in (("ann", 0), ("bob", 2)):
        assert (await broker.agents.check(name)).unseen_broadcasts == 5 - max(seen, 1)
        assert [each.id for each in (await broker.broadcasts.read(name, 10)).items] == IDS[max(seen, 1) :]
    assert (await say(broker, "b6")).seq == 6
    assert (await broker.agents.check("ann")).unseen_broadcasts == 1


@pytest.mark.parametrize("altered", ["x", "", "7", "[1]", '[[1,"x"]]', "[[1]]"])
async def test_an_altered_record_of_what_was_cleared_changes_a_count_only(broker: Broker, say, altered: str) -> None:
    await bob_has_read(broker, say, 2)
    await broker.broadcasts.clear()
    await broker._store.call("HSET", broker._store.keys.shared("feed"), "cleared", altered)
    await say(broker, "b6")

    batch = await broker.broadcasts.read("bob", 10)

    assert ([each.id for each in batch.items], batch.missed) == (["b6"], 3)
    assert await broker.broadcasts.clear() == 1
