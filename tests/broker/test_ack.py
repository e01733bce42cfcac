"""Acknowledging: only the session that holds a message may, and it may be late or repeat itself."""

from __future__ import annotations

from postino.broker import Broker


async def test_the_holder_acknowledges_and_the_message_is_gone(broker: Broker, send) -> None:
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")

    settled = await broker.mail.ack("bob", "s1", ["m1"])

    assert (settled.acknowledged, settled.rejected) == (["m1"], [])
    assert (await broker.mail.peek("bob", 50, 0)) == ([], 0)
    assert (await broker.mail.state("bob", "m1")).state == "acked"


async def test_another_session_may_not(broker: Broker, send) -> None:
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")

    settled = await broker.mail.ack("bob", "s2", ["m1"])

    assert (settled.acknowledged, settled.rejected) == ([], ["m1"])
    assert (await broker.mail.state("bob", "m1")).state == "leased"


async def test_what_nobody_read_or_sent_cannot_be_acknowledged(broker: Broker, send) -> None:
    await send(broker, "waiting")

    settled = await broker.mail.ack("bob", "s1", ["waiting", "invented"])

    assert settled.rejected == ["waiting", "invented"]
    assert (await broker.agents.check("bob")).unread_messages == 1


async def test_an_id_of_another_inbox_is_rejected(broker: Broker, send) -> None:
    await send(broker, "m1", to="alice")
    await broker.mail.read("alice", "s1")

    assert (await broker.mail.ack("bob", "s1", ["m1"])).rejected == ["m1"]
    assert (await broker.mail.state("alice", "m1")).state == "leased"


async def test_ones_own_acknowledged_id_counts_again_and_is_told_once(broker: Broker, send, events) -> None:
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")
    await broker.mail.ack("bob", "s1", ["m1"])

    again = await broker.mail.ack("bob", "s1", ["m1"])
    foreign = await broker.mail.ack("bob", "s2", ["m1"])

    assert (again.acknowledged, again.rejected) == (["m1"], [])
    assert foreign.rejected == ["m1"]
    assert len(await events(broker, "msg_ack")) == 1


async def test_an_id_named_twice_is_extended_and_given_back_once(broker: Broker, send) -> None:
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")

    for settled in (await broker.mail.extend("bob", "s1", ["m1"] * 2), await broker.mail.nack("bob", "s1", ["m1"] * 2)):
        assert (settled.acknowledged, settled.rejected) == (["m1"], [])


async def test_an_id_named_twice_is_acknowledged_once(broker: Broker, send, events) -> None:
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")

    settled = await broker.mail.ack("bob", "s1", ["m1", "m1"])

    assert (settled.acknowledged, settled.rejected) == (["m1"], [])
    assert [each.data["ids"] for each in await events(broker, "msg_ack")] == [["m1"]]


async def test_good_ids_count_beside_bad_ones(broker: Broker, send) -> None:
    await send(broker, "m1")
    await send(broker, "m2")
    await broker.mail.read("bob", "s1")

    settled = await broker.mail.ack("bob", "s1", ["m2", "bad", "m1"])

    assert (settled.acknowledged, settled.rejected) == (["m2", "m1"], ["bad"])


async def test_a_late_acknowledgement_counts_while_nobody_else_has_the_message(open_broker, send, due) -> None:
    broker = await open_broker(message_lease=1)
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")
    await due(broker)
    assert (await broker.mail.state("bob", "m1")).state == "queued"

    assert (await broker.mail.ack("bob", "s1", ["m1"])).acknowledged == ["m1"]
    assert (await broker.mail.read("bob", "s2")).items == []


async def test_a_late_acknowledgement_is_rejected_once_somebody_else_took_the_message(open_broker, send, due) -> None:
    broker = await open_broker(message_lease=1)
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")
    await due(broker)
    await broker.mail.read("bob", "s2")

    assert (await broker.mail.ack("bob", "s1", ["m1"])).rejected == ["m1"]
    assert (await broker.mail.ack("bob", "s2", ["m1"])).acknowledged == ["m1"]
    assert (await broker.mail.state("bob", "m1")).reader == "s2"


async def test_what_a_session_left_behind_it_may_still_acknowledge(broker: Broker, send, hello) -> None:
    await broker.sessions.join(hello("s-1", name="bob"))
    await send(broker, "m1")
    await broker.mail.read("bob", "s-1")
    await broker.sessions.leave("s-1", 1)

    assert (await broker.mail.ack("bob", "s-1", ["m1"])).acknowledged == ["m1"]


async def test_an_acknowledgement_after_a_clear_is_rejected(broker: Broker, send) -> None:
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")
    await broker.mail.clear("bob")

    assert (await broker.mail.ack("bob", "s1", ["m1"])).rejected == ["m1"]
    assert (await broker.mail.state("bob", "m1")).state == "cleared"


async def test_an_acknowledgement_after_ones_own_return_is_rejected(broker: Broker, send) -> None:
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")
    await broker.mail.nack("bob", "s1", ["m1"])

    assert (await broker.mail.ack("bob", "s1", ["m1"])).rejected == ["m1"]
    assert (await broker.mail.ack("bob", "-", ["m1"])).rejected == ["m1"]  # no name of a session stands for nobody
    assert (await broker.agents.check("bob")).unread_messages == 1


async def test_an_acknowledgement_by_a_former_name_counts(broker: Broker, send) -> None:
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")
    await broker.agents.rename("bob", "robert")

    assert (await broker.mail.ack("bob", "s1", ["m1"])).acknowledged == ["m1"]
    assert (await broker.mail.state("robert", "m1")).state == "acked"


async def test_two_hundred_ids_go_in_one_call(broker: Broker, send) -> None:
    for number in range(200):
        await send(broker, f"m{number}")
    batch = await broker.mail.read("bob", "s1", limit=200)

    settled = await broker.mail.ack("bob", "s1", [each.id for each in batch.items])

    assert len(settled.acknowledged) == 200
    assert (await broker.agents.one("bob")).message_count == 0
