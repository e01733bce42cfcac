"""Emptying an inbox, and bringing dead letters back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from postino.broker import Broker
from postino.errors import InboxFull, UnknownAgent, UnknownMessage
from postino.parts import Place


async def bury(broker: Broker, send, *ids: str) -> None:
    for id in ids:
        await send(broker, id)
    while (batch := await broker.mail.read("bob", "killer", limit=200)).items:
        given = [each.id for each in batch.items]
        assert (await broker.mail.nack("bob", "killer", given)).dead == given


async def lying(broker: Broker) -> list[str]:
    return [each.id for offset in (0, 200) for each in (await broker.mail.peek("bob", 200, offset))[0]]


async def test_clear_takes_waiting_delayed_and_leased_messages(broker: Broker, send, events) -> None:
    for id in ("delayed", "leased", "waiting"):
        await send(broker, id)
    await broker.mail.read("bob", "s1", limit=2)
    await broker.mail.nack("bob", "s1", ["delayed"], delay_ms=60_000)

    assert await broker.mail.clear("bob") == 3

    assert await lying(broker) == []
    assert (await broker.agents.check("bob")).unread_messages == 0
    assert [(await broker.mail.state("bob", id)).state for id in ("delayed", "leased", "waiting")] == ["cleared"] * 3
    assert [each.data["count"] for each in await events(broker, "msg_clear")] == [3]
    assert (await broker.mail.read("bob", "s2")).items == []


async def test_clearing_nothing_says_nothing(broker: Broker, events) -> None:
    assert await broker.mail.clear("bob") == 0
    assert await events(broker, "msg_clear") == []


async def test_mail_after_a_clear_arrives_and_its_number_goes_on(broker: Broker, send) -> None:
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")
    await broker.mail.clear("bob")

    sent = await send(broker, "m2")

    assert sent.seq == 2
    assert [(each.id, each.delivery) for each in (await broker.mail.read("bob", "s1")).items] == [("m2", 1)]


async def test_a_cleared_id_is_still_remembered(broker: Broker, send) -> None:
    await send(broker, "m1")
    await broker.mail.clear("bob")

    assert not (await send(broker, "m1")).created
    assert await lying(broker) == []


async def test_more_than_one_page_is_cleared(broker: Broker, send) -> None:
    for number in range(510):
        await send(broker, f"m{number}")

    assert await broker.mail.clear("bob") == 510
    assert await lying(broker) == []


async def test_more_than_one_script_takes_is_cleared(open_broker, send) -> None:
    broker = await open_broker(max_inbox=6000)
    for number in range(0, 5100, 100):
        await asyncio.gather(*(send(broker, f"m{number + each}") for each in range(100)))

    assert await broker.mail.clear("bob") == 5100
    assert (await broker.agents.check("bob")).unread_messages == 0


async def test_a_requeued_letter_goes_to_the_tail_with_a_fresh_count(open_broker, send) -> None:
    broker = await open_broker(max_deliveries=1)
    await bury(broker, send, "m1")
    await send(broker, "m2")

    assert await broker.dead.requeue("bob", ["m1"]) == ["m1"]

    batch = await broker.mail.read("bob", "s1")
    assert [(each.id, each.delivery, each.redelivered) for each in batch.items] == [("m2", 1, False), ("m1", 1, True)]
    assert (await broker.dead.part("bob", 50)).total == 0
    assert (await broker.mail.state("bob", "m1")).deliveries == 1
    assert (await broker.mail.ack("bob", "s1", ["m1"])).acknowledged == ["m1"]


async def test_requeue_without_ids_takes_all_in_order(open_broker, send) -> None:
    broker = await open_broker(max_deliveries=1)
    await bury(broker, send, "m1", "m2", "m3")

    assert await broker.dead.requeue("bob", None) == ["m1", "m2", "m3"]
    assert await lying(broker) == ["m1", "m2", "m3"]


async def test_more_letters_than_one_script_takes_are_requeued_in_order_and_what_dies_meanwhile_stays(
    open_broker, send, monkeypatch
) -> None:
    broker = await open_broker(max_deliveries=1)
    ids = [f"m{number}" for number in range(250)]
    await bury(broker, send, *ids)
    real = broker._store.run_named

    async def run_named(name: str, agent: str, **values: str | int) -> Any:
        if values["till"] != "+":
            monkeypatch.undo()
            await broker.mail.nack(
                "bob", "s1", [each.id for each in (await broker.mail.read("bob", "s1", limit=1)).items]
            )
        return await real(name, agent, **values)

    monkeypatch.setattr(broker._store, "run_named", run_named)

    assert await broker.dead.requeue("bob", None) == ids
    assert await lying(broker) == ids[1:]
    assert [each.id for each in (await broker.dead.part("bob", 50)).items] == ["m0"]


async def test_too_little_room_for_all_of_many_letters_moves_none(open_broker, send) -> None:
    broker = await open_broker(max_deliveries=1, max_inbox=150)
    await bury(broker, send, *(f"m{number}" for number in range(150)))
    await send(broker, "n1")

    with pytest.raises(InboxFull):
        await broker.dead.requeue("bob", None)

    assert (await broker.dead.part("bob", 1)).total == 150


async def test_requeue_of_no_ids_moves_nothing(open_broker, send) -> None:
    broker = await open_broker(max_deliveries=1)
    await bury(broker, send, "m1")

    assert await broker.dead.requeue("bob", []) == []
    assert (await broker.dead.part("bob", 50)).total == 1


async def test_an_id_named_twice_is_requeued_once(open_broker, send) -> None:
    broker = await open_broker(max_deliveries=1)
    await bury(broker, send, "m1")

    assert await broker.dead.requeue("bob", ["m1", "m1"]) == ["m1"]
    assert await lying(broker) == ["m1"]


@pytest.mark.parametrize("wrong", ["never", "alive", "acked"])
async def test_one_wrong_id_and_nothing_is_requeued(open_broker, send, wrong: str) -> None:
    broker = await open_broker(max_deliveries=1)
    await bury(broker, send, "dead")
    await send(broker, "acked")
    await broker.mail.read("bob", "s1", ack_now=True)
    await send(broker, "alive")

    with pytest.raises(UnknownMessage) as refusal:
        await broker.dead.requeue("bob", ["dead", wrong])

    assert wrong in refusal.value.message
    assert (await broker.dead.part("bob", 50)).total == 1
    assert await lying(broker) == ["alive"]


async def test_a_refusal_names_ids_and_agents_as_they_are_written(open_broker, send) -> None:
    broker = await open_broker(max_deliveries=1, max_inbox=1)
    await send(broker, "m1")

    with pytest.raises(UnknownMessage, match=r"lower-case-id is not a dead letter of bob"):
        await broker.dead.requeue("bob", ["lower-case-id"])
    with pytest.raises(InboxFull, match=r"\bbob already holds 1 "):
        await send(broker, "m2")


async def test_requeue_into_too_little_room_moves_nothing(open_broker, send) -> None:
    broker = await open_broker(max_deliveries=1, max_inbox=2)
    await bury(broker, send, "m1", "m2")
    await send(broker, "m3")

    with pytest.raises(InboxFull):
        await broker.dead.requeue("bob", None)

    assert (await broker.dead.part("bob", 50)).total == 2
    assert await lying(broker) == ["m3"]


async def test_requeue_for_a_name_nobody_has_is_refused(broker: Broker) -> None:
    with pytest.raises(UnknownAgent):
        await broker.dead.requeue("nobody", None)


async def test_a_requeued_message_lives_anew(open_broker, send, eventually) -> None:
    broker = await open_broker(max_deliveries=1, msg_ttl=1)
    await bury(broker, send, "m1")
    await send(broker, "marker", to="other")

    async def marker_expired() -> bool:
        return (await broker.mail.state("other", "marker")).state == "expired"

    await eventually(marker_expired, "m1 would be too old by now")
    assert (await broker.mail.state("bob", "m1")).state == "dead"
    await broker.dead.requeue("bob", None)

    assert [each.id for each in (await broker.mail.read("bob", "s1")).items] == ["m1"]


async def test_dropped_letters_are_gone_and_told_as_cleared(open_broker, send) -> None:
    broker = await open_broker(max_deliveries=1)
    await bury(broker, send, "m1", "m2")

    assert await broker.dead.clear("bob") == 2

    assert (await broker.dead.part("bob", 50)).total == 0
    assert (await broker.mail.state("bob", "m1")).state == "cleared"
    assert await broker.dead.clear("bob") == 0


async def test_letters_are_listed_oldest_first_by_page(open_broker, send) -> None:
    broker = await open_broker(max_deliveries=1)
    await bury(broker, send, "m1", "m2", "m3")

    found = await broker.dead.part("bob", 2, Place(1))

    assert ([each.id for each in found.items], found.total) == (["m2", "m3"], 3)
    assert all(each.died_at >= each.timestamp for each in found.items)
