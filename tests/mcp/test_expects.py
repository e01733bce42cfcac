"""What the model is told of messages whose senders expect a reply, or none."""

from __future__ import annotations

import json

from postino.claude.wake_line import wake_text
from postino.hint import intents
from postino.model import Draft, Sender

NONE = "no reply expected: do not answer"
WAITS = "answer once, with `reply_to`"


async def test_a_read_says_once_what_is_expected(broker, connect):
    ann, bob = await connect("ann"), await connect("bob")
    for number in range(3):
        await ann.call("msg_send", to="bob", body=f"done {number}", expects="none")
    await ann.call("msg_send", to="bob", body="plain", expects="")

    answer = await bob.call("msg_read")

    assert [each.get("expects") for each in answer["messages"]] == ["none", "none", "none", None]
    assert NONE in answer["expects"] and WAITS not in answer["expects"]


async def test_a_read_says_nothing_where_nothing_is_expected(connect):
    ann, bob = await connect("ann"), await connect("bob")
    await ann.call("msg_send", to="bob", body="plain")
    assert "expects" not in await bob.call("msg_read")


async def test_an_answer_needs_no_recipient(connect):
    ann, bob = await connect("ann"), await connect("bob")
    asked = await ann.call("msg_send", to="bob", body="who?", thread="Red build: who?", expects="reply")
    assert WAITS in (await bob.call("msg_read"))["expects"]

    sent = await bob.call("msg_send", body="me", reply_to=asked["id"])
    await bob.call("msg_send", to="ann", body="me again", reply_to=asked["id"])  # with one it stays in the thread, too
    refused = await bob.call("msg_send", body="me", reply_to="no-such")

    got, again = (await ann.call("msg_read"))["messages"]
    assert again["thread"] == "Red build: who?"
    assert (sent["to"], got["thread"], got["reply_to"]) == ("ann", "Red build: who?", asked["id"])
    assert (refused["code"], refused["field"]) == ("unknown_message", "reply_to")


async def test_the_line_that_wakes_a_session_says_it_too(broker):
    for id, expects in (("m1", "none"), ("m2", None)):
        draft = Draft(id=id, to="bob", body="x", expects=expects)
        await broker.mail.send(draft, Sender(name="ann", via="mcp", verified=True))
    waiting = await broker.claude.unnotified("bob", "host:1:1", "")
    batch = await broker.mail.read("bob", "c1")

    head, _, data = wake_text(waiting, batch).partition("\n")

    assert NONE in head
    assert [each.get("expects") for each in json.loads(data)] == ["none", None]


def test_nothing_is_said_of_what_nobody_expects():
    assert intents([None, ""]) == ""
    assert intents(["none", "reply", "none"]).count(NONE) == 1
