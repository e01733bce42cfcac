"""Broadcasts that a session was given and did not acknowledge: the next one gets them labelled, and no count twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from postino.broker import Broker
from postino.mcp import answers
from postino.model import BroadcastDraft, Sender
from tests.relays import HandRelay

ALICE = Sender(name="alice", via="http")

Connect = Callable[..., Awaitable[HandRelay]]


async def broadcast(broker: Broker, *numbers: int, body: str = "x") -> None:
    for number in numbers:
        await broker.broadcasts.broadcast(BroadcastDraft(id=f"b{number}", body=body), ALICE)


def given(answer: dict[str, Any]) -> list[tuple[str, bool]]:
    return [(each["id"], each["redelivered"]) for each in answer["broadcasts"]]


async def test_a_broadcast_given_again_after_a_relays_death_is_labelled(broker, connect: Connect):
    await broadcast(broker, 1, 2, 3)
    bob = await connect("bob")
    assert given(await bob.call("msg_broadcasts", limit=2)) == [("b1", False), ("b2", False)]
    await bob.close()

    bob = await connect("bob")
    assert given(await bob.call("msg_broadcasts")) == [("b1", True), ("b2", True), ("b3", False)]
    await bob.think()
    await bob.call("msg_rename", name="robert")
    await bob.close()
    await broadcast(broker, 4)

    robert = await connect("robert")
    assert given(await robert.call("msg_broadcasts")) == [("b4", False)]


async def test_a_label_survives_a_rename(broker, connect: Connect):
    await broadcast(broker, 1)
    bob = await connect("bob")
    await bob.call("msg_broadcasts")
    await bob.call("msg_rename", name="robert")
    await bob.close()

    robert = await connect("robert")
    assert given(await robert.call("msg_broadcasts")) == [("b1", True)]


async def test_missed_counts_neither_what_a_dead_relay_was_given_nor_what_it_was_told(open_broker, connect: Connect):
    broker = await open_broker(max_broadcasts=3)
    await broadcast(broker, 0)
    bob = await connect("bob", broker=broker)
    await bob.call("msg_broadcasts")
    await bob.think()
    await bob.call("msg_check")
    await broadcast(broker, 1, 2, 3)
    assert len((await bob.call("msg_broadcasts"))["broadcasts"]) == 3
    await bob.close()
    await broadcast(broker, 4, 5, 6, 7, 8)

    bob = await connect("bob", broker=broker)
    answer = await bob.call("msg_broadcasts")
    assert (answer["missed"], given(answer)) == (2, [("b6", False), ("b7", False), ("b8", False)])
    await bob.close()

    bob = await connect("bob", broker=broker)
    answer = await bob.call("msg_broadcasts")
    assert (answer["missed"], given(answer)) == (0, [("b6", True), ("b7", True), ("b8", True)])


async def test_what_did_not_fit_into_an_answer_or_was_an_error_is_no_repeat(broker, connect: Connect, monkeypatch):
    await broadcast(broker, *range(8), body="\n" * 4000)
    bob = await connect("bob")
    with monkeypatch.context() as patch:
        patch.setattr(answers, "encode_fitting", None)
        assert (await bob.call("msg_broadcasts"))["code"] == "internal"

    found: list[tuple[str, bool]] = []
    while some := given(await bob.call("msg_broadcasts")):
        assert len(some) < 8
        found += some

    assert found == [(f"b{number}", False) for number in range(8)]
