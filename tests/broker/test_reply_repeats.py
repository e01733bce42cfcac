"""A repeated reply is known as one, whoever it goes to; and a reply is in the thread of no other message."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from postino.broker import Broker
from postino.errors import KeyReused
from postino.model import Draft, Sender
from postino.several import ManyDraft

BOB = Sender(name="bob", via="http")
Reply = Callable[..., Awaitable[bool]]


async def alone(broker: Broker, draft: Draft) -> bool:
    return (await broker.mail.send(draft, BOB)).created


async def asked(broker: Broker, draft: Draft) -> bool:
    return (await broker.asks.send(draft, BOB)).sent.created


async def listed(broker: Broker, draft: Draft) -> bool:
    return (await broker.groups.send_many(ManyDraft(to=["eve", "ann"], draft=draft), BOB)).created


async def grouped(broker: Broker, draft: Draft) -> bool:
    return (await broker.groups.send_many(ManyDraft(to="#team", draft=replace(draft, to="team")), BOB)).created


each_way = pytest.mark.parametrize("way", [alone, asked, listed, grouped])


@pytest.fixture
async def team(broker: Broker) -> Broker:
    """A broker with a group of ann and eve, whose name is no agent's."""
    for name in ("ann", "eve"):
        await broker.groups.add("team", name)
    return broker


def answer(answered: str, **more: Any) -> Draft:
    return Draft(id="r1", to="ann", body="yes", reply_to=answered, **more)


async def threads(broker: Broker) -> dict[str, str | None]:
    return {each.id: each.thread for each in (await broker.history.search(limit=200)).items}


@each_way
@pytest.mark.parametrize("late", [False, True])
async def test_a_repeat_is_stored_once_where_another_thread_is_found_by_then(
    team: Broker, send: Any, way: Reply, late: bool
) -> None:
    """Also one that a daemon stored which gave such replies no thread."""
    if not late:
        await send(team, "q1", sender="ann", thread="t")
    assert await way(team, answer("q1"))
    if late:
        await send(team, "q1", sender="ann", thread="t")
    else:
        await team._store.call("DEL", team._store.keys.of("index", "bob"))  # as after its time

    assert not await way(team, answer("q1"))

    for other in ({"choices": ["a", "b"]}, {"thread": "other"}):
        with pytest.raises(KeyReused):
            await way(team, answer("q1", **other))
    assert await threads(team) == {"q1": "t", "r1": None if late else "t"}
    assert await team.mail.length("ann") == 1


async def test_a_repeat_to_a_group_is_known_after_its_first_member_has_changed(team: Broker, send: Any) -> None:
    await send(team, "q1", sender="ann", thread="t")
    await grouped(team, answer("q1"))
    await team._store.call("DEL", team._store.keys.of("index", "bob"))  # as after its time
    await team.groups.remove("team", "ann")
    await team.groups.remove("team", "eve")
    for name in ("new", "ann", "eve"):
        await team.groups.add("team", name)

    sent = await team.groups.send_many(ManyDraft(to="#team", draft=answer("q1")), BOB)

    assert {each.to: each.created for each in sent.recipients} == {"new": True, "ann": False, "eve": False}


async def test_a_further_word_to_a_group_stays_in_the_thread_of_what_was_sent_to_it(team: Broker) -> None:
    await grouped(team, Draft(id="q1", to="team", body="?", thread="t"))
    await grouped(team, answer("q1"))
    assert await threads(team) == {"q1": "t", "r1": "t"}


async def test_of_two_messages_with_one_id_the_one_between_the_two_agents_counts(broker: Broker, send: Any) -> None:
    await send(broker, "1", sender="eve", to="bob", thread="of eve")
    await send(broker, "1", sender="bob", to="ann", thread="of ann")

    await alone(broker, answer("1"))

    assert (await broker.mail.read("ann", "c1")).items[-1].thread == "of ann"


async def test_of_two_messages_with_one_id_and_time_the_one_that_its_sender_got_counts(
    broker: Broker, send: Any
) -> None:
    for number in range(20):
        sent = (send(broker, f"q{number}", sender="ann", to=to, thread=to) for to in ("ann", "eve", "bob"))
        await asyncio.gather(*sent)  # which are one call of the script
        draft = Draft(id=f"r{number}", to="ann", body="yes", reply_to=f"q{number}")
        await alone(broker, draft)
    found = await threads(broker)
    assert {found[f"r{number}"] for number in range(20)} == {"bob"}
