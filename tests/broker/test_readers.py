"""Looking, checking and reading make nobody known; whoever acknowledges a message has acted."""

from __future__ import annotations

import pytest

from postino.broker import Broker
from postino.errors import UnknownAgent
from tests.broker.mailrooms import Open, exported, imported


async def listed(broker: Broker) -> list[str]:
    return [each.name for each in (await broker.agents.page(50, 0))[0]]


async def look(broker: Broker, name: str) -> None:
    """Do all that reads."""
    await broker.agents.check(name)
    await broker.mail.peek(name, 10, 0)
    await broker.mail.read(name, "c1")
    await broker.mail.read(name, "c1", ack_now=True)
    await broker.broadcasts.read(name, 10)
    batch = await broker.broadcasts.read(name, 10, lease=True)
    await broker.broadcasts.move_cursor(name, batch.cursor)


@pytest.mark.parametrize("name", ["typo", "Typo"])
async def test_a_reader_is_not_known_listed_or_near(broker: Broker, send, say, name: str) -> None:
    await say(broker, "b1")

    await look(broker, name)

    assert await listed(broker) == []
    with pytest.raises(UnknownAgent):
        await broker.agents.one(name)
    assert await broker.mail.nearest("typos") == []
    await broker.agents.heartbeat("ci")
    sent = await send(broker, "m1", to="typo")
    assert (sent.to, sent.known, sent.last_seen) == (name, False, None)
    assert await listed(broker) == ["ci", name]  # it has mail now
    assert await broker.mail.nearest("typos") == []


async def test_a_recipient_is_known_from_its_first_acknowledgement_on(broker: Broker, send) -> None:
    await send(broker, "m1")
    await look(broker, "ann")
    await send(broker, "m1", to="ann")

    for reader in ("bob", "ann"):
        await broker.mail.read(reader, "c1")
        assert not (await send(broker, "m2", to=reader)).known  # it may take it and not come back
        await broker.mail.ack(reader, "c2", ["m1"])  # not its own
        assert (await broker.agents.one(reader)).last_seen is None
        await broker.mail.ack(reader, "c1", ["m1"])
        assert (await send(broker, "m3", to=reader)).known
        assert (await broker.agents.one(reader)).last_seen is not None


async def test_a_read_that_acknowledges_at_once_is_an_act_if_it_gives_something(broker: Broker, send) -> None:
    await send(broker, "m1")

    await broker.mail.read("bob", "c1", ack_now=True)

    assert (await send(broker, "m2")).known


async def test_a_reader_that_begins_to_act_keeps_what_it_has_seen(broker: Broker, say) -> None:
    await say(broker, "b1")
    await look(broker, "bob")

    await broker.agents.heartbeat("bob")

    assert (await broker.agents.check("bob")).unseen_broadcasts == 0
    assert (await broker.agents.one("bob")).last_seen is not None


async def test_a_reader_is_told_of_its_dead_message(open_broker: Open, send) -> None:
    broker = await open_broker(max_deliveries=1)
    await broker.mail.read("ann", "c1")
    for sender in ("ann", "cid"):
        await send(broker, f"m-{sender}", sender=sender)
    await broker.mail.read("bob", "c2")
    await broker.mail.nack("bob", "c2", ["m-ann", "m-cid"])

    await broker.housekeeping.send_notices()

    assert [each.id for each in (await broker.mail.peek("ann", 10, 0))[0]] == ["dead:m-ann"]
    assert (await broker.mail.peek("cid", 10, 0))[0] == []  # nobody has ever read there


async def test_a_person_is_told_of_an_ended_message_and_reading_is_no_sign_of_them(open_broker: Open, send) -> None:
    broker = await open_broker(max_deliveries=1)
    await broker.people.register("robert")
    await broker.broadcasts.read("robert", 10)
    await send(broker, "m1", sender="robert")
    await broker.mail.read("bob", "c2")
    await broker.mail.nack("bob", "c2", ["m1"])

    await broker.housekeeping.send_notices()

    assert (await broker.agents.one("robert")).last_seen is None
    assert [each.id for each in (await broker.mail.peek("robert", 10, 0))[0]] == ["dead:m1"]


async def test_a_cleanup_takes_readers_with_it_and_names_them_not(broker: Broker, say) -> None:
    await say(broker, "b1")
    await look(broker, "typo")
    with pytest.raises(UnknownAgent):
        await broker.agents.forget("typo")
    await look(broker, "Typo")

    assert await broker.agents.cleanup() == []

    assert await broker._store.call("HLEN", broker._store.keys.shared("agents")) == 0
    assert (await broker.agents.check("typo")).unseen_broadcasts == 1


async def test_a_reader_stays_unknown_in_another_store(broker: Broker, second: Broker, say) -> None:
    await say(broker, "b1")
    await look(broker, "typo")
    await broker.agents.heartbeat("ann")
    await second.agents.heartbeat("bob")

    await imported(second, await exported(broker))

    assert await listed(second) == ["ann", "bob"]
    assert (await second.agents.check("typo")).unseen_broadcasts == 0
