"""A server in trouble is told in time and truly: away, frozen, busy, loading, full, a replica, without rights."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time

import pytest
from redis.exceptions import ResponseError

from postino.errors import StoreAway
from postino.store.entries import leased_items
from postino.store.pipeline import MIN_TIME_LEFT_S, REPLY_TIMEOUT_S
from tests.store.sends import Open, held_up, refused, send, stored
from tests.waiting import eventually


async def test_a_server_that_never_was_there_is_a_known_outcome_at_once(store_at: Open, tmp_path) -> None:
    store = await store_at(f"unix://{tmp_path}/nothing")
    began = time.monotonic()

    refusal = await refused(send(store, "m1"))

    assert refusal.detail["outcome"] == "none"
    assert time.monotonic() - began < 1


@pytest.mark.timing("a call is given up after 1.5 s, and told within 2 s")
async def test_a_frozen_server_is_told_within_two_seconds_and_comes_back(serve, store_at: Open) -> None:
    server = serve()
    store = await store_at(server.url)
    await send(store, "m1")
    server.signal(signal.SIGSTOP)

    outcomes, slowest = [], 0.0
    for number in range(3):
        began = time.monotonic()
        outcomes.append((await refused(send(store, f"frozen-{number}"))).detail["outcome"])
        slowest = max(slowest, time.monotonic() - began)
    server.signal(signal.SIGCONT)
    await send(store, "m2")

    assert outcomes == ["unknown", "none", "none"]
    assert slowest < 2
    assert await stored(store) == 3  # the one whose outcome was unknown had arrived


@pytest.mark.timing("a call is given up after 1.5 s, and told within 2 s")
async def test_calls_that_wait_behind_a_slow_answer_are_told_in_time_too(proxy, store_at: Open) -> None:
    between = await proxy()
    store = await store_at(between.url)
    await store.call("PING")
    between.gate = asyncio.Semaphore(0)

    async def timed(delay: float) -> float:
        await asyncio.sleep(delay)
        began = time.monotonic()
        with contextlib.suppress(StoreAway):
            await store.call("ECHO", "x")
        return time.monotonic() - began

    async def answer_the_first_just_in_time() -> float:
        await asyncio.sleep(1.2)
        between.gate.release()
        return 0.0

    durations = await asyncio.gather(*(timed(0.1 * number) for number in range(10)), answer_the_first_just_in_time())

    assert 1.1 < durations[0] < 1.4
    assert max(durations) < 2


async def test_a_call_that_could_not_be_answered_in_time_is_not_sent(proxy, store_at: Open) -> None:
    between = await proxy()
    store = await store_at(between.url)
    under_way = await held_up(store, between, lambda number: store.call("ECHO", f"sent-{number}"))
    late = asyncio.ensure_future(store.call("ECHO", "late"))
    await asyncio.sleep(REPLY_TIMEOUT_S - MIN_TIME_LEFT_S / 2)

    between.let_go()

    assert (await refused(late)).detail["outcome"] == "none"
    assert between.count("late") == 0
    await asyncio.gather(*under_way)


async def test_a_killed_server_is_found_again(serve, store_at: Open) -> None:
    server = serve()
    store = await store_at(server.url)
    await send(store, "m1")
    server.kill()
    assert (await refused(send(store, "m2"))).detail["outcome"] in ("none", "unknown")
    assert (await refused(send(store, "m3"))).detail["outcome"] == "none"
    server.start()

    await send(store, "m4")

    assert await stored(store) == 2


async def test_a_restart_between_two_calls_is_not_noticed(serve, store_at: Open) -> None:
    server = serve()
    store = await store_at(server.url)
    await send(store, "m1")
    server.kill()
    server.start()
    await asyncio.sleep(0.05)  # until the end of the old connection has arrived

    await send(store, "m2")

    assert await stored(store) == 2


async def test_a_full_memory_refuses_to_take_and_still_gives(serve, store_at: Open) -> None:
    store = await store_at(serve("--maxmemory-policy", "noeviction").url)
    await send(store, "m1")
    await store.call("CONFIG", "SET", "maxmemory", "1")

    refusal = await refused(send(store, "m2"))

    assert refusal.detail["outcome"] == "none"
    values = {
        "consumer": "s1", "limit": 10, "budget": 0, "lease_ms": 60_000, "max_deliveries": 5, "ttl_ms": 60_000,
        "max_dead": 10, "resume": "", "shown": "", "ack_now": "", "acting": "", "verified": "",
    }  # fmt: skip
    _, (_, *items) = await store.run_named("read", "bob", **values)
    assert len(list(leased_items(items))) == 1
    assert await store.run_named("ack", "bob", consumer="s1", ids='["m1"]', acting="") == ("bob", ["1"])
    await store.call("CONFIG", "SET", "maxmemory", "0")
    await send(store, "m2")


async def test_a_replica_takes_nothing(serve, store_at: Open) -> None:
    server = serve()
    store = await store_at(server.url)
    await store.call("REPLICAOF", "127.0.0.1", "1")

    assert (await refused(send(store, "m1"))).detail["outcome"] == "none"
    refusal = await refused(send(store, "m1"))
    assert "is a read-only replica" in refusal.message, "that connection was given up, and the next one asked"

    server.ask("REPLICAOF", "NO", "ONE")
    await send(store, "m1")
    assert await stored(store) == 1


async def test_a_server_busy_with_a_foreign_script_takes_nothing(serve, store_at: Open) -> None:
    server = serve("--busy-reply-threshold", "20")
    store, other, rescue = [await store_at(server.url) for _ in range(3)]
    await send(store, "m1")
    await rescue.call("PING")
    endless = asyncio.create_task(other.call("EVAL", "while true do end", "0"))
    await asyncio.sleep(0.2)

    refusal = await refused(send(store, "m2"))
    await rescue.call("SCRIPT", "KILL")
    with pytest.raises((ResponseError, StoreAway, Exception)):
        await endless

    assert refusal.detail["outcome"] == "none"
    await send(store, "m3")
    assert await stored(store) == 2


async def test_a_server_that_loads_its_data_takes_nothing_and_then_serves(serve, store_at: Open) -> None:
    server = serve()
    store = await store_at(server.url)
    await send(store, "m1")
    for _ in range(60):
        await store.call("EVAL", "for i = 1, 2000 do redis.call('XADD', 'load', '*', 'a', 'b') end", 0)
    server.kill()
    server.start("--key-load-delay", "-16")  # 1 us for 16 records; callers are answered after every 1024 of them
    await asyncio.sleep(0.05)  # until the end of the old connection has arrived

    async with asyncio.timeout(60):
        while True:  # on a busy machine the server may not have answered in time at first
            refusal = await refused(send(store, "early"))
            assert refusal.detail["outcome"] == "none"
            if "oading" in refusal.message:
                break
        while True:
            try:
                await send(store, "late")
            except StoreAway as again:
                assert again.detail["outcome"] == "none"
                await asyncio.sleep(0.05)
            else:
                break
    assert await stored(store) == 2


async def test_a_server_that_asks_for_a_password_takes_nothing(serve, store_at: Open) -> None:
    server = serve()
    store = await store_at(server.url)
    await store.call("CONFIG", "SET", "requirepass", "secret")
    fresh = await store_at(server.url)

    refusal = await refused(send(fresh, "m1"))

    assert refusal.detail["outcome"] == "none"
    assert "secret" not in refusal.message
    opened = await store_at(server.url.replace("unix://", "unix://:secret@"))
    await send(opened, "m1")


async def test_a_right_that_is_missing_within_a_script_is_an_unknown_outcome(serve, store_at: Open) -> None:
    store = await store_at(serve().url)
    await send(store, "m0")  # so that the recipient is known
    await store.call("ACL", "SETUSER", "default", "-hset")

    within = await refused(send(store, "m1"))  # its entry was written when the script came to HSET
    await store.call("ACL", "SETUSER", "default", "-evalsha")
    before = await refused(send(store, "m2"))

    assert (within.detail["outcome"], before.detail["outcome"]) == ("unknown", "none")
    assert await stored(store) == 2


async def test_a_server_that_becomes_a_replica_ends_a_blocking_read_as_storage_trouble(serve, store_at: Open) -> None:
    server = serve()
    store = await store_at(server.url)
    reader = store.blocking_reader()
    try:
        waiting = asyncio.ensure_future(reader.call("XREAD", "BLOCK", 9000, "STREAMS", "none", "$", within_s=10))
        await eventually(lambda: server.ask("INFO", "clients")["blocked_clients"] == 1)
        server.ask("REPLICAOF", "127.0.0.1", "1")

        assert (await refused(waiting)).detail["outcome"] == "none"
    finally:
        await reader.close()
