"""Events: every change is told once, in order; a slow listener is dropped; nobody waits beside arrived mail."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from postino.broker import Broker
from postino.broker import events as events_of_broker
from postino.config import Settings
from postino.event_place import EventPlace
from postino.model import Event
from postino.paths import Home
from tests.broker.mailrooms import next_ms
from tests.faults.failovers import opened
from tests.nodes import DURABLE, Node
from tests.waiting import eventually


async def take(subscription, count: int) -> list[Event]:
    async with asyncio.timeout(5):
        return [await subscription.get() for _ in range(count)]


async def woken(broker: Broker, agent: str, change) -> float:
    """Return how long a wait of 20 s for `agent` took when `change` was made while it waited."""
    waiting = asyncio.create_task(broker.mail.wait(agent, 20))
    while agent not in broker.events._waiters:  # noqa: ASYNC110 - until it really waits
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)  # past its own look, too
    began = time.monotonic()
    await change()
    await waiting
    return time.monotonic() - began


async def test_a_listener_hears_what_happens_from_now_on_in_order(broker: Broker, send) -> None:
    await send(broker, "before")
    async with broker.events.subscribe() as heard:
        await broker.agents.heartbeat("marker")
        while (await take(heard, 1))[0].type != "agent_online":
            pass  # what was under way when we began to listen
        await send(broker, "m1", sender="alice")
        await broker.mail.read("bob", "s1")
        await broker.mail.ack("bob", "s1", ["before", "m1"])
        events = await take(heard, 3)

    assert [each.type for each in events] == ["msg_send", "msg_read", "msg_ack"]
    assert events[0].data == {"id": "m1", "to": "bob", "from": "alice", "seq": 2, "via": "http"}
    assert events[1].data == {"ids": ["before", "m1"], "to": "bob", "reader": "s1"}
    places = [EventPlace.after(each.id) for each in events]
    assert all(after.covers(each.id) for each, after in zip(events, places[1:], strict=False))
    assert not any(before.covers(each.id) for each, before in zip(events[1:], places, strict=False))


async def test_every_change_is_told_and_no_event_has_a_body(open_broker, send, say, hello, events) -> None:
    broker = await open_broker(max_deliveries=1)
    await broker.sessions.join(hello("s-1", name="bob"))
    await next_ms(broker)
    await send(broker, "m1", body="secret")
    await broker.mail.read("bob", "s-1")
    await broker.mail.nack("bob", "s-1", ["m1"])
    await broker.dead.requeue("bob", ["m1"])
    await broker.claude.mark_notified(await broker.claude.unnotified("bob", "h:1:0", "c1"), "h:1:0", "c1", how="hook")
    await broker.mail.read("bob", "s-1", ack_now=True)
    await next_ms(broker)
    await send(broker, "m2", body="secret")
    await broker.mail.clear("bob")
    await next_ms(broker)
    await send(broker, "m3", body="secret")
    await broker.mail.read("bob", "s-1")
    await broker.sessions.leave("s-1", 1)
    await next_ms(broker)
    await say(broker, "b1", body="secret")
    await broker.broadcasts.read("bob", 10)
    await broker.broadcasts.clear()
    await broker.agents.rename("bob", "robert")
    await broker.mail.clear("robert")
    await broker.agents.forget("robert")

    told = await events(broker)

    assert [each.type for each in told] == [
        "agent_online", "msg_send", "msg_read", "msg_dead", "msg_requeue", "msg_notified", "msg_read", "msg_ack",
        "msg_send", "msg_clear", "msg_send", "msg_read", "msg_release", "agent_offline", "broadcast", "broadcast_read",
        "broadcast_clear", "agent_rename", "msg_clear", "agent_forget",
    ]  # fmt: skip
    assert "secret" not in str(told)


async def test_what_happened_since_a_place_is_repeated_without_that_place(broker: Broker, send) -> None:
    for number in range(4):
        await send(broker, f"m{number}")
    everything, _ = await broker.events.replay("0-0", 100)

    events, gap = await broker.events.replay(everything[1].id, 100)

    assert ([each.data["id"] for each in events], gap) == (["m2", "m3"], False)
    assert await broker.events.replay(everything[-1].id, 100) == ([], False)
    assert len((await broker.events.replay("0-0", 3))[0]) == 3


async def test_a_long_past_is_repeated_whole(broker: Broker, send) -> None:
    for start in range(0, 750, 250):
        await asyncio.gather(*(send(broker, f"m{start + number}", to=f"a{number % 3}") for number in range(250)))

    events, gap = await broker.events.replay("0-0", 20_000)

    assert ([each.data["id"] for each in events], gap) == ([f"m{number}" for number in range(750)], False)


async def test_a_gap_is_told_when_the_place_is_no_longer_kept(broker: Broker, send) -> None:
    for number in range(4):
        await send(broker, f"m{number}")
    everything, _ = await broker.events.replay("0-0", 100)
    await broker._store.call("XTRIM", broker._store.keys.shared("history"), "MAXLEN", "2")

    events, gap = await broker.events.replay(everything[0].id, 100)

    assert ([each.data["id"] for each in events], gap) == (["m2", "m3"], True)
    assert (await broker.events.replay(everything[2].id, 100))[1] is False


async def test_a_gap_is_told_when_the_server_lost_its_past(broker: Broker, send) -> None:
    await send(broker, "m1")
    assert await broker.events.replay("99999999999999-0", 100) == ([], True)

    await broker._store.call("DEL", *map(broker._store.keys.shared, ("events", "history")))

    assert await broker.events.replay("1-0", 100) == ([], True)


async def test_the_events_kept_are_bounded(broker: Broker) -> None:
    key = broker._store.keys.shared("events")
    for _ in range(22):
        await asyncio.gather(*(broker._store.call("XADD", key, "*", "type", "old") for _ in range(500)))

    for number in range(300):  # each event trims with a chance of one in ten
        await broker.agents.heartbeat(f"web-{number}")
        if await broker._store.call("XLEN", key) < 11_000:
            break

    assert 10_000 <= await broker._store.call("XLEN", key) <= 10_200


async def test_sends_keep_the_history_short(broker: Broker, send) -> None:
    call, history = broker._store.call, broker._store.keys.shared("history")
    for number in range(1, 301):
        await call("XADD", history, f"1-{number}", "to", "bob", "m", "old")

    for number in range(300):  # each trims with a chance of one in ten
        await send(broker, f"m{number}")
        if await call("XLEN", history) < 300:
            break

    assert await call("XLEN", history) < 300


async def test_a_slow_listener_is_dropped_after_what_it_had(broker: Broker, send) -> None:
    async with broker.events.subscribe(3) as slow, broker.events.subscribe(100) as quick:
        for number in range(6):
            await send(broker, f"m{number}")
        await take(quick, 6)

        heard = [await slow.get() for _ in range(4)]

    assert [each.data["id"] for each in heard if each] == ["m0", "m1", "m2"]
    assert heard[3] is None
    assert slow.lost


async def test_listeners_begin_anew_when_more_happened_than_is_kept_before_the_feed_came_to_it(
    broker: Broker, send, monkeypatch
) -> None:
    real, go_on, waits = broker.events.wait, asyncio.Event(), asyncio.Event()

    async def wait_events(*given: Any) -> Any:
        waits.set()
        await go_on.wait()  # as when the whole process was stopped
        return await real(*given)

    async with broker.events.subscribe(20_000) as listener:
        monkeypatch.setattr(broker.events, "wait", wait_events)
        await send(broker, "m1")
        await listener.get()
        await waits.wait()
        for number in range(12):
            await asyncio.gather(*(send(broker, f"x{number}-{each}", to=f"a{each}") for each in range(100)))
        await broker._store.call("XTRIM", broker._store.keys.shared("history"), "MAXLEN", "900")
        go_on.set()
        async with asyncio.timeout(10):
            assert await listener.get() is None

    assert listener.lost


async def test_a_listener_that_went_away_is_not_kept(broker: Broker) -> None:
    async with broker.events.subscribe():
        pass
    with broker.events.arrival("bob"):
        pass

    assert not broker.events._subscriptions
    assert not broker.events._waiters


async def test_closing_ends_every_subscription(open_broker) -> None:
    broker = await open_broker()
    async with broker.events.subscribe() as heard:
        waiting = asyncio.create_task(heard.get())
        await asyncio.sleep(0)
        await broker.events.close()
        async with asyncio.timeout(2):
            assert await waiting is None


async def test_the_log_says_once_that_the_store_is_away_and_once_that_it_is_back(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_of_broker, "RETRY_S", 0.01)
    monkeypatch.setattr(events_of_broker, "LOG_EVERY_S", 0.5)
    node = Node(DURABLE).start()
    broker = await opened(Settings(home=home, valkey_url=f"redis://127.0.0.1:{node.port}"))
    try:
        with capture_logs() as lines:

            def logged(event: str) -> list[float]:
                return [each["seconds"] for each in lines if each["event"] == event]

            node.kill()
            await eventually(lambda: len(logged("events_interrupted")) >= 3, "it is said again")
            await asyncio.to_thread(node.start)
            await eventually(lambda: logged("events_resumed"), "the end is said")

        first, *later = logged("events_interrupted")
        assert first == 0
        assert all(after - before > 0.3 for before, after in itertools.pairwise([first, *later]))  # rounded to 0.1
        assert len(logged("events_resumed")) == 1
    finally:
        await broker.close()
        node.remove()


def test_the_log_is_not_filled_by_a_connection_that_breaks_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    interruption = events_of_broker.Interruption()
    with capture_logs() as lines:
        for _ in range(3):
            interruption.note("broken")
            interruption.end()
        monkeypatch.setattr(events_of_broker, "LOG_EVERY_S", 0.0)
        interruption.note("broken")
        interruption.end()

    assert [each["event"] for each in lines] == ["events_interrupted", "events_resumed"] * 2


async def test_waiting_ends_by_itself(broker: Broker) -> None:
    began = time.monotonic()

    await broker.mail.wait("bob", 0.3)

    assert 0.25 < time.monotonic() - began < 2


async def test_there_is_nothing_to_wait_for_when_mail_is_there(broker: Broker, send) -> None:
    await send(broker, "m1")
    async with asyncio.timeout(2):
        await broker.mail.wait("bob", 20)


async def test_a_send_wakes(broker: Broker, send) -> None:
    assert await woken(broker, "bob", lambda: send(broker, "m1")) < 2


async def test_a_send_to_a_former_name_wakes(broker: Broker, send, hello) -> None:
    await broker.sessions.join(hello(name="bob"))
    await broker.agents.rename("bob", "robert")

    waiting = asyncio.create_task(broker.mail.wait("bob", 20))
    await asyncio.sleep(0.1)
    await send(broker, "m1", to="bob")
    async with asyncio.timeout(2):
        await waiting


async def test_a_send_by_another_daemon_wakes(open_broker, send) -> None:
    here, there = await open_broker(), await open_broker()

    assert await woken(here, "bob", lambda: send(there, "m1")) < 2


async def test_a_return_wakes(broker: Broker, send) -> None:
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")

    assert await woken(broker, "bob", lambda: broker.mail.nack("bob", "s1", ["m1"])) < 2


async def test_a_release_wakes(broker: Broker, send, hello) -> None:
    await broker.sessions.join(hello("s-1", name="bob"))
    await send(broker, "m1")
    await broker.mail.read("bob", "s-1")

    assert await woken(broker, "bob", lambda: broker.sessions.leave("s-1", 1)) < 2


async def test_a_requeue_wakes(open_broker, send) -> None:
    broker = await open_broker(max_deliveries=1)
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")
    await broker.mail.nack("bob", "s1", ["m1"])

    assert await woken(broker, "bob", lambda: broker.dead.requeue("bob", None)) < 2


async def test_a_rename_wakes_who_waits_under_the_old_name(broker: Broker, hello) -> None:
    await broker.sessions.join(hello(name="bob"))

    assert await woken(broker, "bob", lambda: broker.agents.rename("bob", "robert")) < 2


async def test_a_rename_wakes_who_waits_under_the_new_name(broker: Broker, send) -> None:
    await send(broker, "m1", to="alice")

    assert await woken(broker, "bob", lambda: broker.agents.rename("alice", "bob")) < 2
    assert [each.id for each in (await broker.mail.read("bob", "s1")).items] == ["m1"]


async def test_the_end_of_a_lease_wakes(open_broker, send) -> None:
    broker = await open_broker(message_lease=1)
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")
    async with asyncio.timeout(5):
        while not (batch := await broker.mail.read("bob", "s2")).items:
            await broker.mail.wait("bob", 20)

    assert batch.items[0].redelivered


@pytest.mark.parametrize("agent", ["bob", "renamed"])
async def test_no_wake_up_is_lost_however_send_and_wait_meet(broker: Broker, send, agent: str) -> None:
    await broker.agents.heartbeat(agent)
    if agent == "renamed":
        await broker.agents.rename(agent, "present")
    for number in range(150):

        async def write(number: int = number) -> None:
            for _ in range(number % 7):
                await asyncio.sleep(0)
            await send(broker, f"m{number}", to=agent)

        writing = asyncio.create_task(write())
        async with asyncio.timeout(5):  # a wait of 20 s that slept through its message
            while not (await broker.mail.read(agent, "s1", ack_now=True)).items:
                await broker.mail.wait(agent, 20)
        await writing


async def test_no_wake_up_is_lost_when_a_rename_comes_in_between(broker: Broker, send) -> None:
    await broker.agents.heartbeat("n0")
    for number in range(60):

        async def change(number: int = number) -> None:
            for _ in range(number % 9):
                await asyncio.sleep(0)
            await broker.agents.rename(f"n{number % 2}", f"n{(number + 1) % 2}")
            await send(broker, f"m{number}", to="n0")

        changing = asyncio.create_task(change())
        async with asyncio.timeout(5):
            while not (await broker.mail.read("n0", "s1", ack_now=True)).items:
                await broker.mail.wait("n0", 20)
        await changing
