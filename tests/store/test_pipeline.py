"""The writing client: shared round trips, one try for each command, and a true word on what may have happened."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from redis.exceptions import ResponseError

from postino.errors import PostinoError, StoreAway, WrongStore
from postino.store.pipeline import BATCH_FROM, MIN_TIME_LEFT_S, REPLY_TIMEOUT_S, Pipeline
from postino.store.store import Store
from tests.waiting import eventually

Open = Callable[..., Awaitable[Store]]


@pytest.fixture
async def store_at() -> AsyncIterator[Open]:
    """Open stores on servers of the test's choice."""
    opened: list[Store] = []

    async def one(url: str, prefix: str = "t:") -> Store:
        opened.append(Store(url, prefix))
        opened[-1].open()
        return opened[-1]

    yield one
    for each in opened:
        await each.close()


async def send(store: Store, id: str, to: str = "bob") -> object:
    values = {
        "id": id, "digest": "d", "sender": "ci", "body": "hello", "thread": "", "reply_to": "", "verified": "",
        "via": "http", "max_inbox": 1000, "ttl_ms": 60_000, "session": "",
        "max_dead": 10, "marked_until": 0,
    }  # fmt: skip
    return await store.run_named("send", to, **values)


async def stored(store: Store, agent: str = "bob") -> int:
    return int(await store.call("XLEN", store.keys.of("inbox", agent)))


async def refused(call: Awaitable[object]) -> StoreAway:
    with pytest.raises(StoreAway) as refusal:
        await call
    return refusal.value


async def held_up(store: Store, between, call: Callable[[int], Awaitable[object]]) -> list[asyncio.Future[object]]:
    """Start as many calls as go out at once, and hold their replies back: the next call has to wait."""
    await store.call("PING")
    between.gate = asyncio.Semaphore(0)
    calls = [asyncio.ensure_future(call(number)) for number in range(BATCH_FROM)]
    while not between.count(f"sent-{BATCH_FROM - 1}"):  # noqa: ASYNC110 - the proxy counts, it does not call
        await asyncio.sleep(0.001)
    return calls


async def test_calls_that_wait_together_share_round_trips(proxy, store_at: Open) -> None:
    between = await proxy()
    store = await store_at(between.url)
    await store.call("PING")
    between.sent.clear()

    replies = await asyncio.gather(*(store.call("ECHO", f"number {number}") for number in range(200)))

    assert replies == [f"number {number}" for number in range(200)]
    assert len(between.sent) < 10


async def test_a_few_calls_go_out_without_waiting_for_each_other(proxy, store_at: Open) -> None:
    between = await proxy()
    store = await store_at(between.url)

    calls = await held_up(store, between, lambda number: store.call("ECHO", f"sent-{number}"))

    assert not any(each.done() for each in calls)
    between.let_go()
    assert await asyncio.gather(*calls) == [f"sent-{number}" for number in range(BATCH_FROM)]


async def test_a_peer_that_does_not_read_gets_no_more_than_a_buffer_full(serve, store_at: Open) -> None:
    server = serve()
    store = await store_at(server.url)
    await store.call("PING")
    server.signal(signal.SIGSTOP)

    calls = [asyncio.ensure_future(store.call("ECHO", "x" * 1_000_000)) for _ in range(4)]
    for _ in range(20):
        calls.append(asyncio.ensure_future(store.call("ECHO", "y" * 100_000)))
        await asyncio.sleep(0.005)
    outcomes = [(await refused(each)).detail["outcome"] for each in calls]
    server.signal(signal.SIGCONT)

    assert outcomes == ["unknown"] + ["none"] * 23
    assert await store.call("ECHO", "back") == "back"


@pytest.mark.parametrize("said", [b"hello\r\n", b"+PONG\r\n+PONG\r\n"])
async def test_a_peer_that_breaks_the_protocol_is_dropped_and_dialled_anew(tmp_path, said: bytes) -> None:
    dialled: list[asyncio.Event] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        dialled.append(over := asyncio.Event())
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                greetings = data.count(b"\r\nSETINFO\r\n")
                writer.write(b"+OK\r\n" * greetings or said)
        writer.close()
        over.set()

    async with await asyncio.start_unix_server(answer, tmp_path / "s"):
        pipeline = Pipeline(f"unix://{tmp_path}/s")
        pipeline.open(list)
        for _ in range(2):
            try:
                assert await pipeline.call("PING") == "PONG"
            except StoreAway as refusal:
                assert refusal.detail["outcome"] == "unknown"
                assert "does not speak the Valkey protocol" in refusal.message
        assert len(dialled) == 2
        await pipeline.close()
        await asyncio.gather(*(each.wait() for each in dialled))


