"""Valkey away: told in time and truly, nothing accepted is lost, and nobody has to restart anything."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from postino.broker import Broker
from postino.config import Settings
from postino.errors import StoreAway
from postino.paths import Home
from postino.store.valkey.embedded import EmbeddedValkey

Open = Callable[..., Awaitable[Broker]]


@pytest.fixture
async def open_at(home: Home) -> AsyncIterator[Open]:
    """Open brokers on a server of this test's own: `open_at()` on an embedded one, `open_at(url)` on that."""
    opened: list[Broker] = []

    async def one(url: str | None = None, **changes: object) -> Broker:
        settings = replace(Settings(home=home, valkey_url=url), **changes)  # type: ignore[arg-type]
        opened.append(await Broker.open(settings))
        return opened[-1]

    yield one
    for each in opened:
        await each.close()
    await EmbeddedValkey(home).stop()


def embedded(home: Home) -> int:
    return int((home.data / "valkey.pid").read_text())


async def refused(call: Awaitable[object]) -> tuple[str, float]:
    """Return the outcome of a call that must be refused, and the seconds that took."""
    began = time.monotonic()
    with pytest.raises(StoreAway) as refusal:
        await call
    return str(refusal.value.detail["outcome"]), time.monotonic() - began


async def back(broker: Broker, seconds: float = 8) -> float:
    """Return how long it took until the store answered again."""
    began = time.monotonic()
    while not (await broker.health()).ok:
        assert time.monotonic() - began < seconds
        await asyncio.sleep(0.02)
    return time.monotonic() - began


@pytest.mark.timing("a call is given up after 1.5 s, and told within 2 s")
async def test_every_verb_of_a_frozen_store_is_refused_within_two_seconds(open_at: Open, serve, send, say) -> None:
    server = serve()
    broker = await open_at(server.url)
    await send(broker, "m1")
    server.signal(signal.SIGSTOP)

    calls = {
        "send": send(broker, "m2"), "read": broker.mail.read("bob", "s1"), "ack": broker.mail.ack("bob", "s1", ["m1"]),
        "check": broker.agents.check("bob"), "look": broker.mail.peek("bob", 10, 0),
        "state": broker.mail.state("bob", "m1"),
        "broadcast": say(broker, "b1"), "agents": broker.agents.page(10, 0), "history": broker.history.search(),
        "rename": broker.agents.rename("bob", "robert"), "wait": broker.mail.wait("bob", 20), "stats": broker.stats(),
    }  # fmt: skip
    answers = dict(zip(calls, await asyncio.gather(*(refused(each) for each in calls.values())), strict=True))
    later = await refused(send(broker, "m3"))
    began = time.monotonic()
    health = await broker.health()

    assert {name: seconds for name, (_, seconds) in answers.items() if seconds >= 2} == {}
    assert {outcome for outcome, _ in answers.values()} <= {"unknown", "none"}
    assert later[0] == "none"
    assert later[1] < 2
    assert (health.ok, health.valkey, time.monotonic() - began < 2) == (False, False, True)
    server.signal(signal.SIGCONT)
    await back(broker)
    assert not (await send(broker, "m2")).created  # its outcome was unknown, and it had arrived


async def test_a_frozen_store_goes_on_without_a_restart(open_at: Open, home: Home, send) -> None:
    broker = await open_at()
    pid = embedded(home)
    await send(broker, "m1")
    os.kill(pid, signal.SIGSTOP)
    outcome, _ = await refused(send(broker, "m2"))
    assert outcome == "unknown"
    os.kill(pid, signal.SIGCONT)

    assert await back(broker) < 2

    await send(broker, "m2")
    await send(broker, "m3")
    assert [each.id for each in (await broker.mail.read("bob", "s1")).items] == ["m1", "m2", "m3"]
    assert embedded(home) == pid


