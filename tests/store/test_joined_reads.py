"""Reads that wait together are one call: how many, what each is told, what ends or refuses them, who has gone."""

from __future__ import annotations

import asyncio
import random
import re
import secrets
from collections.abc import Coroutine
from typing import Any

import pytest

from postino.broker import Broker
from postino.model import Batch, Draft
from postino.store import wire
from postino.store.inbox import Inboxes
from postino.store.pipeline import MIN_BATCH
from postino.store.store import Store
from postino.store.wire import MOST_JOINED
from tests.store import test_joined
from tests.store.sends import Open, held_up, send
from tests.store.test_joined import CI, LIMITS, in_full_memory, on_a_replica, outcome, outcomes, plain
from tests.waiting import eventually

EXPIRED, DYING, WRONG = [f"expired-{at}" for at in range(4)], [f"dying-{at}" for at in range(4)], ["leases", "dead"]


async def test_reads_that_wait_together_are_joined_by_how_much_they_may_return(proxy, store_at: Open) -> None:
    between = await proxy()
    store = await store_at(between.url, f"t{secrets.token_hex(6)}:")
    inboxes = Inboxes(store, LIMITS)
    counts = {}
    for limit in (1, 10, MOST_JOINED):
        under_way = await held_up(store, between, lambda number: send(store, f"sent-{number}"))
        waiting = [asyncio.create_task(inboxes.read("nobody", "s-1", limit=limit)) for _ in range(MIN_BATCH)]
        between.let_go()
        await asyncio.gather(*under_way, *waiting)
        counts[limit] = between.count(store.scripts["read"].sha)
        between.sent.clear()

    assert counts == {1: 1, 10: 6, MOST_JOINED: MIN_BATCH}


def reads_of_every_outcome() -> list[tuple[str, str, dict[str, Any]]]:
    """Return agent, consumer and options of each, for the mail that joined sends were tried with."""
    found: list[tuple[str, str, dict[str, Any]]] = [
        (name, f"s-{number}", {"limit": limit, "ack_now": ack_now})
        for number, name in enumerate(["known", "former", "full", "new", "ben", "nobody", "wrong", "human"] * 3)
        for limit, ack_now in ((1, True), (1, False))
    ]
    found += [
        ("full", "s-1", {"limit": 2, "resume": True}),
        ("full", "s-2", {"limit": 5, "shown": {"f0": 1}}),
        ("full", "s-3", {"limit": 3, "budget": 9}),
        ("full", "s-4", {"limit": 3, "verified": True}),
        ("full", "s-5", {"limit": 100}),
        ("full", "s-6", {}),
        ("alice", "s-1", {"acting": True}),
        ("ben", "s-1", {"acting": True}),
        ("ben", "s-0", {"acting": True}),
    ]
    return found


@pytest.mark.parametrize("seed", range(3))
async def test_each_of_joined_reads_ends_and_leaves_what_it_would_alone(proxy, open_broker, seed: int) -> None:
    between = await proxy()
    brokers = [await open_broker(valkey_url=between.url, key_prefix=f"t{secrets.token_hex(6)}:") for _ in range(2)]
    together, alone = [await test_joined.prepared(broker) for broker in brokers]
    for draft, sender in test_joined.cases():
        for inboxes in (together, alone):
            await outcome(inboxes.send(draft, sender))
    calls = reads_of_every_outcome()
    random.Random(seed).shuffle(calls)
    between.sent.clear()

    found = await asyncio.gather(*(outcome(together.read(name, to, **options)) for name, to, options in calls))

    assert between.count(brokers[0]._store.scripts["read"].sha) < len(calls) / 3, "they were joined"
    expected = [await outcome(alone.read(name, to, **options)) for name, to, options in calls]
    for each, one_found, one_expected in zip(calls, found, expected, strict=True):
        assert one_found == one_expected, each
    for word in ("is the mailbox of all", "acts as alice", "acts as None", "WRONGTYPE", "more=True", "items=[]"):
        assert word in str(found), word
    assert await test_joined.contents(brokers[0]._store) == await test_joined.contents(brokers[1]._store)


async def prepared(broker: Broker) -> Inboxes:
    """Let there be mail that a read ends: expired, or delivered for the last time; and keys of the wrong type."""
    store, of = broker._store, broker._store.keys.of
    inboxes = Inboxes(store, LIMITS)
    for at, name in enumerate(EXPIRED):
        for number in range(1, 120 * at + 3):
            await store.call("XADD", of("inbox", name), f"1-{number}", "m", f"{number} 1 e{number} ci -h 1 x")
    for name in (*EXPIRED, *DYING, *WRONG):
        for number in range(6):
            await inboxes.send(Draft(id=f"m{number}", to=name, body="x"), CI)
    for name in (*DYING, *WRONG):
        for _ in range(LIMITS.max_deliveries):
            await inboxes.read(name, "s-9", limit=2)
            for place in await store.call("ZRANGE", of("leases", name), 0, -1):
                await store.call("ZADD", of("leases", name), 1, place)
    for kind in WRONG:
        await store.call("DEL", of(kind, kind))
        await store.call("SET", of(kind, kind), "another type")
    return inboxes


def reads(seed: int) -> list[tuple[str, str, dict[str, Any]]]:
    chance = random.Random(seed)
    options = [{"limit": 1}, {"limit": 3}, {"limit": 1, "ack_now": True}, {"limit": 2, "resume": True}, {"shown": {}}]
    names = [*EXPIRED, *DYING, *WRONG]
    return [(chance.choice(names), f"s-{chance.randrange(3)}", chance.choice(options)) for _ in range(80)]