async def test_replies_find_their_callers_also_beside_refusals(store_at: Open, valkey: str) -> None:
    store = await store_at(valkey)

    async def one(number: int) -> str:
        if number % 3 == 0:
            with contextlib.suppress(Exception):
                await store.call("NOSUCHCOMMAND", number)
            return f"{number}"
        return str(await store.call("ECHO", number))

    assert await asyncio.gather(*(one(number) for number in range(600))) == [str(number) for number in range(600)]


async def test_a_cancelled_caller_disturbs_nobody(store_at: Open, valkey: str) -> None:
    store = await store_at(valkey)
    for round_ in range(20):
        calls = [asyncio.create_task(store.call("ECHO", f"{round_}-{number}")) for number in range(50)]
        for _ in range(round_ % 4):
            await asyncio.sleep(0)
        for each in calls[::7]:
            each.cancel()
        replies = await asyncio.gather(*calls, return_exceptions=True)

        for number, reply in enumerate(replies):
            assert reply == f"{round_}-{number}" or isinstance(reply, asyncio.CancelledError)
            assert number % 7 == 0 or not isinstance(reply, asyncio.CancelledError)


async def test_a_call_that_was_cancelled_before_it_was_sent_is_not_sent(proxy, store_at: Open) -> None:
    between = await proxy()
    store = await store_at(between.url)
    under_way = await held_up(store, between, lambda number: store.call("ECHO", f"sent-{number}"))
    call = asyncio.create_task(store.call("ECHO", "cancelled"))
    await asyncio.sleep(0.01)

    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    between.let_go()
    await asyncio.gather(store.call("PING"), *under_way)

    assert between.count("cancelled") == 0


@pytest.mark.parametrize("bad", ["\ud800", "a\udfff"])
async def test_a_command_that_cannot_be_encoded_harms_its_caller_only(store_at: Open, valkey: str, bad: str) -> None:
    store = await store_at(valkey)
    good = asyncio.create_task(store.call("ECHO", "good"))

    with pytest.raises(UnicodeEncodeError):
        await store.call("ECHO", bad)

    assert await good == "good"
    assert await store.call("ECHO", "still there") == "still there"


async def test_a_script_survives_an_emptied_script_cache(serve, store_at: Open) -> None:
    store = await store_at(serve().url)
    await send(store, "m1")
    await store.call("SCRIPT", "FLUSH")

    await asyncio.gather(*(send(store, f"m{number}") for number in range(1, 20)))

    assert await stored(store) == 19


async def test_a_lost_reply_is_an_unknown_outcome_and_is_never_tried_again(proxy, store_at: Open, valkey: str) -> None:
    between = await proxy()
    store, direct = await store_at(between.url, "lost:"), await store_at(valkey, "lost:")
    agent = f"bob-{time.time_ns()}"
    await store.call("PING")
    between.lose = b"poison"

    refusal = await refused(send(store, "poison", agent))

    assert refusal.detail["outcome"] == "unknown"
    assert between.count("poison") == 1
    assert await stored(direct, agent) == 1
    between.lose = None
    _, (seq, created, *_) = await send(store, "poison", agent)  # type: ignore[misc]
    assert (seq, created) == (1, 0)
    assert await stored(direct, agent) == 1


async def test_what_waited_behind_a_broken_call_did_not_happen(proxy, store_at: Open, valkey: str) -> None:
    between = await proxy()
    store, direct = await store_at(between.url, "lost:"), await store_at(valkey, "lost:")
    agent = f"bob-{time.time_ns()}"
    under_way = await held_up(store, between, lambda number: send(store, f"sent-{number}", agent))
    later = [asyncio.create_task(send(store, f"later-{number}", agent)) for number in range(5)]
    await asyncio.sleep(0.01)

    between.cut()
    outcomes = [(await refused(each)).detail["outcome"] for each in (*under_way, *later)]

    assert outcomes == ["unknown"] * BATCH_FROM + ["none"] * 5
    assert await stored(direct, agent) == BATCH_FROM


