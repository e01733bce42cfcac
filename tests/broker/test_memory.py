"""The embedded server at its memory limit: the history gives way, then sends are refused, and reading goes on."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest

from postino.broker import Broker
from postino.errors import StoreFull
from postino.model import BroadcastDraft, Draft, Health, Sender
from postino.store.valkey.settings import cgroup_limits, default_memory
from tests.waiting import eventually

LIMIT = 8 << 20  # bytes
CI = Sender(name="ci", via="http")


async def send(broker: Broker, id: str, to: str = "bob") -> None:
    await broker.mail.send(Draft(id=id, to=to, body=f"{id} " + "x" * 4000), CI)


async def filled(broker: Broker) -> list[str]:
    """Send until the memory is full; return the ids of what was accepted."""
    accepted: list[str] = []
    while len(accepted) < 10_000:
        try:
            await send(broker, id := f"m{len(accepted)}")
        except StoreFull:
            return accepted
        accepted.append(id)
    raise AssertionError("there was no limit")


async def taken(broker: Broker) -> list[str]:
    found: list[str] = []
    while items := (await broker.mail.read("bob", "c-1", limit=50, ack_now=True)).lease.items:
        assert all(each.body == f"{each.id} " + "x" * 4000 for each in items)
        found += [each.id for each in items]
    return found


@pytest.fixture
async def full(open_broker: Any) -> tuple[Broker, list[str]]:
    broker = await open_broker(valkey_url=None, max_memory=LIMIT, max_inbox=100_000)
    return broker, await filled(broker)


async def test_the_history_gives_way_before_mail_does(full: tuple[Broker, list[str]]) -> None:
    broker, accepted = full

    kept = await broker._store.call("XLEN", broker._store.keys.shared("history"))

    assert len(accepted) > 1000
    assert kept < len(accepted) / 20
    assert await taken(broker) == accepted, "every accepted message is there, as it was sent"


async def test_a_full_memory_refuses_sends_and_nothing_else(full: tuple[Broker, list[str]]) -> None:
    broker, accepted = full
    with pytest.raises(StoreFull) as refused:
        for number in range(100):  # what the server needs for itself changes by a few kB
            await broker.broadcasts.broadcast(BroadcastDraft(id=f"b{number}", body="x" * 4000), CI)
    assert (refused.value.http, refused.value.retryable, refused.value.detail) == (503, True, {"outcome": "none"})
    short = itertools.count()

    async def unhealthy() -> Health | None:
        with pytest.raises(StoreFull):  # a short one fits in where a long one did not
            while True:
                await broker.mail.send(Draft(id=f"short-{next(short)}", to="carol", body="x"), CI)
        with pytest.raises(StoreFull):  # that of a health check is shorter still, and this one the shortest of all
            while True:
                await broker._store.call("RPUSH", broker._store.keys.shared("pad"), "x")
        health = await broker.health()
        return None if health.ok else health

    health = await eventually(unhealthy, "not even the write of a health check fits in")
    assert health.valkey is True
    assert "memory limit" in health.error

    first = (await broker.mail.read("bob", "c-1", limit=10)).lease.items
    ids = [each.id for each in first]
    assert ids == accepted[:10]
    assert (await broker.mail.ack("bob", "c-1", ids[:5])).acknowledged == ids[:5]
    assert (await broker.mail.nack("bob", "c-1", ids[5:])).acknowledged == ids[5:]
    assert (await broker.mail.peek("bob", 5, 0))[1] == len(accepted) - 5
    with pytest.raises(StoreFull):
        for number in range(10):  # five messages less make room for some
            await send(broker, f"again-{number}")
    left = (await broker.mail.peek("bob", 5, 0))[1]
    assert await broker.mail.clear("bob") == left

    await send(broker, "later", to="alice")
    await broker.broadcasts.broadcast(BroadcastDraft(id="later", body="x" * 4000), CI)
    assert [each.id for each in (await broker.mail.read("alice", "c-2", limit=5)).lease.items] == ["later"]


async def test_many_senders_at_once_give_up_no_more_of_the_history_than_one(open_broker: Any) -> None:
    broker = await open_broker(valkey_url=None, max_memory=LIMIT, max_inbox=100_000)
    length = longest = 0
    for round in range(100):
        await asyncio.gather(*(send(broker, f"r{round}-{number}") for number in range(30)))
        await broker.mail.clear("bob")
        length = await broker._store.call("XLEN", broker._store.keys.shared("history"))
        if length < longest:
            break
        longest = length

    assert length > longest / 2


def test_the_limit_is_a_quarter_of_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "memory.max").write_text("400\n")
    (tmp_path / "a" / "b" / "memory.max").write_text("max\n")
    own = tmp_path / "cgroup"
    own.write_text("1:cpu:/x\n0::/a/b\n")

    assert cgroup_limits(own, tmp_path) == [400]
    assert cgroup_limits(tmp_path / "none", tmp_path) == []
    assert default_memory() >= LIMIT
