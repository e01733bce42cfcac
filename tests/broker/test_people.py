"""People: an inbox that is read by eye, the one that all people share, and what of them is open."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from postino.broker import Broker
from postino.broker.history_filter import Search
from postino.errors import (
    AgentBusy,
    BadField,
    IsPerson,
    KeyReused,
    UnknownAgent,
    UnknownMessage,
)
from postino.model import Draft, Sender
from tests.broker.mailrooms import exported, imported, older


async def open_ids(broker: Broker, name: str) -> dict[str, str | None]:
    """Return what a person's inbox shows: message id -> who has opened it."""
    return {each.id: each.opened_by for each in (await broker.people.inbox(name, 50)).items}


async def test_people_are_agents_of_their_own_kind(people: Broker, send: Any) -> None:
    await send(people, "m1", to="bob")

    kinds = {each.name: each.kind for each in (await people.agents.page(10, 0))[0]}

    assert kinds == {"ann": "human", "bob": "agent", "robert": "human"}
    assert await people.people.names() == ["ann", "robert"]
    assert people.guard.people == {"ann", "robert"}


async def test_a_seen_message_is_read_and_stays_open_until_it_is_done(people: Broker, send: Any) -> None:
    await send(people, "m1", to="robert")
    assert await open_ids(people, "robert") == {"m1": None}

    answer = await people.people.seen("robert", ["m1", "never"])

    assert (answer.seen, answer.taken, answer.unknown) == (["m1"], [], ["never"])
    state = await people.mail.state("robert", "m1")
    assert (state.state, state.reader) == ("acked", "robert")
    assert await open_ids(people, "robert") == {"m1": "robert"}
    assert (await people.people.seen("robert", ["m1"])).seen == ["m1"]
    assert (await people.people.done("robert", ["m1"])).done == ["m1"]
    assert await open_ids(people, "robert") == {}
    assert (await people.people.done("robert", ["m1", "never"])).unknown == ["never"]


async def test_a_person_who_opens_or_ends_mail_was_seen(people: Broker, send: Any) -> None:
    for person, act in (("ann", people.people.seen), ("robert", people.people.done)):
        await send(people, "m1", to=person)
        assert (await people.agents.one(person)).last_seen is None
        await people.people.inbox(person, 10)
        assert (await people.people.one(person)).last_seen is None  # to look is no act

        await act(person, ["m1"])

        assert (await people.agents.one(person)).last_seen is not None
        assert (await people.people.one(person)).last_seen is not None


async def test_only_people_are_seen_by_an_act(people: Broker, send: Any) -> None:
    await send(people, "m1", to="bob")
    for name in ("bob", "nobody", "human"):
        await people.people.acted(name)

    assert (await people.agents.one("bob")).last_seen is None
    assert {each.name for each in (await people.agents.page(10, 0))[0]} == {"ann", "bob", "robert"}


async def test_a_message_marked_done_unseen_counts_as_read(people: Broker, send: Any) -> None:
    await send(people, "m1", to="robert")

    await people.people.done("robert", ["m1"])

    assert (await people.mail.state("robert", "m1")).reader == "robert"
    assert await open_ids(people, "robert") == {}


async def test_an_answer_marks_the_message_as_done(people: Broker, send: Any) -> None:
    await send(people, "m1", to="robert")
    await send(people, "m2", to="human")

    await people.people.answered("robert", "m1")
    await people.people.answered("ann", "m2")
    await people.people.answered("ci", "m2")  # no person

    assert await open_ids(people, "robert") == {}


async def test_who_opens_a_message_to_human_takes_it_and_the_others_see_by_whom(people: Broker, send: Any) -> None:
    await send(people, "m1", to="human", body="Who?")

    answers = await asyncio.gather(*(people.people.seen(name, ["m1"]) for name in ("ann", "robert")))

    taker = next(name for name, answer in zip(("ann", "robert"), answers, strict=True) if answer.seen)
    other = answers[1] if taker == "ann" else answers[0]
    assert [(each.id, each.by) for each in other.taken] == [("m1", taker)]
    assert await open_ids(people, "ann") == await open_ids(people, "robert") == {"m1": taker}
    counts = {each.name: (each.unread, each.open) for each in (await people.people.page(10, 0))[0]}
    assert counts[taker] == (0, 1)
    assert sum(open for _, open in counts.values()) == 1
    assert (await people.mail.state("human", "m1")).reader == taker


async def test_mail_to_human_waits_until_there_is_a_person(broker: Broker, send: Any) -> None:
    sent = await send(broker, "m1", to="Human")
    assert (sent.to, sent.known) == ("human", True)
    assert "first who opens it" in sent.reach

    await broker.people.register("robert")

    assert await open_ids(broker, "robert") == {"m1": None}