@pytest.mark.parametrize(
    "error", [WrongStore("another store"), StoreAway("a right is missing", outcome="none")], ids=["wrong", "away"]
)
async def test_calls_in_flight_on_a_dropped_connection_may_have_run(
    proxy, store_at: Open, valkey: str, error: PostinoError
) -> None:
    between = await proxy()
    store, direct = await store_at(between.url), await store_at(valkey)
    agent = f"bob-{time.time_ns()}"
    under_way = await held_up(store, between, lambda number: send(store, f"sent-{number}", agent))

    store.writes.drop(error)

    outcomes = [(await refused(each)).detail["outcome"] for each in under_way]
    assert outcomes == ["unknown"] * BATCH_FROM
    between.let_go()
    assert await eventually(lambda: stored(direct, agent), "they were sent")


async def test_a_hundred_lost_replies_store_nothing_twice(proxy, store_at: Open, valkey: str) -> None:
    between = await proxy()
    store, direct = await store_at(between.url, "lost:"), await store_at(valkey, "lost:")
    agent = f"bob-{time.time_ns()}"
    for number in range(100):
        between.lose = f"m{number:03}".encode() if number % 2 else None
        try:
            await send(store, f"m{number:03}", agent)
        except StoreAway as refusal:
            assert refusal.detail["outcome"] == "unknown"
            between.lose = None
            await send(store, f"m{number:03}", agent)

    entries = await direct.call("XRANGE", direct.keys.of("inbox", agent), "-", "+")
    ids = [fields[fields.index("id") + 1] for _, fields in entries]
    assert ids == [f"m{number:03}" for number in range(100)]


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


async def test_bytes_that_are_no_text_are_read_all_the_same(store_at: Open, valkey: str) -> None:
    store = await store_at(valkey)

    assert await store.writes.call("ECHO", b"half \xc3") == "half \ufffd"


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
    _, (items, *_) = await store.run_named("read", "bob", **values)
    assert len(items) == 1
    _, (acknowledged, _) = await store.run_named("ack", "bob", consumer="s1", ids='["m1"]', acting="")
    assert acknowledged == ["m1"]
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
    await store.call("EVAL", "for i = 1, 25000 do redis.call('XADD', 'load', '*', 'a', 'b') end", 0)
    server.kill()
    server.start("--key-load-delay", "10")  # us for each record; callers are answered after every 1024 of them
    await asyncio.sleep(0.05)  # until the end of the old connection has arrived

    refusal = await refused(send(store, "early"))

    assert refusal.detail["outcome"] == "none"
    assert "oading" in refusal.message
    async with asyncio.timeout(30):
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


async def test_closing_answers_everybody(serve) -> None:
    server = serve()
    pipeline = Pipeline(server.url)
    pipeline.open(list)
    await pipeline.call("PING")
    server.signal(signal.SIGSTOP)
    calls = [asyncio.create_task(pipeline.call("PING")) for _ in range(BATCH_FROM)]
    await asyncio.sleep(0.05)
    calls += [asyncio.create_task(pipeline.call("PING")) for _ in range(5)]
    await asyncio.sleep(0)

    await pipeline.close()

    outcomes = [(await refused(each)).detail["outcome"] for each in calls]
    assert outcomes == ["unknown"] * BATCH_FROM + ["none"] * 5
    server.signal(signal.SIGCONT)
    assert (await refused(pipeline.call("PING"))).detail["outcome"] == "none"


async def test_a_right_that_is_missing_within_a_script_is_an_unknown_outcome(serve, store_at: Open) -> None:
    store = await store_at(serve().url)
    await store.call("ACL", "SETUSER", "default", "-zadd")

    within = await refused(send(store, "m1"))  # its entry was written when the script came to ZADD
    await store.call("ACL", "SETUSER", "default", "-evalsha")
    before = await refused(send(store, "m2"))

    assert (within.detail["outcome"], before.detail["outcome"]) == ("unknown", "none")
    assert await stored(store) == 1


async def test_a_server_that_becomes_a_replica_ends_a_blocking_read_as_storage_trouble(serve, store_at: Open) -> None:
    server = serve()
    store = await store_at(server.url)
    reader = store.blocking_reader()
    try:
        waiting = asyncio.create_task(reader.call("XREAD", "BLOCK", 9000, "STREAMS", "none", "$", within_s=10))
        await eventually(lambda: server.ask("INFO", "clients")["blocked_clients"] == 1)
        server.ask("REPLICAOF", "127.0.0.1", "1")

        assert (await refused(waiting)).detail["outcome"] == "none"
    finally:
        await reader.close()
