"""Several recipients and groups over MCP, as real clients encode them."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("to", [["ann", "eve"], '["ann", "eve"]', "[ann, eve]"])
async def test_a_list_is_taken_as_a_list_and_as_text(broker, connect, to):
    bob, ann = await connect("bob"), await connect("ann")
    sent = await bob.call("msg_send", to=to, body="x", id="m1")

    assert (sent["ok"], sent["recipients"], sent["created"]) == (True, 2, True)
    assert sent["reach"] == {
        "online: gets it with its next read": ["ann"],
        "nobody of that name has been seen; the message waits for one": ["eve"],
    }
    assert [each["sent_to"] for each in (await ann.call("msg_read"))["messages"]] == [["ann", "eve"]]
    assert [each.to for each in (await broker.mail.peek("eve", 1, 0))[0]] == ["eve"]
    assert (await bob.call("msg_send", to=to, body="x", id="m1"))["created"] is False


async def test_a_group_is_joined_written_to_and_left(connect):
    bob, ann = await connect("bob"), await connect("ann")
    joined = [await each.call("msg_join", group=name) for each, name in ((bob, "team"), (ann, "#Team"))]
    sent = await bob.call("msg_send", to="#team", body="to all of us")
    read = await ann.call("msg_read")
    own = await bob.call("msg_read")
    left = await ann.call("msg_leave", group="team")
    alone = await bob.call("msg_send", to="#team", body="x")
    unknown = await bob.call("msg_send", to="#taem", body="x")
    as_text = await bob.call("msg_send", to="ann,bob", body="x")
    asked = [await bob.call("msg_ask", to=to, body="x") for to in ("#team", "ann,eve", ["ann"])]

    assert [(each["group"], each["agent"], each["members"]) for each in joined] == [
        ("team", "bob", 1),
        ("team", "ann", 2),
    ]
    assert (sent["group"], sent["recipients"]) == ("team", 1)
    assert ([each["body"] for each in read["messages"]], own["messages"]) == (["to all of us"], [])
    assert (left["changed"], left["members"]) == (True, 1)
    gone = await ann.call("msg_leave", group="taem")

    assert (gone["changed"], gone["note"]) == (False, "there is no group #taem; did you mean #team?")
    assert (alone["code"], unknown["code"], unknown["names"]) == ("empty_group", "unknown_group", ["team"])
    assert (as_text["code"], as_text["error"]) == (
        "bad_name",
        'to: several agents are a list, as in ["ada", "bob"], not a text with commas',
    )
    assert {each["error"] for each in asked} == {"to: a question goes to one agent; msg_send writes to several"}
