"""Looking: pages of an inbox, without consuming and without keeping anybody waiting."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from postino.broker import Broker
from postino.model import Draft, Message, Sender
from postino.parts import Part, Place

CI = Sender(name="ci", via="http")


async def test_pages_follow_each_other_and_consume_nothing(broker: Broker) -> None:
    for number in range(40):
        await broker.mail.send(Draft(id=f"m{number}", to="bob", body="hello"), CI)

    pages = [await broker.mail.peek("bob", 15, offset) for offset in (0, 15, 30, 45)]

    assert [len(items) for items, _ in pages] == [15, 15, 10, 0]
    assert [each.id for items, _ in pages for each in items] == [f"m{number}" for number in range(40)]
    for offset in range(42):  # found from either end
        items, total = await broker.mail.peek("bob", 2, offset)
        assert ([each.id for each in items], total) == ([f"m{n}" for n in range(offset, min(40, offset + 2))], 40)
    assert {total for _, total in pages} == {40}
    assert (await broker.agents.check("bob")).unread_messages == 40


def ids(part: Part[Message]) -> list[str]:
    return [each.id for each in part.items]


async def test_pages_by_entry_lead_through_an_inbox_both_ways_whatever_leaves_it_meanwhile(broker: Broker) -> None:
    every = [f"m{number}" for number in range(40)]
    for id in every:
        await broker.mail.send(Draft(id=id, to="bob", body="hello"), CI)

    first = await broker.mail.part("bob", 15, Place())
    await broker.mail.read("bob", "s1", limit=10, ack_now=True)
    second = await broker.mail.part("bob", 15, Place(after=first.after))
    third = await broker.mail.part("bob", 15, Place(after=second.after))
    back = await broker.mail.part("bob", 15, Place(before=third.before))
    begin = await broker.mail.part("bob", 15, Place(before=back.before))

    assert [ids(each) for each in (first, second, third)] == [every[:15], every[15:30], every[30:]]
    assert (first.before, third.after, third.total) == (None, None, 30)
    assert (ids(back), ids(begin), begin.before, back.after) == (every[15:30], every[10:15], None, second.after)


@pytest.mark.parametrize("place", [Place(before="0-0"), Place(after=f"{2**64 - 1}-{2**64 - 1}"), Place(offset=3)])
async def test_beyond_either_end_of_an_inbox_there_is_nothing(broker: Broker, place: Place) -> None:
    await broker.mail.send(Draft(id="m1", to="bob", body="hello"), CI)

    assert await broker.mail.part("bob", 5, place) == Part([], 1, None, None)


async def test_an_offset_into_the_middle_of_a_long_inbox_is_skipped_in_steps(open_broker: Any) -> None:
    broker, count = await open_broker(max_inbox=5000), 2600
    for start in range(0, count, 200):
        await asyncio.gather(
            *(broker.mail.send(Draft(id=f"m{n}", to="bob", body="hello"), CI) for n in range(start, start + 200))
        )
    pages = [await broker.mail.peek("bob", 200, offset) for offset in range(0, count, 200)]
    order = [each.id for items, _ in pages for each in items]
    before = broker.round_trips

    (early, total), (late, _) = await broker.mail.peek("bob", 2, 1250), await broker.mail.peek("bob", 2, 1350)

    assert (sorted(order), total) == (sorted(f"m{n}" for n in range(count)), count)
    assert [each.id for each in (*early, *late)] == [*order[1250:1252], *order[1350:1352]]
    assert broker.round_trips - before == 6  # to look up the name, and two steps, neither of which holds up others


async def test_a_page_of_long_bodies_ends_early_and_one_message_always_fits(broker: Broker) -> None:
    long = "\U0001f4ee" * 32_768
    await asyncio.gather(*(broker.mail.send(Draft(id=f"m{number}", to="bob", body=long), CI) for number in range(60)))

    items, total = await broker.mail.peek("bob", 200, 0)
    rest, _ = await broker.mail.peek("bob", 200, len(items))

    assert total == 60
    assert 1 <= len(items) < 60
    assert rest[0].seq == items[-1].seq + 1


async def test_the_tail_of_an_inbox_full_of_the_longest_bodies_is_given_and_nobody_waits_for_it(broker: Broker) -> None:
    long = "\U0001f4ee" * 32_768
    for start in range(0, 600, 100):
        await asyncio.gather(
            *(broker.mail.send(Draft(id=f"m{start + n}", to="big", body=long), CI) for n in range(100))
        )

    (items, total), sent = await asyncio.gather(
        broker.mail.peek("big", 1, 599), broker.mail.send(Draft(id="s1", to="bob", body="short"), CI)
    )

    assert (items[0].id, total, sent.created) == ("m599", 600, True)


async def test_a_read_without_a_bound_stops_at_some_megabytes_and_says_more(broker: Broker) -> None:
    for number in range(40):
        await broker.mail.send(Draft(id=f"m{number}", to="bob", body="x" * 32_768), CI)

    batch = await broker.mail.read("bob", "s1", limit=200)

    assert 20 < len(batch.items) < 40
    assert batch.more


async def test_a_hint_names_the_senders_of_unread_mail_the_oldest_first(broker: Broker) -> None:
    for number, name in enumerate(("ann", "ben", "ann", "cid", "dan")):
        await broker.mail.send(Draft(id=f"m{number}", to="bob", body="hello"), Sender(name=name, via="http"))
    await broker.mail.read("bob", "s1", limit=1)

    assert await broker.mail.senders("bob") == ["ben?", "ann?", "cid?"]