@pytest.mark.parametrize(("inbox", "what"), [("robert", "is a person"), ("human", "is the mailbox of all people")])
async def test_an_agents_way_of_reading_takes_nothing_from_people(
    people: Broker, send: Any, inbox: str, what: str
) -> None:
    await send(people, "m1", to=inbox)

    for ack_now in (False, True):
        with pytest.raises(IsPerson, match=f"{inbox} {what}.*POST /api/people/NAME/seen"):
            await people.mail.read(inbox, "c1", ack_now=ack_now)

    assert (await people.mail.state(inbox, "m1")).state == "queued"
    assert (await people.agents.check(inbox)).unread_messages == 1
    assert await open_ids(people, "robert") == {"m1": None}


@pytest.mark.parametrize(("limit", "part_bytes"), [(25, None), (200, 1)], ids=["short", "long"])
async def test_all_that_is_open_comes_in_pages(
    people: Broker, send: Any, monkeypatch: pytest.MonkeyPatch, limit: int, part_bytes: int | None
) -> None:
    if part_bytes is not None:  # as if they were long: 50 of each inbox are looked at
        monkeypatch.setattr("postino.store.people.PART_BYTES", part_bytes)
    for number in range(130):
        await send(people, f"m{number}", to=("robert", "human")[number % 3 == 0])
    await people.people.seen("robert", [f"m{number}" for number in range(0, 130, 7)])
    pages, before = [], None
    while before is not None or not pages:
        page = await people.people.inbox("robert", limit, before)
        pages.append(page.items)
        before = page.before

    shown = [each for page in pages for each in page]
    assert len(pages) > 1
    assert sorted(each.id for each in shown) == sorted(f"m{number}" for number in range(130))
    times = [datetime.fromisoformat(each.timestamp) for each in shown]
    # they go by the times of their entries; in Redis 7.0 a script's TIME may be one millisecond later
    assert all(later + timedelta(milliseconds=1) >= earlier for later, earlier in pairwise(times))
    assert max(map(len, pages)) <= limit + 1
    assert not (await people.people.inbox("robert", limit, "0-0")).items


async def test_an_agents_mail_cannot_be_opened_as_a_person(people: Broker, send: Any) -> None:
    await send(people, "m1", to="bob")

    for verb in (people.people.seen, people.people.done):
        with pytest.raises(UnknownAgent):
            await verb("bob", ["m1"])

    assert (await people.mail.state("bob", "m1")).state == "queued"


async def test_mail_to_people_outlives_that_to_agents_and_needs_no_acknowledgement(
    people: Broker, send: Any, open_broker: Any
) -> None:
    await send(people, "m1", to="robert")
    await older(people, "robert", "m1", 29)

    for number in range(people.settings.max_deliveries + 2):
        _, taken = await people.mail.take("robert", f"c{number}", "m1")  # for who has asked, and whose command breaks
        assert taken is not None
        await people.mail.nack("robert", f"c{number}", ["m1"])
    await people.housekeeping.sweep()

    assert (await people.mail.state("robert", "m1")).state == "queued"
    assert (await people.agents.check("robert")).unread_messages == 1


async def test_mail_that_nobody_opens_for_30_days_ends_and_its_sender_is_told(people: Broker, send: Any) -> None:
    await people.mail.read("ci", "c1")  # only who reads is told
    await send(people, "m1", to="robert", sender="ci")
    await older(people, "robert", "m1", 31)

    await people.housekeeping.sweep()
    await people.housekeeping.send_notices()

    assert (await people.mail.state("robert", "m1")).state == "expired"
    assert (await people.dead.part("robert", 10)).total == 0
    notices = (await people.mail.read("ci", "c1")).items
    assert [each.body for each in notices] == [
        "Your message m1 to robert was given up: nobody opened it within 30 days."
    ]


async def test_people_are_not_forgotten_by_a_clean_up_nor_while_something_is_open(people: Broker, send: Any) -> None:
    await send(people, "m1", to="robert")
    await people.people.seen("robert", ["m1"])

    assert await people.agents.cleanup() == []
    with pytest.raises(AgentBusy):
        await people.agents.forget("robert")
    await people.people.done("robert", ["m1"])
    await people.agents.forget("robert")
    assert await people.people.names() == ["ann"]


async def test_the_person_whose_daemon_this_is_is_not_forgotten_under_any_name(broker: Broker) -> None:
    await broker.people.settle("ann")
    await broker.agents.rename("ann", "anna")

    for name in ("ann", "anna", "ANNA"):
        with pytest.raises(AgentBusy, match="anna is the person whose daemon this is"):
            await broker.agents.forget(name)
    assert await broker.people.own() == "anna"


