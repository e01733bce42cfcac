"""What is sent is told by the history, all else by the stream of events: in one order, each once, from any place on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from postino.broker import Broker
from postino.broker import events as broker_events
from postino.event_place import EventPlace
from postino.model import BroadcastDraft, Draft, Event, Sender
from postino.several import ManyDraft
from tests.broker.mailrooms import CI, imported, next_ms, raw

BOTH = ("events", "history")


def told(events: list[Event]) -> list[tuple[str, Any]]:
    return [(each.type, each.data) for each in events]


async def heard(listener: Any, until: str) -> list[Event]:
    """Return events up to that of the message `until`."""
    found: list[Event] = []
    async with asyncio.timeout(20):
        while not found or found[-1].data.get("id") != until:
            event = await listener.get()
            assert event is not None, "the listener was dropped"
            found.append(event)
    return found


async def converse(broker: Broker, send, number: int) -> None:
    """Send ten messages and a broadcast at once, while others are read and acknowledged."""
    to = f"a{number % 3}"
    await asyncio.gather(
        *(send(broker, f"m{number}-{each}", to=to) for each in range(10)),
        broker.broadcasts.broadcast(BroadcastDraft(id=f"b{number}", body="hear"), Sender(name="ci", via="http")),
        *(broker.mail.read(f"a{each}", "s1", limit=4, ack_now=True) for each in range(3)),
    )


async def busy(broker: Broker, send, rounds: int = 12) -> None:
    for number in range(rounds):
        await converse(broker, send, number)


@pytest.mark.parametrize("via", ["http", "mcp", "cli", "web", "system", "postman"])
@pytest.mark.parametrize("letters", [{}, {"thread": "t 1", "choices": ["a", "b"]}], ids=["plain", "with a thread"])
async def test_the_event_of_a_message_says_who_sent_it_to_whom_and_how(broker: Broker, via: str, letters: Any) -> None:
    sender = Sender(name="ada", via=via, verified=via == "mcp")
    await broker.mail.send(Draft(id="m0", to="bob", body="x", **letters), sender)
    await broker.mail.send(Draft(id="m1", to="bob", body='["no", "via"] 1 2 3 4 5 6 7', **letters), sender)
    await broker.broadcasts.broadcast(BroadcastDraft(id="b1", body="x"), sender)

    events, _ = await broker.events.replay("0-0", 10)

    assert told(events) == [
        ("msg_send", {"id": "m0", "from": "ada", "via": via, "to": "bob", "seq": 1}),
        ("msg_send", {"id": "m1", "from": "ada", "via": via, "to": "bob", "seq": 2}),
        ("broadcast", {"id": "b1", "from": "ada", "seq": 1, "via": via}),
    ]


async def test_a_message_to_several_is_told_once_for_each(broker: Broker, send) -> None:
    await send(broker, "m0", to="bob")
    await broker.groups.send_many(ManyDraft(to=["ann", "bob"], draft=Draft(id="m1", to="x", body="x")), CI)

    events, _ = await broker.events.replay("0-0", 10)

    assert sorted((each.data["to"], each.data["id"], each.data["seq"]) for each in events) == [
        ("ann", "m1", 1), ("bob", "m0", 1), ("bob", "m1", 2)
    ]  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 7])
async def test_every_place_has_exactly_the_rest_behind_it(broker: Broker, send, monkeypatch, count: int) -> None:
    monkeypatch.setattr(broker_events, "READ", count)
    await busy(broker, send, 4)
    events, gap = await broker.events.replay("0-0", 1000)

    assert len({each.data["id"] for each in events if each.type == "msg_send"}) == 40
    assert [each.data["id"] for each in events if each.type == "broadcast"] == ["b0", "b1", "b2", "b3"]
    assert {"msg_read", "msg_ack"} <= {each.type for each in events}
    assert not gap
    for at in range(0, len(events), 5):
        rest, gap = await broker.events.replay(events[at].id, 1000)
        assert (told(rest), gap) == (told(events[at + 1 :]), False)


async def test_what_is_sent_while_it_is_told_is_told_once(broker: Broker, send, monkeypatch) -> None:
    monkeypatch.setattr(broker_events, "READ", 3)
    async with broker.events.subscribe(20_000) as listener:
        await busy(broker, send)
        await send(broker, "last")
        live = await heard(listener, "last")
    rest, _ = await broker.events.replay(live[-1].id, 1000)
    replayed, _ = await broker.events.replay("0-0", 2000)

    own = sorted(str(each) for each in told(live + rest))
    assert own == sorted(str(each) for each in told(replayed))
    place = EventPlace("0-0", "0-0")
    for each in live:
        assert not place.covers(each.id)
        place = EventPlace.after(each.id)


async def test_a_place_that_one_daemon_gave_is_one_for_another(open_broker, send) -> None:
    here, there = await open_broker(), await open_broker()
    async with here.events.subscribe(20_000) as listener:
        await asyncio.gather(busy(here, send), busy(there, send))  # the second is a repeat, but for the reads
        await next_ms(there)  # or what else was in its ms would be told after it
        await send(there, "last")
        live = await heard(listener, "last")

    for at in range(0, len(live), 23):
        rest, gap = await there.events.replay(live[at].id, 2000)
        assert sorted(map(str, told(live[: at + 1] + rest))) == sorted(map(str, told(live)))
        assert not gap


@pytest.mark.parametrize("ahead", BOTH)
async def test_a_clock_that_was_set_back_costs_no_event(broker: Broker, send, ahead: str) -> None:
    later = await broker.events.now_ms() + 3_600_000
    async with broker.events.subscribe() as listener:
        fields = ("ann bob", "0 1 id ci -h 1 x") if ahead == "history" else ("e", "group_join\nagent\nx")
        await broker._store.call("XADD", broker._store.keys.shared(ahead), f"{later}-0", *fields)
        for number in range(5):
            await send(broker, f"m{number}")
            await broker.agents.heartbeat(f"agent-{number}")
        async with asyncio.timeout(20):
            found = [await listener.get() for _ in range(11 if ahead == "events" else 10)]
        live = [each for each in found if each and each.type != "group_join"]

    assert [each.data.get("id") for each in live if each.type == "msg_send"] == [f"m{at}" for at in range(5)]
    assert [each.data["agent"] for each in live if each.type == "agent_online"] == [f"agent-{at}" for at in range(5)]
    for at, each in enumerate(live):
        events, gap = await broker.events.replay(each.id, 100)
        rest = [each for each in events if each.type != "group_join"]
        assert (sorted(map(str, told(rest))), gap) == (sorted(map(str, told(live[at + 1 :]))), False)


async def test_a_time_is_a_place_too(broker: Broker, send) -> None:
    await send(broker, "m0")
    await broker.agents.heartbeat("bob")
    now = await broker.events.now_ms()
    await next_ms(broker)
    await send(broker, "m1")
    await broker.agents.heartbeat("eve")

    events, gap = await broker.events.replay(f"{now}-9999", 10)

    assert ([each.data.get("id") or each.data["agent"] for each in events], gap) == (["m1", "eve"], False)


async def test_events_that_an_older_daemon_wrote_are_told(broker: Broker, send) -> None:
    written = "msg_send\nid\nm0\nfrom\nci\nvia\ncli\nto\nbob\nseq\n1"
    first = await broker._store.call("XADD", broker._store.keys.shared("events"), "*", "e", "group_join\nagent\nx")
    await broker._store.call("XADD", broker._store.keys.shared("events"), "*", "e", written)
    await broker._store.call("XADD", broker._store.keys.shared("history"), "*", "to", "bob", "m", "1 1 m0 ci - 1 x")
    await broker.agents.heartbeat("bob")
    await asyncio.sleep(0.005)  # of one millisecond, messages of the history come first
    await send(broker, "m1")

    events, gap = await broker.events.replay(first, 10)

    assert ([each.data["id"] for each in events if each.type == "msg_send"], gap) == (["m0", "m1"], False)
    assert events[0].data == {"id": "m0", "from": "ci", "via": "cli", "to": "bob", "seq": 1}


async def test_an_import_is_not_told(open_broker, first: Broker, second: Broker, send) -> None:
    async with second.events.subscribe() as listener:
        await imported(second, await raw(first))
        await send(second, "fresh")
        live = await heard(listener, "fresh")

    assert [each.data["id"] for each in live if each.type in ("msg_send", "broadcast")] == ["fresh"]
    events, _ = await second.events.replay("0-0", 1000)
    assert [each.data["id"] for each in events if each.type in ("msg_send", "broadcast")] == ["fresh"]


async def test_what_is_imported_again_is_not_told_either(first: Broker, second: Broker, open_broker, send) -> None:
    await imported(second, await raw(first))
    third = await open_broker(key_prefix="t-third:", max_deliveries=3)
    await imported(third, await raw(second))

    events, _ = await third.events.replay("0-0", 1000)

    assert not [each for each in events if each.type in ("msg_send", "broadcast")]
    assert len((await third.history.search(limit=200)).items) > 20


ALTERED_MESSAGES = ("", "x", "1 2 3", "-1 1 id ci -h 1 x", f"{'9' * 5000} 1 id ci -h 1 x", "x 1 id ci -h 1 x")
ALTERED_EVENTS = (
    *(["e", text] for text in ("msg_ack\nids", 'msg_ack\nids\n["m1"', "msg_ack\nids\n7", "msg_send\nseq\nx")),
    *(["a", "b"], ["type", "msg_ack", "ids", "]"]),
)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [*(("history", ["bob", text]) for text in ALTERED_MESSAGES), *(("events", fields) for fields in ALTERED_EVENTS)],
    ids=range(len(ALTERED_MESSAGES) + len(ALTERED_EVENTS)),
)
async def test_an_entry_that_a_disk_has_altered_is_a_gap_and_stops_nothing(
    broker: Broker, send, kind: str, fields: list[str]
) -> None:
    """It may have been of mail for anybody: who waits looks again."""
    with capture_logs() as logged:
        async with broker.events.subscribe() as listener, asyncio.timeout(20):
            with broker.events.arrival("alice") as arrived:
                await broker._store.call("XADD", broker._store.keys.shared(kind), "*", *fields)
                await arrived.wait()
            await next_ms(broker)  # of one ms, messages are told first
            await send(broker, "m1")
            live = await heard(listener, "m1")
    replayed, _ = await broker.events.replay("0-0", 10)

    assert [each.type for each in live] == [each.type for each in replayed] == ["gap", "msg_send"]
    assert [each["id"] for each in logged if each["event"] == "events_missing"] == [live[0].id]
    assert [each.data["id"] for each in (await broker.events.replay(live[0].id, 10))[0]] == ["m1"]


@pytest.mark.parametrize("recent", [1, 0])
async def test_messages_that_gave_way_before_they_were_surely_told_are_a_gap(broker: Broker, send, recent: int) -> None:
    """Who follows may have stalled; of what was forgotten later than that everybody was told."""
    store = broker._store
    ago_ms = await store.now_ms() - 60_000
    for number in range(1, 102 - recent):
        await store.call("XADD", store.keys.shared("history"), f"{ago_ms + number}-0", "ann bob", "0 1 id ci -h 1 x")
    await send(broker, "m1")
    if not recent:
        await store.call("XADD", store.keys.shared("history"), "*", "ann bob", "0 1 id ci -h 1 x")
    async with broker.events.subscribe() as listener:
        assert await store._make_room() == 100
        await broker.agents.heartbeat("ann")
        types: list[str] = []
        async with asyncio.timeout(20):
            while "agent_online" not in types:
                event = await listener.get()
                assert event is not None
                types.append(event.type)
    assert ("gap" in types) == bool(recent)


async def test_an_event_of_an_altered_entry_shows_nothing_of_its_body(broker: Broker, send) -> None:
    history = broker._store.keys.shared("history")
    await broker._store.call("XADD", history, "*", "bob", '1 1 m0 ci -Z 22 a secret " and more " x')
    await send(broker, "m1")

    events, _ = await broker.events.replay("0-0", 10)

    assert [each.data["id"] for each in events if each.type == "msg_send"] == ["m1"]
    assert "secret" not in str(events)


async def test_a_message_that_was_lost_before_it_was_told_is_a_gap(broker: Broker, send) -> None:
    await send(broker, "m0")
    await broker.agents.heartbeat("bob")
    known = (await broker.events.last()).id
    await next_ms(broker)
    for number in range(4):
        await send(broker, f"x{number}")
    before = (await broker.events.last()).id
    await broker._store.call("XTRIM", broker._store.keys.shared("history"), "MAXLEN", 1)

    events, gap = await broker.events.replay(known, 10)
    assert ([each.data["id"] for each in events], gap) == (["x3"], True)
    assert await broker.events.replay(before, 10) == ([], False)


@pytest.mark.parametrize("trimmed", BOTH)
async def test_what_was_lost_of_a_stream_that_was_empty_is_a_gap(broker: Broker, send, trimmed: str) -> None:
    if trimmed == "events":
        await send(broker, "m0")
    else:
        await broker.agents.heartbeat("bob")
    known = (await broker.events.last()).id
    assert "0-0" in known.split("e")
    await next_ms(broker)
    for number in range(3):
        await send(broker, f"x{number}")
        await broker.agents.heartbeat(f"agent-{number}")
    kept = (await broker.events.last()).id
    await broker._store.call("XTRIM", broker._store.keys.shared(trimmed), "MAXLEN", 1)

    assert (await broker.events.replay(known, 20))[1]
    assert await broker.events.replay(kept, 20) == ([], False)


@pytest.mark.parametrize("trimmed", BOTH)
async def test_who_begins_with_all_that_is_kept_can_resume_anywhere(broker: Broker, send, trimmed: str) -> None:
    for number in range(6):
        await broker.agents.heartbeat(f"agent-{number}")
        await next_ms(broker)
        await send(broker, f"m{number}")
    await broker._store.call("XTRIM", broker._store.keys.shared(trimmed), "MAXLEN", 3)
    events, gap = await broker.events.replay("0-0", 20)

    assert (len(events) >= 6, gap) == (True, False)
    for at, each in enumerate(events):
        rest, gap = await broker.events.replay(each.id, 20)
        assert (told(rest), gap) == (told(events[at + 1 :]), False)


async def test_messages_that_ended_before_a_later_event_was_told_are_no_gap(broker: Broker, send) -> None:
    await send(broker, "m0")
    await next_ms(broker)
    await broker.agents.heartbeat("bob")
    place = (await broker.events.last()).id
    await broker._store.call("XTRIM", broker._store.keys.shared("history"), "MAXLEN", 0)

    assert await broker.events.replay(place, 10) == ([], False)


async def test_a_history_of_days_is_told_as_far_as_the_events(broker: Broker, send) -> None:
    await send(broker, "m0")
    await next_ms(broker)
    await next_ms(broker)
    await broker.agents.heartbeat("bob")
    await broker.agents.heartbeat("eve")
    await broker._store.call("XTRIM", broker._store.keys.shared("events"), "MAXLEN", 1)
    await send(broker, "m1")

    events, gap = await broker.events.replay("0-0", 10)

    assert [each.data.get("id") or each.data["agent"] for each in events] in (["m1", "eve"], ["eve", "m1"])
    assert not gap


async def test_messages_of_the_ms_of_the_oldest_event_are_told(broker: Broker) -> None:
    for stream, id, *entry in (
        ("events", "5000-0", "e", "group_join\nagent\nx"),
        ("events", "5000-1", "e", "group_join\nagent\ny"),
        ("history", "5000-0", "bob", "1 1 m0 ci -h 1 x"),
    ):
        await broker._store.call("XADD", broker._store.keys.shared(stream), id, *entry)
    await broker._store.call("XTRIM", broker._store.keys.shared("events"), "MAXLEN", 1)

    events, _ = await broker.events.replay("0-0", 10)

    assert [each.data.get("id") or each.data["agent"] for each in events] == ["m0", "y"]


async def test_a_mailroom_of_every_kind_has_one_event_for_each_message(first: Broker) -> None:
    events, _ = await first.events.replay("0-0", 10_000)
    kept = (await first.history.search(limit=200)).items

    sent = sorted((each.data["to"], each.data["id"]) for each in events if each.type == "msg_send")
    assert sent == sorted((each.to, each.id) for each in kept if each.kind == "message")
    assert len([each for each in events if each.type == "broadcast"]) == 5