async def test_a_killed_embedded_store_is_restarted_with_everything_it_answered(
    open_at: Open, home: Home, send
) -> None:
    broker = await open_at()
    for number in range(20):
        await send(broker, f"m{number:02}")
    await broker.mail.read("bob", "s1", limit=5)
    await broker.mail.ack("bob", "s1", ["m00", "m01"])
    await broker.mail.nack("bob", "s1", ["m02"])
    await broker.mail.read("bob", "s2", limit=1)
    os.kill(embedded(home), signal.SIGKILL)

    assert await back(broker) < 5

    assert [each.id for each in (await broker.mail.peek("bob", 50, 0))[0]] == [
        f"m{number:02}" for number in range(2, 20)
    ]
    held = [(await broker.mail.state("bob", f"m0{number}")) for number in range(2, 6)]
    assert [(each.state, each.reader, each.deliveries) for each in held] == [
        ("leased", "s2", 2),
        ("leased", "s1", 1),
        ("leased", "s1", 1),
        ("queued", None, 0),
    ]
    assert (await broker.mail.ack("bob", "s2", ["m02"])).acknowledged == ["m02"]
    batch = await broker.mail.read("bob", "s3", limit=200)
    assert [(each.id, each.delivery) for each in batch.items] == [(f"m{number:02}", 1) for number in range(5, 20)]


async def test_the_count_of_deliveries_survives_a_kill(open_at: Open, home: Home, send) -> None:
    broker = await open_at(max_deliveries=3)
    await send(broker, "poison")
    for number in (1, 2):
        assert [each.delivery for each in (await broker.mail.read("bob", "s1")).items] == [number]
        await broker.mail.nack("bob", "s1", ["poison"])
    os.kill(embedded(home), signal.SIGKILL)
    await back(broker)

    assert [each.delivery for each in (await broker.mail.read("bob", "s1")).items] == [3]
    assert (await broker.mail.nack("bob", "s1", ["poison"])).dead == ["poison"]


async def test_two_brokers_of_one_home_both_recover_on_one_server(open_at: Open, home: Home, send) -> None:
    one, two = await open_at(), await open_at()
    await send(one, "m1")
    for number in range(2, 5):
        os.kill(embedded(home), signal.SIGKILL)
        await asyncio.gather(back(one), back(two))
        await send(two if number % 2 else one, f"m{number}")

    assert [each.id for each in (await two.mail.read("bob", "s1")).items] == ["m1", "m2", "m3", "m4"]


async def test_listeners_and_waiters_outlive_a_kill(open_at: Open, home: Home, send) -> None:
    broker = await open_at()
    async with broker.events.subscribe() as heard:
        await send(broker, "m1")
        os.kill(embedded(home), signal.SIGKILL)
        await back(broker)
        waiting = asyncio.create_task(broker.mail.wait("alice", 20))
        await asyncio.sleep(0.05)
        await send(broker, "m2", to="alice")
        async with asyncio.timeout(5):
            await waiting
            seen = []
            while "m2" not in seen:
                event = await heard.get()
                assert event is not None
                seen.append(event.data.get("id"))

    assert seen == ["m1", "m2"]


async def test_listeners_begin_anew_when_the_server_lost_what_they_had_not_heard(
    open_at: Open, serve, send, eventually
) -> None:
    server = serve()
    broker = await open_at(server.url)
    await send(broker, "m1")
    async with broker.events.subscribe() as heard:
        waiting = asyncio.create_task(broker.mail.wait("alice", 20))
        await asyncio.sleep(0.1)
        server.kill()
        shutil.rmtree(server.directory / "appendonlydir")
        server.start()
        async with asyncio.timeout(5):
            while await heard.get() is not None:
                pass
            await waiting

    async with broker.events.subscribe() as again:
        await back(broker)
        await send(broker, "m2")
        async with asyncio.timeout(5):
            event = await again.get()
    assert event is not None
    assert event.data["id"] == "m2"


