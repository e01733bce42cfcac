"""A session that a hook makes another agent takes nothing of the first one along, and leaves nothing held."""

from __future__ import annotations

import asyncio

import pytest

from postino.broker import Broker, Hello
from postino.mcp.session import Session
from postino.model import BroadcastDraft, Draft, Sender

CI = Sender(name="ci", via="http")
PROCESS = "host:200:5"


async def joined(broker: Broker) -> tuple[Session, str]:
    """A session that derived its name before its hook said which Claude session it resumes; and that one's agent."""
    first = await broker.sessions.join(Hello(session="s-1", generation=1, directory="/a", host="h"))
    await broker.claude.bind("s-1", "host:100:5", "c1")
    await broker.sessions.leave("s-1", 1)
    session = Session(broker, Hello(session="s-2", generation=1, directory="/b", host="h"))
    await session.join()
    return session, first.agent


async def resume(session: Session, broker: Broker) -> None:
    assert await broker.claude.bind("s-2", PROCESS, "c1")
    session.agent_changed()


async def test_what_the_first_agent_had_seen_of_the_feed_the_second_has_not(broker: Broker) -> None:
    session, resumed = await joined(broker)
    for number in range(3):
        await broker.broadcasts.broadcast(BroadcastDraft(id=f"b{number}", body="all"), CI)
    assert len((await session.read_broadcasts(1, 10, 1000)).items) == 3

    await resume(session, broker)

    assert await session.name() == resumed
    assert (await broker.agents.check(resumed)).unseen_broadcasts == 3
    assert [each.id for each in (await session.read_broadcasts(2, 10, 1000)).items] == ["b0", "b1", "b2"]


@pytest.mark.parametrize("written", [False, True])
async def test_what_was_leased_before_is_given_back_when_the_session_ends(broker: Broker, written: bool) -> None:
    session, _ = await joined(broker)
    before = await session.name()
    await broker.mail.send(Draft(id="m1", to=before, body="hello"), CI)
    assert (await session.read(1, 10, 1000)).items
    session.answer_sent(1, failed=False)
    if written:
        session.answer_written(1)

    await resume(session, broker)
    await session.close()

    again = await broker.mail.read(before, "other")
    assert [(each.id, each.redelivered) for each in again.items] == [("m1", True)]


async def test_what_was_leased_before_and_listed_is_acknowledged_by_the_hook(broker: Broker) -> None:
    session, _ = await joined(broker)
    before = await session.name()
    await broker.mail.send(Draft(id="m1", to=before, body="hello"), CI)
    await session.read(1, 10, 1000)
    session.answer_sent(1, failed=False)
    session.answer_written(1)
    session.round_ended(set())

    await session.ack_listed()
    await resume(session, broker)

    await asyncio.sleep(0)
    assert (await broker.mail.state(before, "m1")).state == "acked"
    await session.close()


async def test_what_an_old_connection_was_given_and_never_sent_goes_back_although_a_new_one_has_taken_over(
    broker: Broker,
) -> None:
    old = Session(broker, Hello(session="s-1", generation=1, name="bob"))
    await old.join()
    await broker.sessions.join(Hello(session="s-1", generation=2, name="bob"))
    await broker.mail.send(Draft(id="m1", to="bob", body="hello"), CI)
    assert (await old.read(1, 10, 1000)).items

    await old.close()

    assert [each.id for each in (await broker.mail.read("bob", "other")).items] == ["m1"]