async def contents(store: Store) -> list[str]:
    call, of, shared, found = store.call, store.keys.of, store.keys.shared, []
    for name in (*EXPIRED, *DYING):
        found += [await call("XRANGE", of(kind, name), "-", "+") for kind in ("inbox", "dead")]
        found.append(sorted(plain(each) for each in await call("HGETALL", of("index", name))))
        found.append(len(await call("ZRANGE", of("leases", name), 0, -1)))
    found.append(await call("XRANGE", shared("events"), "-", "+"))
    return [re.sub(r"\*Z?|'\*'", "*", plain(repr(each))) for each in found]


@pytest.mark.parametrize("seed", range(3))
async def test_what_a_joined_read_ends_is_what_it_would_end_alone(
    proxy, open_broker, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    between = await proxy()
    found, left = [], []
    for most in (wire.MOST_JOINED, 0):
        broker: Broker = await open_broker(valkey_url=between.url, key_prefix=f"t{secrets.token_hex(6)}:")
        inboxes = await prepared(broker)
        monkeypatch.setattr(wire, "MOST_JOINED", most)
        between.sent.clear()
        calls = (inboxes.read(name, consumer, **options) for name, consumer, options in reads(seed))
        found.append(await asyncio.gather(*map(outcome, calls)))
        assert (between.count(broker._store.scripts["read"].sha) < 40) == (most > 0)
        left.append(await contents(broker._store))

    assert found[0] == found[1]
    assert left[0] == left[1]
    for word in ("died=2", "WRONGTYPE", "redelivered=True", "more=True"):
        assert word in str(found[0]), word


async def filled(store: Store) -> Inboxes:
    """Let there be MIN_BATCH inboxes with two messages each."""
    inboxes = Inboxes(store, LIMITS)
    for number in range(2 * MIN_BATCH):
        await inboxes.send(Draft(id=f"m{number}", to=f"bob-{number % MIN_BATCH}", body="x"), CI)
    return inboxes


def many(inboxes: Inboxes, count: int = MIN_BATCH, **options: Any) -> list[Coroutine[Any, Any, Batch]]:
    return [inboxes.read(f"bob-{number}", f"s-{number}", **options) for number in range(count)]


def shown(batches: list[Batch]) -> list[list[tuple[str, bool]]]:
    return [[(each.id, each.redelivered) for each in batch.lease.items] for batch in batches]


async def test_joined_reads_go_on_in_full_memory(serve, store_at: Open) -> None:
    store = await store_at(serve("--maxmemory-policy", "noeviction").url)
    inboxes = await filled(store)
    await in_full_memory(store)

    batches = await asyncio.gather(*many(inboxes, limit=1))

    assert shown(batches) == [[(f"m{number}", False)] for number in range(MIN_BATCH)]


async def test_what_refuses_joined_reads_is_told_to_each_of_them(serve, store_at: Open) -> None:
    server = serve()
    store = await store_at(server.url)
    inboxes = await filled(store)
    await on_a_replica(store)

    found = list(await asyncio.gather(*many(inboxes, limit=1), return_exceptions=True))

    assert outcomes(found) == {"none"}
    assert int(server.ask("EXISTS", store.keys.of("leases", "bob-3"))) == 0


async def test_what_joined_reads_leased_whose_reply_was_lost_comes_again_labelled(
    proxy, store_at: Open, valkey: str
) -> None:
    between = await proxy()
    prefix = f"t{secrets.token_hex(6)}:"
    store, direct = await store_at(between.url, prefix), await store_at(valkey, prefix)
    inboxes = await filled(store)
    await store.call("PING")
    between.sent.clear()
    between.lose = b"s-5\r\n"

    _, *found = await asyncio.gather(
        *many(inboxes, limit=1), return_exceptions=True
    )  # the first is sent at once, alone

    assert between.count(store.scripts["read"].sha) == 2
    assert outcomes(list(found)) == {"unknown"}
    between.lose = None

    async def all_leased() -> bool:
        names = [f"bob-{number}" for number in range(1, MIN_BATCH)]
        return all([await direct.call("EXISTS", direct.keys.of("leases", name)) for name in names])

    await eventually(all_leased, "the server has run what it was sent")
    again = (await asyncio.gather(*many(inboxes, limit=2, resume=True)))[1:]
    assert shown(again) == [[(f"m{at}", True), (f"m{at + MIN_BATCH}", False)] for at in range(1, MIN_BATCH)]


async def test_of_joined_reads_those_that_were_cancelled_lease_nothing(proxy, store_at: Open) -> None:
    between = await proxy()
    store = await store_at(between.url, f"t{secrets.token_hex(6)}:")
    inboxes = await filled(store)
    under_way = await held_up(store, between, lambda number: send(store, f"sent-{number}", "ann"))
    waiting = [asyncio.ensure_future(each) for each in many(inboxes, MIN_BATCH - 1, limit=1)]
    await asyncio.sleep(0.01)

    for each in waiting[::2]:
        each.cancel()
    await asyncio.gather(*waiting[::2], return_exceptions=True)
    between.let_go()
    await asyncio.gather(*under_way, *waiting[1::2])

    assert between.count(store.scripts["read"].sha) == 1
    again = await asyncio.gather(*many(inboxes, limit=1))
    expected = [f"m{at}" if at % 2 == 0 or at == MIN_BATCH - 1 else f"m{at + MIN_BATCH}" for at in range(MIN_BATCH)]
    assert shown(again) == [[(id, False)] for id in expected]