async def test_a_server_of_ones_own_is_never_started_by_postino(open_at: Open, home: Home, serve, send) -> None:
    server = serve()
    broker = await open_at(server.url)
    await send(broker, "m1")
    server.kill()

    await asyncio.sleep(0.5)
    outcomes = [await refused(send(broker, f"x{number}")) for number in range(5)]

    assert {outcome for outcome, _ in outcomes[1:]} == {"none"}
    assert max(seconds for _, seconds in outcomes) < 1
    assert not home.data.exists()
    server.start()
    await back(broker)
    await send(broker, "m2")
    assert [each.id for each in (await broker.mail.read("bob", "s1")).items] == ["m1", "m2"]


async def test_there_is_one_clear_sentence_when_no_server_can_be_reached(open_at: Open, home: Home) -> None:
    url = "redis://me:secret@127.0.0.1:1/0"

    with pytest.raises(StoreAway) as refusal:
        await open_at(url)

    assert "redis://127.0.0.1:1" in refusal.value.message
    assert "secret" not in refusal.value.message


async def test_a_frozen_server_cannot_hang_the_start(open_at: Open, serve) -> None:
    server = serve()
    server.signal(signal.SIGSTOP)

    async with asyncio.timeout(5):
        with pytest.raises(StoreAway) as refusal:
            await open_at(server.url)

    assert server.url in refusal.value.message
    server.signal(signal.SIGCONT)


async def test_a_send_whose_answer_was_lost_is_stored_once_by_a_retry(open_at: Open, proxy, serve, send) -> None:
    between = await proxy(serve().url)
    broker = await open_at(between.url)
    for number in range(30):
        between.lose = f"lost-{number:02}".encode()
        outcome, seconds = await refused(send(broker, f"lost-{number:02}"))
        assert (outcome, seconds < 2) == ("unknown", True)
        between.lose = None
        assert not (await send(broker, f"lost-{number:02}")).created

    batch = await broker.mail.read("bob", "s1", limit=200)
    assert [(each.id, each.seq) for each in batch.items] == [(f"lost-{n:02}", n + 1) for n in range(30)]


async def test_a_broadcast_whose_answer_was_lost_is_said_once(open_at: Open, proxy, serve, say) -> None:
    between = await proxy(serve().url)
    broker = await open_at(between.url)
    between.lose = b"lost"
    assert (await refused(say(broker, "lost")))[0] == "unknown"
    between.lose = None

    assert not (await say(broker, "lost")).created
    assert (await broker.broadcasts.page(10, 0))[1] == 1


async def test_a_read_whose_answer_was_lost_can_be_resumed(open_at: Open, proxy, serve, send) -> None:
    between = await proxy(serve().url)
    broker = await open_at(between.url)
    await send(broker, "m1")
    between.lose = b"the-reader"
    assert (await refused(broker.mail.read("bob", "the-reader")))[0] == "unknown"
    between.lose = None

    assert (await broker.mail.read("bob", "the-reader")).items == []
    batch = await broker.mail.read("bob", "the-reader", resume=True)
    assert [(each.id, each.delivery, each.redelivered) for each in batch.items] == [("m1", 1, True)]


async def test_an_acknowledgement_whose_answer_was_lost_counts_when_repeated(open_at: Open, proxy, serve, send) -> None:
    between = await proxy(serve().url)
    broker = await open_at(between.url)
    await send(broker, "m1")
    await broker.mail.read("bob", "the-reader")
    between.lose = b"the-reader"
    assert (await refused(broker.mail.ack("bob", "the-reader", ["m1"])))[0] == "unknown"
    between.lose = None

    assert (await broker.mail.ack("bob", "the-reader", ["m1"])).acknowledged == ["m1"]


