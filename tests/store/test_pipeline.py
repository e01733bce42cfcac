"""The writing client: shared round trips, one try for each command, and a true word on what may have happened."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time

import pytest

from postino.errors import PostinoError, StoreAway, WrongStore
from postino.store.entries import unpacked
from postino.store.pipeline import BATCH_FROM, MAX_IN_FLIGHT, MIN_BATCH, Pipeline
from tests.store.sends import Open, held_up, refused, send, stored
from tests.waiting import eventually


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


async def test_calls_that_wait_follow_those_in_flight_once_they_are_a_batch(proxy, store_at: Open) -> None:
    between = await proxy()
    store = await store_at(between.url)
    calls = await held_up(store, between, lambda number: store.call("ECHO", f"sent-{number}"))

    async def writes_of(count: int) -> int:
        """Make calls while no reply comes; return how many writes to the server that makes."""
        before, first = store.writes.round_trips, len(calls)
        calls.extend(asyncio.ensure_future(store.call("ECHO", first + number)) for number in range(count))
        for _ in range(5):  # turns of the event loop: a task for each call, then one write for all of them
            await asyncio.sleep(0)
        return store.writes.round_trips - before

    assert await writes_of(MIN_BATCH - 1) == 0
    assert await writes_of(1) == 1
    assert await writes_of(2 * (MAX_IN_FLIGHT - BATCH_FROM - MIN_BATCH)) == 1, "half of them go"
    assert await writes_of(MIN_BATCH) == 0, "now as many as may be are in flight"

    between.let_go()
    assert len(set(await asyncio.gather(*calls))) == len(calls)


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
    _, (answer,) = await send(store, "poison", agent)  # type: ignore[misc]
    assert answer.split()[:2] == ["1", "0"]
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
    ids = [unpacked(fields)["id"] for _, fields in entries]
    assert ids == [f"m{number:03}" for number in range(100)]


async def test_bytes_that_are_no_text_are_read_all_the_same(store_at: Open, valkey: str) -> None:
    store = await store_at(valkey)

    assert await store.writes.call("ECHO", b"half \xc3") == "half \ufffd"


async def test_closing_answers_everybody(serve) -> None:
    server = serve()
    pipeline = Pipeline(server.url)
    pipeline.open(list)
    await pipeline.call("PING")
    server.signal(signal.SIGSTOP)
    calls = [asyncio.ensure_future(pipeline.call("PING")) for _ in range(BATCH_FROM)]
    await asyncio.sleep(0.05)
    calls += [asyncio.ensure_future(pipeline.call("PING")) for _ in range(5)]
    await asyncio.sleep(0)

    await pipeline.close()

    outcomes = [(await refused(each)).detail["outcome"] for each in calls]
    assert outcomes == ["unknown"] * BATCH_FROM + ["none"] * 5
    server.signal(signal.SIGCONT)
    assert (await refused(pipeline.call("PING"))).detail["outcome"] == "none"
