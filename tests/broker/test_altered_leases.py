"""An altered lease costs its own message a wait at most: the inbox is read, looked at and swept as before."""

from __future__ import annotations

import json
from typing import Any

import pytest

from postino.broker import Broker
from postino.broker.history_filter import Search
from tests.broker.test_altered_records import ids_read, three

each_member = pytest.mark.parametrize(
    "member", ["", "x", "17960x1520505-1", "1796091520505x1", "-", "1-", "1e300", "1", "9" * 25 + "-0", "1-" + "9" * 25]
)


async def altered(broker: Broker, member: str, score: str) -> None:
    """Let all three messages be leased, and give the lease of m1 another member."""
    await three(broker)
    await ids_read(broker)
    key, call = broker._store.keys.of("leases", "bob"), broker._store.call
    place = (await call("XRANGE", broker._store.keys.of("inbox", "bob"), "-", "+"))[1][0]
    await call("ZREM", key, place)
    await call("ZADD", key, score, member)


@each_member
async def test_a_lease_of_what_is_no_place_stops_no_read(broker: Broker, member: str) -> None:
    await altered(broker, member, "1")
    await broker.mail.nack("bob", "c-1", ["m0", "m2"])

    assert await ids_read(broker) == ["m0", "m2"]
    await broker.mail.sweep("bob", 1000)
    assert await ids_read(broker) == ["m1"]
    assert (await broker.mail.ack("bob", "c-1", ["m0", "m1", "m2"])).rejected == []


@each_member
async def test_a_lease_of_what_is_no_place_stops_no_sweep(broker: Broker, member: str) -> None:
    await altered(broker, member, "1")
    await broker.mail.nack("bob", "c-1", ["m0", "m2"])

    for _ in range(2):
        await broker.mail.sweep("bob", 1000)
    assert sorted(await ids_read(broker)) == ["m0", "m1", "m2"]


@pytest.mark.parametrize("score", ["inf", "-inf", "1e300", "-1e300", "9e15", "-5"])
async def test_a_lease_of_no_time_hides_neither_the_state_nor_the_history(broker: Broker, score: str) -> None:
    await three(broker)
    await ids_read(broker)
    key, call = broker._store.keys.of("leases", "bob"), broker._store.call
    place = (await call("XRANGE", broker._store.keys.of("inbox", "bob"), "-", "+"))[1][0]
    await call("ZADD", key, score, place)

    state = await broker.mail.state("bob", "m1")
    found = {each.id: each.state for each in (await broker.history.search(Search(agent="bob"))).items}
    await broker.mail.wait("bob", 0.01)
    await broker.agents.page(10, 0)

    assert (state.state, state.lease_until) == ("queued", None)
    assert found == {"m0": "leased", "m1": "queued", "m2": "leased"}
    await broker.mail.sweep("bob", 1000)
    assert await ids_read(broker) == ["m1"]


@pytest.mark.parametrize(
    "change",
    [
        {"mail": "x"}, {"mail": 7}, {"mail": "1796091520524x0"}, {"found": "x"}, {"found": {}}, {"feed": "x"},
        {"feed": [1]}, {"at": "x"}, {"of": 7},
    ],
)  # fmt: skip
async def test_a_process_whose_record_was_altered_is_notified_of_all_once_more(
    broker: Broker, change: dict[str, Any]
) -> None:
    async def unnotified() -> int:
        waiting = await broker.claude.unnotified("bob", "h:1:1", "c-1")
        await broker.claude.mark_notified(waiting, "h:1:1", "c-1", broadcasts=True)
        return waiting.new_unread

    await three(broker)
    await ids_read(broker)
    await broker.mail.nack("bob", "c-1", ["m0", "m1", "m2"])
    assert [await unnotified(), await unnotified()] == [3, 0]
    key, call = broker._store.keys.shared("sessions"), broker._store.call
    await call("HSET", key, "process:h:1:1", json.dumps(json.loads(await call("HGET", key, "process:h:1:1")) | change))

    assert [await unnotified(), await unnotified()] == [3, 0]


@each_member
async def test_a_lease_of_what_is_no_place_stops_no_notification(broker: Broker, member: str) -> None:
    await altered(broker, member, "1")
    await broker.claude.mark_notified(await broker.claude.unnotified("bob", "h:1:1", "c-1"), "h:1:1", "c-1")
    key, call = broker._store.keys.of("leases", "bob"), broker._store.call
    await call("ZADD", key, str(await broker.events.now_ms()), member)
    await broker.claude.unnotified("bob", "h:1:1", "c-1")
