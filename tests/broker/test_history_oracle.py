"""Searches of the history find exactly what a look at every entry finds, whatever was searched before."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from postino.broker import Broker
from postino.broker import history as broker_history
from postino.broker.history_filter import Search
from postino.errors import PostinoError
from postino.event_place import stream_parts
from postino.history_entry import HistoryPage
from postino.model import BroadcastDraft, Draft, Sender
from postino.several import ManyDraft
from postino.store import history as store_history
from postino.store import places
from postino.store.entries import of_history
from postino.store.history import NEWEST
from tests.filling import fill
from tests.waiting import eventually

AGENTS = ("ann", "bob", "cy", "dee")
IDS = ("m1", "m2", "m3", "m4", "m5", "m6")
THREADS = ("m2", "m5", "two words", "x", None, None, None)  # some are ids of messages as well


async def everything(broker: Broker) -> list[tuple[str, dict[str, str]]]:
    """All entries with their fields, newest first."""
    found = await broker._store.call("XREVRANGE", broker._store.keys.shared("history"), "+", "-")
    return [(id, of_history(flat)) for id, flat in found]


async def all_pages(broker: Broker, before: str | None = None, limit: int = 50, **asked: Any) -> list[HistoryPage]:
    pages = [await broker.history.search(Search(**asked), before=before, limit=limit)]
    while pages[-1].more:
        pages.append(await broker.history.search(Search(**asked), before=pages[-1].before, limit=limit))
    return pages


def entries(pages: list[HistoryPage]) -> list[str]:
    return [each.entry for page in pages for each in page.items]


async def expected(broker: Broker, *, thread: str | None = None, id: str | None = None, agent: str = "") -> list[str]:
    """What fits, by a look at every entry. `agent` was never renamed."""
    return [
        entry
        for entry, fields in await everything(broker)
        if thread in (None, fields["thread"], fields["id"])
        and id in (None, fields["id"])
        and (not agent or agent in (fields["from"], *fields["to"].split(" ")))
    ]


async def write(broker: Broker, pick: random.Random) -> None:
    """Send or broadcast something; an id that was used with other content is refused."""
    number, sender = pick.randrange(1000), Sender(name=pick.choice(AGENTS), via="http")
    id, thread = pick.choice([pick.choice(IDS), f"n{number}"]), pick.choice(THREADS)
    draft = Draft(id=id, to=pick.choice(AGENTS), body=f"body {number}", thread=thread)
    kind = pick.randrange(10)
    try:
        if kind == 0:
            await broker.broadcasts.broadcast(BroadcastDraft(id=id, body="x"), sender)
        elif kind == 1:
            await broker.groups.send_many(ManyDraft(to=pick.sample(AGENTS, 2), draft=draft), sender)
        else:
            await broker.mail.send(draft, sender)
    except PostinoError as error:
        assert error.code == "key_reused"


async def agrees(broker: Broker, pick: random.Random) -> None:
    """Let some search find what it has to."""
    limit, thread, id, agent = pick.randrange(1, 7), pick.choice(THREADS), pick.choice(IDS), pick.choice(AGENTS)
    if pick.randrange(3) == 0:
        first, *rest = await all_pages(broker, id=id, limit=limit)
        assert entries(rest or [first]) == await expected(broker, id=id)
        assert set(entries([first])) <= set(entries(rest or [first]))
    elif pick.randrange(3) == 0:
        found = await all_pages(broker, thread=thread, agent=agent, limit=limit)
        assert entries(found) == await expected(broker, thread=thread, agent=agent)
    else:
        some = [None, *(entry for entry, _ in await everything(broker))]
        before = pick.choice([None, pick.choice(some)])
        wanted = await expected(broker, thread=thread)
        wanted = [each for each in wanted if before is None or stream_parts(each) < stream_parts(before)]
        assert entries(await all_pages(broker, thread=thread, limit=limit, before=before)) == wanted


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that sixty messages reach."""
    monkeypatch.setattr(broker_history, "MAX_LOOKED", 12)
    monkeypatch.setattr(broker_history, "_PART", 4)
    monkeypatch.setattr(broker_history, "_PART_CHARACTERS", 40)
    monkeypatch.setattr(store_history, "_NEWER", 3)
    monkeypatch.setattr(store_history, "_MOST_NEWER", 6)
    monkeypatch.setattr(store_history, "_FEW", 4)
    monkeypatch.setattr(places, "MOST", 50)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("seed", range(6))
async def test_searches_find_what_a_look_at_every_entry_finds(open_broker, seed: int) -> None:
    pick = random.Random(seed)
    broker = await open_broker()
    other = await open_broker(key_prefix=broker.settings.key_prefix)
    store, history = broker._store, broker._store.keys.shared("history")
    for _ in range(30):
        for _ in range(pick.choice([0, 1, 1, 2, 4, 9, 15])):
            await write(pick.choice([broker, other]), pick)
        await asyncio.gather(*(agrees(pick.choice([broker, other]), pick) for _ in range(3)))
        if pick.randrange(8) == 0:
            await store.call("XTRIM", history, "MAXLEN", pick.choice([0, 5, 20]))


async def test_a_history_with_older_entries_in_place_of_those_noted_is_searched_anew(broker: Broker, send) -> None:
    store, history = broker._store, broker._store.keys.shared("history")
    await fill(store, 1)
    await send(broker, "m1", thread="t")
    assert len(entries(await all_pages(broker, thread="t"))) == 1
    ((_, flat),) = await store.call("XREVRANGE", history, "+", "-", "COUNT", 1)

    await store.call("DEL", history)  # as an import into a mailroom whose history has gone does it
    await store.call("XADD", history, "7-0", *flat)
    await send(broker, "m2", thread="t")

    assert entries(await all_pages(broker, thread="t")) == await expected(broker, thread="t")
    assert len(await expected(broker, thread="t")) == 2


