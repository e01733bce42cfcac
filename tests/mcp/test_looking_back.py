"""msg_status and msg_history: an agent's own mail again, in bounds."""

from __future__ import annotations

import pytest

from postino.mcp.looking_back import MAX_SHOWN
from postino.model import ANSWER_BUDGET, BroadcastDraft, Draft, Sender
from tests.mcp.mail import ALICE
from tests.mcp.sessions import ids


async def test_the_sender_sees_what_became_of_its_messages(broker, connect):
    bob = await connect("bob")
    for id in ("m1", "m2", "m3", "m4"):
        await bob.call("msg_send", to="alice", body=f"body of\n{id} " + "x" * 100, id=id, thread="Red build")
    await broker.mail.read("alice", "reader-of-alice", limit=1, ack_now=True)
    await broker.mail.read("alice", "reader-of-alice", limit=1)
    await broker.mail.send(Draft(id="foreign", to="eve", body="x"), ALICE)

    shown = {each["id"]: each for each in (await bob.call("msg_status"))["messages"]}

    assert list(shown) == ["m4", "m3", "m2", "m1"]
    assert [each["state"] for each in shown.values()] == ["queued", "queued", "leased", "acked"]
    first = shown["m1"]
    assert (first["to"], first["thread"], first["notified"]) == ("alice", "Red build", "none")
    assert first["reader"] == "reader-o" and first["settled_at"] > first["timestamp"]
    assert first["text"].startswith("body of m1 xxx") and len(first["text"]) == 61


async def test_named_messages_are_found_and_others_are_named(broker, connect):
    bob = await connect("bob")
    for number in range(25):
        await bob.call("msg_send", to="alice", body="x", id=f"m{number}")
    await broker.mail.send(Draft(id="foreign", to="bob", body="x"), ALICE)

    answer = await bob.call("msg_status", ids=["m0", "foreign", "never", "m24"])

    assert (ids(answer), answer["unknown"]) == (["m24", "m0"], ["foreign", "never"])
    assert len((await bob.call("msg_status"))["messages"]) == 10


async def test_of_a_list_its_sender_sees_in_short_what_became_of_it_for_each(broker, connect):
    bob = await connect("bob")
    await bob.call("msg_send", to=["ann", "eve"], body="x", id="m1")
    await broker.mail.read("ann", "reader-of-ann", ack_now=True)
    ((ann, eve),) = [each["recipients"] for each in (await bob.call("msg_status"))["messages"]]

    assert ann.pop("settled_at")
    assert ann == {"to": "ann", "state": "acked"}
    assert eve == {"to": "eve", "state": "queued"}


async def test_of_a_broadcast_its_sender_sees_who_has_seen_it(broker, connect):
    bob, _ann = await connect("bob"), await connect("ann")
    await bob.call("msg_broadcast", body="hear", id="b1")
    (before,) = (await bob.call("msg_status"))["messages"]
    await broker.broadcasts.read("ann", 1)
    (after,) = (await bob.call("msg_status", ids=["b1"]))["messages"]

    assert (before["seen"], before["agents"], before["seenBy"], before["notSeenBy"]) == (1, 2, ["bob"], ["ann"])
    assert (after["seen"], after["seenBy"], after["notSeenBy"]) == (2, ["ann", "bob"], [])


async def test_an_agent_that_was_renamed_keeps_its_past(broker, connect):
    bob = await connect("bob")
    await bob.call("msg_send", to="alice", body="x", id="m1")
    await bob.call("msg_rename", name="robert")
    assert ids(await bob.call("msg_status")) == ["m1"]
    assert ids(await bob.call("msg_history")) == ["m1"]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["all", "m4", "m3", "m2", "m1"]),
        ({"with": "alice"}, ["m3", "m1"]),
        ({"thread": "Red build"}, ["m3", "m2"]),
        ({"q": "NEEDLE"}, ["m2"]),
        ({"q": "m1"}, ["m1"]),
        ({"thread": "none"}, []),
    ],
)
async def test_an_agent_finds_its_own_mail_and_no_other(broker, connect, asked, found):
    bob = await connect("bob")
    await broker.mail.send(Draft(id="m1", to="bob", body="one"), ALICE)
    await broker.mail.send(Draft(id="m2", to="bob", body="a needle", thread="Red build"), Sender(name="ci", via="http"))
    await bob.call("msg_send", to="alice", body="three", id="m3", thread="Red build")
    await bob.call("msg_send", to="ci", body="four", id="m4")
    await broker.mail.send(Draft(id="foreign", to="eve", body="a needle", thread="Red build"), ALICE)
    await broker.broadcasts.broadcast(BroadcastDraft(id="all", body="hear"), Sender(name="bob", via="http"))
    assert ids(await bob.call("msg_history", **asked)) == found
    assert (await broker.mail.state("bob", "m1")).state == "queued"


async def test_long_bodies_are_cut_and_the_answer_stays_in_its_bounds(broker, connect):
    bob = await connect("bob")
    for number in range(40):
        await broker.mail.send(Draft(id=f"m{number}", to="bob", body="x" * 2_000), ALICE)
    call = bob.tool("msg_history", limit=200)
    text = (await bob.answer(call))["result"]["content"][0]["text"]
    assert len(text) <= ANSWER_BUDGET and '"more":true' in text
    (item,) = (await bob.call("msg_history", limit=1))["messages"]
    assert (len(item["body"]), item["cut"]) == (MAX_SHOWN, 1_000)