async def test_too_many_open_messages_end_with_those_that_were_opened_first(
    people: Broker, send: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postino.broker.people.MOST_OPEN", 2)
    for number in range(3):
        await send(people, f"m{number}", to="robert")
        await people.people.seen("robert", [f"m{number}"])

    assert set(await open_ids(people, "robert")) == {"m1", "m2"}


async def test_choices_are_part_of_a_message(people: Broker, send: Any) -> None:
    await send(people, "m1", to="robert", choices=["Merge", "Wait"])
    await send(people, "m1", to="robert", choices=["Merge", "Wait"])
    with pytest.raises(KeyReused):
        await send(people, "m1", to="robert", choices=["Merge"])
    await send(people, "m2", to="bob", choices=["x" * 40])

    assert (await people.people.inbox("robert", 10)).items[0].choices == ["Merge", "Wait"]
    assert (await people.mail.read("bob", "c1")).items[0].choices == ["x" * 40]
    assert (await people.history.search(Search(agent="robert"))).items[0].choices == ["Merge", "Wait"]


@pytest.mark.parametrize(
    "choices", [[], ["a"] * 2, ["x" * 41], [""], [" "], ["two\nlines"], ["\x1b[2J"], list("abcdef")]
)
def test_choices_that_cannot_be_buttons_are_refused(choices: list[str]) -> None:
    with pytest.raises(BadField, match="choices"):
        Draft(id="m1", to="bob", body="?", choices=choices)


async def test_an_export_carries_people_and_what_is_open(people: Broker, second: Broker, send: Any) -> None:
    await send(people, "m1", to="robert", body="Which?", choices=["one", "two"])
    await send(people, "m2", to="robert", body="unread", choices=["one"])
    await send(people, "h1", to="human")
    await people.people.seen("robert", ["m1", "h1"])
    lines = await exported(people)

    await imported(second, lines)

    assert await second.people.names() == ["ann", "robert"]
    assert (await second.people.inbox("robert", 10)).items == (await people.people.inbox("robert", 10)).items
    assert [line for line in await exported(second) if line.get("type") == "open"] == [
        line for line in lines if line.get("type") == "open"
    ]


async def test_a_damaged_open_message_is_left_out(people: Broker, send: Any) -> None:
    await send(people, "m1", to="robert")
    await people.people.seen("robert", ["m1"])
    key = people._store.keys.of("open", "robert")
    await people._store.call("HSET", key, "m0", "garbage", "m2", json.dumps({"s": "1-1", "r": "x", "t": "no", "f": []}))

    assert await open_ids(people, "robert") == {"m1": "robert"}


async def test_presence_of_a_person_keeps_the_kind(people: Broker) -> None:
    await people.agents.heartbeat("robert")
    sent = await people.mail.send(Draft(id="m1", to="robert", body="hello"), Sender(name="ci", via="http"))

    assert (await people.people.one("robert")).online
    assert sent.reach == "a person, who is there: will see it in the inbox"
    await people.agents.offline("robert")
    assert not (await people.people.one("robert")).online


async def test_events_tell_who_opened_and_what_is_done(people: Broker, send: Any, events: Any) -> None:
    await send(people, "m1", to="robert")
    await people.people.seen("robert", ["m1"])
    await people.people.seen("robert", ["m1"])
    await people.people.done("robert", ["m1"])

    told = [(each.type, each.data["reader"]) for each in await events(people) if "reader" in each.data]

    assert told == [("msg_read", "robert"), ("msg_ack", "robert"), ("msg_done", "robert")]


async def test_people_do_not_count_as_agents_that_have_yet_to_see_a_broadcast(people: Broker, say: Any) -> None:
    await people.agents.heartbeat("robert")
    await people.agents.heartbeat("bob")
    await say(people, "b1")

    (shown,), _ = await people.broadcasts.page(10, 0)

    assert (shown.seen, shown.agents) == (0, 1)


async def test_an_answer_needs_no_recipient_however_old_the_question_is(people: Broker, send: Any) -> None:
    await send(people, "m1", to="robert", sender="bob", thread="rel 1.4")
    await send(people, "h1", to="human", sender="eve")
    await people.people.seen("robert", ["m1"])
    await people._store.call("UNLINK", people._store.keys.of("index", "robert"))  # as after the time to live of the id
    robert = Sender(name="robert", via="cli", verified=True)

    first = await people.mail.send(Draft(id="a1", body="yes", reply_to="m1"), robert)
    second = await people.mail.send(Draft(id="a2", body="me", reply_to="h1"), robert)

    assert (first.to, second.to) == ("bob", "eve")
    assert (await people.mail.peek("bob", 1, 0))[0][0].thread == "rel 1.4"
    with pytest.raises(UnknownMessage):
        await people.mail.send(Draft(id="a3", body="me", reply_to="h1"), Sender(name="mallory", via="http"))