async def test_entries_that_come_back_with_older_data_are_found(broker: Broker, send) -> None:
    store, history = broker._store, broker._store.keys.shared("history")
    for number in range(4):
        await send(broker, f"m{number}", thread="t")
        await fill(store, 1)
    saved = await store.call("XRANGE", history, "-", "+")
    await store.call("XTRIM", history, "MAXLEN", len(saved) // 2)
    assert len(entries(await all_pages(broker, thread="t"))) == 2
    assert len(entries(await all_pages(broker, thread="t"))) == 2

    await store.call("DEL", history)  # as a restart with a copy of the data from before that does it
    for id, flat in saved:
        await store.call("XADD", history, id, *flat)

    assert entries(await all_pages(broker, thread="t")) == await expected(broker, thread="t")
    assert len(await expected(broker, thread="t")) == 4


async def test_another_history_with_entries_in_the_same_places_is_searched_anew(broker: Broker, send) -> None:
    store, history = broker._store, broker._store.keys.shared("history")
    await fill(store, 1)
    await send(broker, "m1", thread="t")
    await send(broker, "m2")
    assert len(entries(await all_pages(broker, thread="t"))) == 1
    (last, of_last), (other, of_other) = await store.call("XREVRANGE", history, "+", "-", "COUNT", 2)

    # as older data and a clock that was set back do it, under which IDs go on from the last one
    await store.call("DEL", history)
    await store.call("XADD", history, other, *of_last)
    await store.call("XADD", history, last, *of_other)

    assert entries(await all_pages(broker, thread="t")) == await expected(broker, thread="t") == [last]


@pytest.mark.usefixtures("small")
async def test_a_search_that_cannot_note_all_that_came_does_not_rely_on_another_one(proxy, open_broker, send) -> None:
    between = await proxy()
    broker = await open_broker(valkey_url=between.url)
    other = await open_broker(key_prefix=broker.settings.key_prefix)
    for number in range(12):
        await send(other, f"m{number}", thread="t" if number == 0 else None)
    await all_pages(broker, thread="t")
    stream, history = broker.history._stream, broker._store.keys.shared("history")
    between.gate = asyncio.Semaphore(0)
    between.sent.clear()
    begun = [asyncio.create_task(stream.note_newer())]
    await eventually(lambda: between.count(history), "the first search has asked for what came")
    for number in range(12, 30):
        await send(other, f"m{number}")
    await send(other, "newest", thread="t")
    begun.append(asyncio.create_task(stream.note_newer()))
    await eventually(lambda: between.count(history) == 2, "the second search has asked for what came")

    between.let_go()
    to_end = await asyncio.gather(*begun)
    part = await stream.part([], NEWEST, 4, "t", to_end=to_end[1])

    assert to_end == [True, False]
    assert part.entries[0].fields["id"] == "newest"


async def test_what_a_search_for_a_thread_looked_at_no_later_one_looks_at(broker: Broker, send) -> None:
    for number in range(3):
        await send(broker, f"m{number}", thread="t")
        await fill(broker._store, 2)
    await send(broker, "named", thread="u")

    first = await all_pages(broker, thread="t")
    again = await all_pages(broker, thread="t")
    others = [await all_pages(broker, thread=each) for each in ("u", "m1", "h7", "none")]
    await send(broker, "m3", thread="t", to="carol")
    more = await all_pages(broker, thread="t")

    assert sum(page.looked for page in first) == 6_004
    assert [(len(page.items), page.looked, page.more) for page in again] == [(3, 3, False)]
    assert [[len(page.items) for page in pages] for pages in others] == [[1], [1], [6], [0]]
    assert [[page.looked for page in pages] for pages in others] == [[1], [1], [6], [0]]
    assert [(each.id, page.looked) for page in more for each in page.items] == [
        ("m3", 4),
        ("m2", 4),
        ("m1", 4),
        ("m0", 4),
    ]


async def test_what_became_of_a_few_messages_is_told_without_a_look_at_others(proxy, open_broker, send) -> None:
    between = await proxy()
    broker = await open_broker(valkey_url=between.url)
    for number in range(3):
        await send(broker, f"m{number}", to="bob")
    await send(broker, "m0", to="carol")
    between.sent.clear()

    found = await broker.history.sent("ci", ["m0", "m2"])

    assert [(each.id, each.to, each.state) for each in found] == [
        ("m0", "carol", "queued"),
        ("m2", "bob", "queued"),
        ("m0", "bob", "queued"),
    ]
    assert between.count("XREVRANGE", broker._store.keys.shared("history")) == 0
    assert [each.id for each in await broker.history.sent("bob", ["m0"])] == []


async def test_a_message_is_found_by_its_id_at_once_and_not_by_what_names_it(broker: Broker, send, say) -> None:
    await send(broker, "one", to="bob")
    await send(broker, "one", to="carol")
    await say(broker, "news")
    await fill(broker._store, 6)
    await send(broker, "late", body="about one")

    page = await broker.history.search(Search(id="one"))
    assert [(each.id, each.to) for each in page.items] == [("one", "carol"), ("one", "bob")]
    assert (page.looked, page.more) == (2, True)
    assert [each.id for each in (await broker.history.search(Search(id="news"))).items] == ["news"]
    assert [each.id for each in (await broker.history.search(Search(id="one", to="bob"))).items] == ["one"]
    assert not entries(await all_pages(broker, id="none"))
    assert [page.looked for page in await all_pages(broker, id="none")] == [0]