async def test_a_requeue_and_a_rename_whose_answers_were_lost_can_be_repeated(
    open_at: Open, proxy, serve, send
) -> None:
    between = await proxy(serve().url)
    broker = await open_at(between.url, max_deliveries=1)
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")
    await broker.mail.nack("bob", "s1", ["m1"])
    between.lose = b'["m1"]'
    assert (await refused(broker.dead.requeue("bob", ["m1"])))[0] == "unknown"
    between.lose = b"robert"
    assert (await refused(broker.agents.rename("bob", "robert")))[0] == "unknown"
    between.lose = None

    assert (await broker.agents.rename("bob", "robert")).name == "robert"
    assert [each.id for each in (await broker.mail.peek("robert", 10, 0))[0]] == ["m1"]


async def test_with_memory_full_agents_still_come_read_and_go_and_only_new_mail_is_refused(
    open_at: Open, serve, send, say, hello
) -> None:
    broker = await open_at(serve("--maxmemory-policy", "noeviction").url, max_deliveries=1)
    for number in range(3):
        await send(broker, f"m{number}")
    await say(broker, "b1")
    await broker._store.call("CONFIG", "SET", "maxmemory", "1")

    assert (await refused(send(broker, "m9")))[0] == "none"
    assert (await refused(say(broker, "b9")))[0] == "none"
    await broker.sessions.join(hello("s-1", name="bob"))
    await broker.agents.heartbeat("web")
    assert len((await broker.mail.read("bob", "s-1")).items) == 3
    assert len((await broker.broadcasts.read("bob", 10)).items) == 1
    assert (await broker.mail.ack("bob", "s-1", ["m0"])).acknowledged == ["m0"]
    assert (await broker.mail.nack("bob", "s-1", ["m1"])).dead == ["m1"]
    await broker.sessions.keepalive("s-1", 1)
    assert (await broker.agents.check("bob")).unread_messages == 0
    await broker.sessions.leave("s-1", 1)
    assert await broker.mail.clear("bob") == 1
    assert await broker.dead.clear("bob") == 1
    await broker._store.call("CONFIG", "SET", "maxmemory", "0")


async def test_an_emptied_server_is_a_new_beginning_and_no_failure(open_at: Open, serve, send, say, hello) -> None:
    broker = await open_at(serve().url)
    await broker.sessions.join(hello("s-1", name="bob"))
    await send(broker, "m1")
    await broker.mail.read("bob", "s-1")
    await say(broker, "b1")
    await broker.broadcasts.read("bob", 10)

    await broker._store.call("FLUSHALL")

    assert (await broker.mail.read("bob", "s-1")).items == []
    assert (await broker.mail.ack("bob", "s-1", ["m1"])).rejected == ["m1"]
    await broker.sessions.leave("s-1", 1)
    await send(broker, "m2")
    await say(broker, "b2")
    assert [each.id for each in (await broker.mail.read("bob", "s-1")).items] == ["m2"]
    assert [each.id for each in (await broker.broadcasts.read("bob", 10)).items] == ["b2"]


async def test_an_accepted_message_is_answered_whatever_fails_behind_it(open_at: Open, proxy, serve, send) -> None:
    between = await proxy(serve().url)
    broker = await open_at(between.url)
    await broker.agents.heartbeat("bobby")

    agents = broker._store.keys.shared("agents").encode()
    # the read of all names, from which the answer names similar ones
    read_all = b"HGETALL\r\n$%d\r\n%b\r\n" % (len(agents), agents)
    between.lose = read_all
    lost = await send(broker, "m1", to="boby")
    between.lose = None
    await back(broker)
    between.swallow = read_all
    began = time.monotonic()
    held = await send(broker, "m2", to="bobbi")
    took = time.monotonic() - began
    between.swallow = None
    between.cut()
    await back(broker)

    assert between.losses >= 1  # housekeeping reads them, too
    assert (lost.created, lost.known, lost.names) == (True, False, [])
    assert (held.created, held.known, held.names) == (True, False, [])
    assert took < 1.5  # before the names' own deadline
    assert (await send(broker, "m3", to="bobbie")).names == ["bobby"]
