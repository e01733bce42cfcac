"""A read whose answer was an error, or never came: it acknowledges nothing, and the next read begins with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from postino.broker import Broker
from postino.mcp import answers
from postino.model import BroadcastDraft, Draft
from tests.mcp.mail import ALICE
from tests.mcp.sessions import states
from tests.relays import HandRelay, said
from tests.servers import Proxy
from tests.waiting import eventually

LONG = "\n" * 4000  # characters, of which JSON makes twice as many: eight of them do not fit into one answer
INBOX = "postino://inbox/bob"

Connect = Callable[..., Awaitable[HandRelay]]


async def mail(broker: Broker, *ids: str, body: str = "x") -> None:
    for id in ids:
        await broker.mail.send(Draft(id=id, to="bob", body=body), ALICE)


def seen(answer: dict[str, Any]) -> list[tuple[str, int, bool]]:
    return [(each["id"], each["delivery"], each["redelivered"]) for each in answer["messages"]]


def sha(broker: Broker, script: str) -> bytes:
    return broker._store.scripts[script].sha.encode()


@pytest.fixture
async def behind(proxy: Any, open_broker: Any) -> tuple[Broker, Proxy]:
    """A broker, and the proxy between it and its Valkey."""
    between = await proxy()
    return await open_broker(valkey_url=between.url), between


@pytest.mark.parametrize("way", ["lose", "cut_before"])
async def test_a_read_whose_surplus_cannot_be_given_back_shows_all_once_and_acknowledges_what_it_showed(
    broker, behind, connect: Connect, way
):
    behind_proxy, between = behind
    ids = [f"m{number}" for number in range(8)]
    await mail(broker, *ids, body=LONG)
    bob = await connect("bob", broker=behind_proxy)
    setattr(between, way, sha(broker, "nack"))

    first = seen(await bob.call("msg_read"))

    assert 0 < len(first) < 8
    setattr(between, way, None)
    await bob.think()
    await bob.call("msg_check")
    found = await states(broker, *ids)
    assert found[: len(first)] == ["acked"] * len(first) and "acked" not in found[len(first) :]
    rest: list[tuple[str, int, bool]] = []
    while more := seen(await bob.call("msg_read")):
        rest += more
    assert first + rest == [(id, 1, False) for id in ids]


@pytest.mark.parametrize("asked", [("tools/call", {"name": "msg_read"}), ("resources/read", {"uri": INBOX})])
async def test_an_answer_that_is_an_error_acknowledges_nothing(broker, connect: Connect, monkeypatch, asked):
    await mail(broker, "m1")
    bob = await connect("bob")
    with monkeypatch.context() as patch:
        patch.setattr(answers, "encode_fitting", None)
        read = bob.request(*asked)
        answer = await bob.answer(read)
    assert "error" in answer or answer["result"]["isError"]
    bob.written(read)
    await bob.think()
    await bob.call("msg_check")

    assert await states(broker, "m1") == ["queued"]
    assert seen(await bob.call("msg_read")) == [("m1", 1, False)]


async def test_an_answer_that_is_an_error_and_cannot_be_undone_acknowledges_nothing(
    broker, behind, connect: Connect, monkeypatch
):
    behind_proxy, between = behind
    await mail(broker, "m1")
    bob = await connect("bob", broker=behind_proxy)
    between.cut_before = sha(broker, "nack")
    with monkeypatch.context() as patch:
        patch.setattr(answers, "encode_fitting", None)
        assert (await bob.call("msg_read"))["code"] == "internal"
    await eventually(lambda: between.losses)
    between.cut_before = None
    await bob.think()
    await bob.call("msg_check")

    assert await states(broker, "m1") == ["leased"]
    assert seen(await bob.call("msg_read")) == [("m1", 1, False)]


async def test_what_the_client_may_have_and_cannot_be_given_back_is_not_taken_for_unshown(
    broker, behind, connect: Connect
):
    behind_proxy, between = behind
    await mail(broker, "m1")
    bob = await connect("bob", broker=behind_proxy)
    read = bob.tool("msg_read")
    assert seen(said(await bob.answer(read))) == [("m1", 1, False)]
    between.cut_before = sha(broker, "nack")
    bob.send(b'{"postino":"lost","id":%d}' % read)
    await eventually(lambda: between.losses)
    between.cut_before = None

    assert seen(await bob.call("msg_read")) == []  # it comes again, labelled, when its lease ends
    assert await states(broker, "m1") == ["leased"]


async def test_an_acknowledgement_that_failed_is_tried_again_with_the_next_call(broker, behind, connect: Connect):
    behind_proxy, between = behind
    await mail(broker, "m1")
    bob = await connect("bob", broker=behind_proxy)
    await bob.call("msg_read")
    await bob.think()
    between.cut_before = sha(broker, "ack")
    await bob.call("msg_check")
    assert between.losses
    between.cut_before = None
    await bob.think()
    await bob.call("msg_check")

    assert await states(broker, "m1") == ["acked"]


async def test_an_error_in_reading_broadcasts_moves_no_cursor(broker, connect: Connect, monkeypatch):
    await broker.broadcasts.broadcast(BroadcastDraft(id="b1", body="one"), ALICE)
    bob = await connect("bob")
    with monkeypatch.context() as patch:
        patch.setattr(answers, "encode_fitting", None)
        assert (await bob.call("msg_broadcasts"))["code"] == "internal"
    await bob.think()
    await bob.call("msg_check")

    assert (await broker.agents.check("bob")).unseen_broadcasts == 1
    assert [each["id"] for each in (await bob.call("msg_broadcasts"))["broadcasts"]] == ["b1"]


async def test_the_next_read_begins_with_what_a_lost_reply_leased_and_repeats_nothing_shown(
    broker, behind, connect: Connect
):
    behind_proxy, between = behind
    await mail(broker, "m1", "m2", "m3")
    bob = await connect("bob", broker=behind_proxy)
    assert seen(await bob.call("msg_read", limit=1)) == [("m1", 1, False)]
    between.lose = sha(broker, "read")
    lost = await bob.call("msg_read")
    assert (lost["code"], lost["outcome"]) == ("store_away", "unknown")
    assert "same id" not in lost["error"]  # a read has none
    between.lose = None
    await mail(broker, "m4")

    assert seen(await bob.call("msg_read")) == [("m2", 1, False), ("m3", 1, False), ("m4", 1, False)]
    await bob.think()
    await bob.call("msg_check")
    assert await states(broker, "m1", "m2", "m3", "m4") == ["acked"] * 4


async def test_what_a_lost_reply_leased_keeps_its_order_where_the_next_reads_give_parts_of_it(
    broker, behind, connect: Connect
):
    behind_proxy, between = behind
    ids = [f"m{number}" for number in range(5)]
    await mail(broker, *ids[:3], body=LONG)
    await mail(broker, *ids[3:])
    bob = await connect("bob", broker=behind_proxy)
    between.lose = sha(broker, "read")
    assert (await bob.call("msg_read"))["code"] == "store_away"
    between.lose = None

    first = seen(await bob.call("msg_read", limit=3))
    assert len(first) == 2  # the third of them did not fit, and is given back

    assert first + seen(await bob.call("msg_read")) == [(id, 1, False) for id in ids]


async def test_what_a_lost_reply_leased_of_another_reader_is_labelled(broker, behind, connect: Connect):
    behind_proxy, between = behind
    await mail(broker, "m1")
    await broker.mail.read("bob", "s-other")
    await broker.mail.nack("bob", "s-other", ["m1"])
    bob = await connect("bob", broker=behind_proxy)
    between.lose = sha(broker, "read")
    assert (await bob.call("msg_read"))["code"] == "store_away"
    between.lose = None

    assert seen(await bob.call("msg_read")) == [("m1", 2, True)]


async def test_only_the_leases_of_what_was_shown_are_extended(broker, behind, connect: Connect, open_broker):
    _, between = behind
    brief = await open_broker(valkey_url=between.url, message_lease=3)  # s; a busy machine stalls for more than one
    await mail(broker, "shown", "lost")
    bob = await connect("bob", broker=brief)
    assert seen(await bob.call("msg_read", limit=1)) == [("shown", 1, False)]
    between.lose = sha(broker, "read")
    assert (await bob.call("msg_read"))["code"] == "store_away"
    between.lose = None

    async def read_by_another() -> list[str]:
        return [each.id for each in (await broker.mail.read("bob", "s-other")).items]

    assert await eventually(read_by_another) == ["lost"]  # leased later than the one that was shown


async def test_reads_side_by_side_are_given_different_messages_in_order(broker, connect: Connect):
    ids = [f"m{number:02}" for number in range(24)]
    await mail(broker, *ids, body=LONG)
    bob = await connect("bob")
    asked = [bob.tool("msg_read") for _ in range(12)]
    found = [seen(said(await bob.answer(each))) for each in asked]

    assert [each for one in found for each in one] == [(id, 1, False) for id in ids]


@pytest.mark.parametrize("asked", [("tools/call", {"name": "msg_read"}), ("resources/read", {"uri": INBOX})])
async def test_an_answer_that_giving_back_held_up_for_longer_than_the_lease_shows_nothing(
    broker, proxy, open_broker, connect: Connect, asked
):
    between = await proxy()
    await mail(broker, "first")
    await mail(broker, *[f"m{number}" for number in range(8)], body=LONG)
    bob = await connect("bob", broker=await open_broker(valkey_url=between.url, message_lease=1))
    await bob.call("msg_read", limit=1)
    await bob.think()
    between.delay_s = 0.4  # of three replies: to an acknowledgement, to the read, and to giving back what does not fit
    answer = await bob.answer(bob.request(*asked))
    between.delay_s = 0.0

    refused = said(answer) if "result" in answer else answer["error"]["data"]
    assert (refused["code"], refused["outcome"]) == ("store_away", "unknown")
    assert "longer than its lease" in refused["error"]
