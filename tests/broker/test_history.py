"""History: what was said, newest first, with what became of it, filtered and by page."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from postino.broker import Broker
from postino.broker.history import MOST_INDEXES
from postino.broker.history_filter import Search
from postino.history_entry import HistoryPage
from postino.model import Draft, Sender
from postino.several import ManyDraft
from postino.store.lines import HistoryLine
from postino.store.marks import Marks
from postino.store.names import AgentEntry
from tests.filling import fill


@pytest.fixture
async def indexed(broker: Broker, eventually) -> Broker:
    """An open broker whose history is indexed from here on."""
    store = broker._store
    await eventually(lambda: store.call("HGET", store.keys.shared("meta"), "indexed_after"), "the index has begun")
    return broker


class Walked(dict[str, AgentEntry]):
    """Agents by name, which count how often a caller goes through all of them."""

    walks = 0

    def __iter__(self) -> Iterator[str]:
        self.walks += 1
        return super().__iter__()


def ids(page: HistoryPage) -> list[str]:
    return [each.id for each in page.items]


async def all_pages(broker: Broker, limit: int = 50, **asked) -> list[HistoryPage]:
    pages = [await broker.history.search(Search(**asked), limit=limit)]
    while pages[-1].more:
        pages.append(await broker.history.search(Search(**asked), limit=limit, before=pages[-1].before))
    return pages


async def test_messages_and_broadcasts_are_told_newest_first(broker: Broker, send, say) -> None:
    await send(broker, "m1", sender="alice", thread="t", reply_to="m0")
    await say(broker, "b1", sender="alice")
    await send(broker, "m2", to="carol")

    page = await broker.history.search()

    assert [(each.kind, each.id, each.from_, each.to) for each in page.items] == [
        ("message", "m2", "ci", "carol"),
        ("broadcast", "b1", "alice", "all"),
        ("message", "m1", "alice", "bob"),
    ]
    assert (page.items[2].thread, page.items[2].reply_to, page.items[2].body) == ("t", "m0", "hello")
    assert (page.more, page.before) == (False, None)


async def test_before_the_first_entry_the_server_passes_over_none(proxy, open_broker, eventually, send) -> None:
    between = await proxy()
    broker = await open_broker(valkey_url=between.url)
    keys, call = broker._store.keys, broker._store.call
    await eventually(lambda: call("HGET", keys.shared("meta"), "indexed_after"), "the index has begun")
    await broker.people.register("lea")
    await send(broker, "m1", to="lea", sender="ann")
    (first,) = (await broker.history.search()).items
    changes = keys.shared("changes")  # whose newest entries are always asked for

    async def backwards(before: str, **asked) -> int:
        """How often the server reads backwards for a page: from there it passes over all that is stored."""
        counts = []
        for _ in range(5):  # housekeeping may do so meanwhile
            between.sent.clear()
            assert not (await broker.history.search(Search(**asked), before=before)).items
            # Redis 7.0 gives the entries of one script in inbox and history different times
            assert not (await broker.people.inbox("lea", 5, "1-0")).items
            of_changes = between.count("XREVRANGE", changes)
            assert of_changes
            counts.append(between.count("XREVRANGE") - of_changes)
        return min(counts)

    assert not await backwards(before=first.entry)
    assert not await backwards(before="1-0")
    assert not await backwards(before=first.entry, agent="ann")


async def test_agents_that_are_named_like_a_field_of_an_entry_are_not_mistaken(broker: Broker, send) -> None:
    names = ["m", "to", "kind", "id", "body", "broadcast"]
    for name in names:
        await send(broker, f"m-{name}", to=name)
    several = ManyDraft(to=["m", "to"], draft=Draft(id="m-two", to="m", body="hello"))
    await broker.groups.send_many(several, Sender(name="ci", via="http"))

    page = await broker.history.search()

    assert [(each.kind, each.id, each.to, each.body) for each in page.items] == [
        ("message", "m-two", "m, to", "hello"),
        *(("message", f"m-{name}", name, "hello") for name in reversed(names)),
    ]
    assert ids(await broker.history.search(Search(agent="m"))) == ["m-two", "m-m"]


async def test_a_file_with_a_message_to_all_or_a_broadcast_to_one_keeps_them(broker: Broker) -> None:
    about = {"seq": 1, "from_": "ci", "via": "http", "body": "hello", "timestamp": "2026-11-29T21:00:00.000Z"}
    kinds = [("message", "all"), ("broadcast", "bob"), ("message", "bob"), ("broadcast", "all")]
    lines = [
        HistoryLine(entry=f"{at}-0", id=f"m{at}", kind=kind, to=to, **about) for at, (kind, to) in enumerate(kinds, 1)
    ]

    assert await broker.transfer._table.add(lines) == 4
    assert [(each.kind, each.to) for each in (await broker.history.search()).items] == list(reversed(kinds))


async def test_what_is_older_than_its_time_is_forgotten_also_when_nobody_sends(open_broker, send, eventually) -> None:
    broker = await open_broker(msg_ttl=1)
    await send(broker, "m1")

    async def forgotten() -> bool:
        await broker.housekeeping.sweep()
        return (await broker.history.search()).items == []

    assert (await broker.history.search()).items
    await eventually(forgotten, "the housekeeping has come by")


async def test_what_the_doctor_sends_is_shown_to_who_names_it(broker: Broker, send) -> None:
    doctor = "doctor-0a1b2c3d-cli"
    await send(broker, "m1", sender=doctor, to=doctor)
    await send(broker, "m2", sender="doctor-who", to="doctor-who")
    await send(broker, "m3", sender="bob", to=doctor)

    assert ids(await broker.history.search()) == ["m3", "m2"]
    assert ids(await broker.history.search(Search(state="waiting", q="hello"))) == ["m3", "m2"]
    assert ids(await broker.history.search(Search(agent=doctor))) == ["m3", "m1"]
    assert ids(await broker.history.search(Search(q="m1"))) == ["m1"]


async def test_an_empty_history_is_one_empty_page(broker: Broker) -> None:
    assert await broker.history.search() == HistoryPage(items=[], more=False, before=None)


async def test_each_message_tells_what_became_of_it(open_broker, send, say) -> None:
    broker = await open_broker(max_deliveries=1)
    for id in ("acked", "dead", "leased", "queued"):
        await send(broker, id)
    await broker.mail.read("bob", "s1", limit=1, ack_now=True)
    await broker.mail.read("bob", "s1", limit=1)
    await broker.mail.nack("bob", "s1", ["dead"])
    await broker.mail.read("bob", "s2", limit=1)
    await say(broker, "b1")

    page = await broker.history.search()

    assert {each.id: each.state for each in page.items} == {
        "acked": "acked",
        "dead": "dead",
        "leased": "leased",
        "queued": "queued",
        "b1": None,
    }
    leased = page.items[ids(page).index("leased")]
    assert (leased.reader, leased.deliveries) == ("s2", 1)
    assert leased.lease_until is not None


async def test_what_was_acknowledged_or_cleared_is_still_told(broker: Broker, send) -> None:
    await send(broker, "m1", body="kept")
    await broker.mail.read("bob", "s1", ack_now=True)
    await send(broker, "m2")
    await broker.mail.clear("bob")

    assert [(each.id, each.state) for each in (await broker.history.search()).items] == [
        ("m2", "cleared"),
        ("m1", "acked"),
    ]


async def test_it_can_be_asked_for_one_agent_and_for_two(broker: Broker, send) -> None:
    await send(broker, "ab", sender="alice", to="bob")
    await send(broker, "ba", sender="bob", to="alice")
    await send(broker, "ac", sender="alice", to="carol")
    await send(broker, "cd", sender="carol", to="dave")
    await send(broker, "aa", sender="alice", to="alice")

    assert ids(await broker.history.search(Search(agent="alice"))) == ["aa", "ac", "ba", "ab"]
    assert ids(await broker.history.search(Search(agent="alice", with_="bob"))) == ["ba", "ab"]
    assert ids(await broker.history.search(Search(agent="bob", with_="alice"))) == ["ba", "ab"]
    assert ids(await broker.history.search(Search(agent="alice", with_="alice"))) == ["aa"]
    assert ids(await broker.history.search(Search(agent="bob", with_="dave"))) == []


async def test_a_word_is_found_whatever_its_case(broker: Broker, send, say) -> None:
    await send(broker, "m1", body="The STRASSE is long")
    await send(broker, "m2", body="die Straße")
    await say(broker, "b1", body="straßenbahn")
    await send(broker, "m3", body="nothing here", sender="strasse")

    assert ids(await broker.history.search(Search(q="straße"))) == ["b1", "m2", "m1"]
    assert ids(await broker.history.search(Search(q=".*"))) == []
    assert ids(await broker.history.search(Search(q="m2"))) == ["m2"]
    assert ids(await broker.history.search(Search(q="m"))) == []


async def test_any_name_an_agent_has_or_had_finds_its_mail(broker: Broker, send) -> None:
    await send(broker, "before", to="bob")
    await broker.agents.rename("bob", "robert")
    await send(broker, "after", to="bob")
    await send(broker, "by", sender="robert", to="carol")

    for name in ("bob", "robert"):
        assert ids(await broker.history.search(Search(agent=name))) == ["by", "after", "before"]
    assert [each.state for each in (await broker.history.search(Search(agent="bob", with_="ci"))).items] == [
        "queued",
        "queued",
    ]


async def test_pages_follow_each_other_without_gap_or_repeat(broker: Broker, send) -> None:
    for number in range(23):
        await send(broker, f"m{number:02}", to="bob" if number % 2 else "alice")

    got, place, pages = [], None, 0
    while True:
        page = await broker.history.search(Search(agent="bob"), before=place, limit=4)
        assert len(page.items) <= 4
        got += ids(page)
        pages += 1
        if not page.more:
            break
        place = page.before

    assert got == [f"m{number:02}" for number in range(21, 0, -2)]
    assert pages == 3


async def test_a_page_that_is_just_full_promises_no_more_than_there_is(broker: Broker, send) -> None:
    for number in range(4):
        await send(broker, f"m{number}")

    assert not (await broker.history.search(limit=4)).more
    assert (await broker.history.search(limit=3)).more


async def test_the_mail_of_an_agent_is_found_behind_86000_messages_of_others(indexed: Broker, send) -> None:
    await send(indexed, "old", sender="alice")
    await asyncio.sleep(0.5)  # a mark of the index stands for 200 ms, in which a quick machine stores 25,000 messages
    await fill(indexed._store, 86)

    for asked in ({"agent": "bob"}, {"agent": "alice"}, {"agent": "alice", "with_": "bob"}, {"with_": "bob"}):
        pages = await all_pages(indexed, **asked)
        assert [id for page in pages for id in ids(page)] == ["old"]
        assert sum(page.looked for page in pages) < 20_000
    await indexed.agents.rename("bob", "robert")
    for name in ("bob", "robert"):
        assert [id for page in await all_pages(indexed, agent=name) for id in ids(page)] == ["old"]


async def test_a_message_is_found_by_its_id_behind_86000_others(broker: Broker, send, say) -> None:
    await send(broker, "twice", to="bob")
    await send(broker, "twice", to="carol")
    await say(broker, "news")
    await fill(broker._store, 86)
    await send(broker, "late", body="about twice")

    page = await broker.history.search(Search(q="twice"))
    assert [(each.id, each.to) for each in page.items] == [("late", "bob"), ("twice", "carol"), ("twice", "bob")]
    assert ids(await broker.history.search(Search(q="news"))) == ["news"]
    assert ids(await broker.history.search(Search(q="twice", agent="carol"))) == ["twice"]


async def test_the_search_for_an_id_costs_no_more_among_very_many_agents(proxy, open_broker, send) -> None:
    between = await proxy()
    broker = await open_broker(valkey_url=between.url)
    await asyncio.gather(*(send(broker, f"m{number}", to=f"bob-{number}") for number in range(MOST_INDEXES + 1)))
    await fill(broker._store, 6)
    between.sent.clear()

    assert ids(await broker.history.search(Search(q="m7", agent="bob-7"))) == ["m7"]
    pages = await all_pages(broker, q="m7")

    assert between.count("HGET") < 20
    assert [id for page in pages for id in ids(page)] == ["m7"]


async def test_a_search_for_no_id_does_not_go_through_all_agents(broker: Broker, send) -> None:
    await asyncio.gather(*(send(broker, f"m{number}", to=f"bob-{number}", thread="t") for number in range(10)))
    names = await broker._table.names()
    names.agents = agents = Walked(names.agents)

    assert len((await broker.threads.page()).items) == 1
    assert len(ids(await broker.history.search())) == 10
    assert ids(await broker.history.search(Search(agent="bob-7"))) == ["m7"]
    assert agents.walks == 0

    await broker.history.search(Search(id="m7"))
    assert agents.walks > 0  # so it would have been counted


async def test_a_page_of_the_messages_with_an_id_is_followed_by_those_that_mention_it(broker: Broker, send) -> None:
    await send(broker, "one")
    await send(broker, "two", body="see one")

    first = await broker.history.search(Search(q="one"), limit=1)
    second = await broker.history.search(Search(q="one"), limit=1, before=first.before)

    assert (ids(first), first.more) == (["one"], True)
    assert ids(second) == ["two"]


async def test_a_search_goes_on_until_every_entry_was_looked_at(broker: Broker, send) -> None:
    await send(broker, "first", body="the needle")
    await fill(broker._store, 20)

    pages = await all_pages(broker, q="needle")

    assert [id for page in pages for id in ids(page)] == ["first"]
    assert sum(page.looked for page in pages) == 20_001
    assert all(page.looked <= 5_500 for page in pages)
    assert pages[0].more


async def test_what_is_older_than_the_index_is_found_too(indexed: Broker, send) -> None:
    store = indexed._store
    await send(indexed, "old", to="bob")
    await fill(indexed._store, 6)
    for name in ("bob", "ci"):  # as an earlier version left it
        await store.call("DEL", store.keys.of("past", name))
    await store.call("HDEL", store.keys.shared("meta"), "indexed_after")
    store.marks = Marks()
    await indexed.housekeeping._history.begin_index()
    await send(indexed, "new", to="bob")

    pages = await all_pages(indexed, agent="bob", limit=1)

    assert [id for page in pages for id in ids(page)] == ["new", "old"]
    assert sum(page.looked for page in pages) == 6_002


async def test_a_name_that_is_busy_is_found_whole_also_where_its_index_begins(broker: Broker, send) -> None:
    store = broker._store
    for number in range(300):
        await send(broker, f"m{number:03}", to="bob" if number % 3 else "carol")
        if number == 100:  # within the 200 ms that one mark stands for
            await store.call("HDEL", store.keys.shared("meta"), "indexed_after")
            await broker.housekeeping._history.begin_index()

    pages = await all_pages(broker, agent="bob", limit=7)

    assert [id for page in pages for id in ids(page)] == [
        f"m{number:03}" for number in range(299, -1, -1) if number % 3
    ]
    assert await store.call("XLEN", store.keys.of("past", "bob")) < 100


async def test_the_index_of_a_name_takes_no_more_memory_than_it_holds(broker: Broker, send, say) -> None:
    store = broker._store
    await send(broker, "m1", sender="alice")
    await say(broker, "b1", sender="carol")
    several = ManyDraft(to=["dave", "erin"], draft=Draft(id="m2", to="dave", body="hello"))
    await broker.groups.send_many(several, Sender(name="frank", via="http"))
    store.marks = Marks()  # which knows of no mark
    await send(broker, "m3", sender="alice")

    for name in ("alice", "bob", "carol", "all", "dave", "erin", "frank"):
        past = store.keys.of("past", name)
        assert await store.call("MEMORY", "USAGE", past) < 1_000, name  # a new stream has room for 4 KB
        assert await store.call("PTTL", past) > 0
    assert not await store.call("EXISTS", store.keys.shared("copy"))
    assert ids(await broker.history.search(Search(agent="alice"))) == ["m3", "m1"]


async def test_the_index_lasts_as_long_as_the_history_and_no_longer(open_broker, send, eventually) -> None:
    broker = await open_broker(msg_ttl=1)
    store = broker._store
    await send(broker, "m1", sender="alice")

    async def gone() -> bool:
        return not await store.call("EXISTS", *(store.keys.of("past", name) for name in ("alice", "bob")))

    assert not await gone()
    await eventually(gone, "the names were not used for two times to live")


async def test_messages_that_arrive_between_two_pages_do_not_shift_them(broker: Broker, send) -> None:
    for number in range(4):
        await send(broker, f"m{number}")
    first = await broker.history.search(limit=2)
    await send(broker, "late")

    assert ids(await broker.history.search(limit=2, before=first.before)) == ["m1", "m0"]
