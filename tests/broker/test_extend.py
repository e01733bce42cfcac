"""Prolonging a lease: for its holder, never for a message that was given back or taken."""

from __future__ import annotations

from postino.broker import Broker
from postino.model import MessageState


async def until(state: MessageState) -> str:
    assert state.lease_until is not None
    return state.lease_until


async def test_the_holder_starts_its_lease_anew(open_broker, send, due) -> None:
    brief = await open_broker(message_lease=1)
    patient = await open_broker(message_lease=60)
    await send(brief, "m1")
    await send(brief, "m2")
    await brief.mail.read("bob", "s1")
    before = await until(await brief.mail.state("bob", "m1"))

    assert (await patient.mail.extend("bob", "s1", ["m1"])).acknowledged == ["m1"]

    assert await until(await brief.mail.state("bob", "m1")) > before
    await due(brief)
    assert [each.id for each in (await brief.mail.read("bob", "s2")).items] == ["m2"]


async def test_nobody_else_does(broker: Broker, send) -> None:
    await send(broker, "m1")
    await send(broker, "waiting")
    await broker.mail.read("bob", "s1", limit=1)

    assert (await broker.mail.extend("bob", "s2", ["m1", "waiting", "unknown"])).rejected == [
        "m1",
        "waiting",
        "unknown",
    ]


async def test_what_was_given_back_is_not_prolonged(broker: Broker, send, hello) -> None:
    await broker.sessions.join(hello("s-1", name="bob"))
    await send(broker, "m1")
    await send(broker, "m2")
    await broker.mail.read("bob", "s-1", limit=1)
    await broker.mail.nack("bob", "s-1", ["m1"], delay_ms=60_000)
    await broker.mail.read("bob", "s-1")
    await broker.sessions.leave("s-1", 1)

    assert (await broker.mail.extend("bob", "s-1", ["m1", "m2"])).rejected == ["m1", "m2"]
    assert (await broker.agents.check("bob")).unread_messages == 1


async def test_a_connected_session_keeps_what_it_was_shown_and_only_that(open_broker, send, hello, due) -> None:
    brief = await open_broker(message_lease=1)
    patient = await open_broker(message_lease=60)
    await brief.sessions.join(hello("s-1", name="bob"))
    await send(brief, "kept")
    await brief.mail.read("bob", "s-1")
    await send(brief, "lost")
    await brief.mail.read("bob", "s-1")
    await send(brief, "foreign")
    await brief.mail.read("bob", "s-2")
    await patient.sessions.keepalive("s-1", 1, {"kept": 1, "lost": 2, "foreign": 1, "unknown": 1})
    others: list[str] = []
    while len(others) < 2:
        await due(brief)
        others += [each.id for each in (await patient.mail.read("bob", "s-3")).items]

    assert others == ["lost", "foreign"]
    assert (await brief.mail.state("bob", "kept")).state == "leased"


async def test_prolonging_revives_no_lease_that_ended(open_broker, send, hello, due) -> None:
    broker = await open_broker(message_lease=1)
    await broker.sessions.join(hello("s-1", name="bob"))
    await send(broker, "m1")
    await broker.mail.read("bob", "s-1")
    await due(broker)

    await broker.sessions.keepalive("s-1", 1, {"m1": 1})

    assert (await broker.agents.check("bob")).unread_messages == 1
