"""The end of a connection, and of a call that is cancelled: what was read goes back, and nothing is half done."""

from __future__ import annotations

import asyncio
from typing import Any

from postino.broker import Hello
from postino.broker.mail import Mail
from postino.mcp.session import Session
from postino.model import BroadcastDraft
from tests.mcp.mail import ALICE
from tests.mcp.sessions import ids, is_state, mail, states
from tests.waiting import eventually


async def test_the_end_of_a_connection_gives_back_at_once_and_the_next_reader_sees_the_repeat(broker, connect):
    await mail(broker, "m1")
    bob = await connect("bob")
    assert not (await bob.call("msg_read"))["messages"][0]["redelivered"]
    await bob.close()
    assert await states(broker, "m1") == ["queued"]
    (again,) = (await (await connect("bob")).call("msg_read"))["messages"]
    assert (again["id"], again["delivery"], again["redelivered"]) == ("m1", 2, True)


async def test_an_agent_is_offline_as_soon_as_its_connection_ends(broker, connect):
    bob = await connect("bob")
    assert (await broker.agents.one("bob")).online
    await bob.close()
    assert not (await broker.agents.one("bob")).online


async def test_the_end_of_an_old_connection_undoes_nothing_of_a_new_one(broker, connect):
    await mail(broker, "m1")
    old = await connect("bob", session="s-same", generation=1)
    new = await connect("bob", session="s-same", generation=2)
    await new.call("msg_read")
    await old.close()
    assert await states(broker, "m1") == ["leased"]
    assert (await broker.agents.one("bob")).online


async def test_the_end_of_an_old_connection_gives_back_nothing_that_the_new_one_was_given(broker, connect):
    await mail(broker, "m1")
    old = await connect("bob", session="s-same", generation=1)
    await old.answer(old.tool("msg_read"))  # and is not written to the client any more
    new = await connect("bob", session="s-same", generation=2)
    assert (await new.call("msg_read"))["messages"]
    await old.close()
    assert await states(broker, "m1") == ["leased"]
    await new.think()
    await new.call("msg_check")
    await eventually(lambda: is_state(broker, "m1", "acked"))


async def test_a_new_connection_of_a_session_gets_again_what_the_old_one_held(broker, connect):
    await mail(broker, "m1")
    old = await connect("bob", session="s-same", generation=1)
    await old.call("msg_read")
    new = await connect("bob", session="s-same", generation=2)
    (again,) = (await new.call("msg_read"))["messages"]
    assert (again["id"], again["redelivered"]) == ("m1", True)


async def test_cancelling_a_read_under_way_gives_back_what_it_got(broker, connect):
    await mail(broker, "m1")
    bob = await connect("bob")
    read = bob.tool("msg_read")
    bob.notify("notifications/cancelled", {"requestId": read})
    await bob.ask("ping")
    await eventually(lambda: is_state(broker, "m1", "queued"))
    assert read not in bob.came
    (again,) = (await bob.call("msg_read"))["messages"]
    assert (again["id"], again["delivery"]) == ("m1", 1)


async def test_a_read_that_is_cancelled_at_any_moment_is_given_again(broker, connect):
    bob = await connect("bob")
    for number in range(150):
        await mail(broker, f"m{number}")
        read = bob.tool("msg_read")
        for _ in range(number % 50):  # turns of the loop: from before the read to after its answer
            await asyncio.sleep(0)
        bob.notify("notifications/cancelled", {"requestId": read if number % 2 else str(read)})
        await bob.ask("ping")
        if read in bob.came:
            bob.written(read)
        await bob.think()
        (again,) = (await bob.call("msg_read"))["messages"]
        assert again["id"] == f"m{number}"
        await bob.call("msg_ack", ids=[again["id"]])


async def test_a_read_that_is_cancelled_when_it_is_done_but_not_answered_is_given_back(broker):
    await mail(broker, "m1")
    session = Session(broker, Hello(session="s-1", generation=1, name="bob"))
    done = asyncio.Event()

    async def read() -> None:
        await session.read(7, 5, 1000)
        done.set()

    session.request_arrived(7)
    reading = asyncio.create_task(session.run(7, read()))
    await done.wait()  # the next turn of the loop: `run` has not returned yet

    session.request_cancelled(7)
    await reading
    session.answer_written(7)
    await asyncio.sleep(0.06)
    session.request_arrived(8)
    await session.close()

    assert await states(broker, "m1") == ["queued"]


async def test_cancelling_a_read_before_its_answer_reached_the_client_gives_back_and_labels_the_repeat(broker, connect):
    await mail(broker, "m1")
    bob = await connect("bob")
    read = bob.tool("msg_read")
    await bob.answer(read)
    bob.notify("notifications/cancelled", {"requestId": read})
    await eventually(lambda: is_state(broker, "m1", "queued"))
    (again,) = (await bob.call("msg_read"))["messages"]
    assert (again["id"], again["delivery"], again["redelivered"]) == ("m1", 2, True)


async def test_a_cancel_of_what_was_answered_already_means_nothing(broker, connect):
    await mail(broker, "m1")
    await broker.broadcasts.broadcast(BroadcastDraft(id="b1", body="one"), ALICE)
    bob = await connect("bob")
    for tool in ("msg_read", "msg_broadcasts"):
        call = bob.tool(tool)
        await bob.answer(call)
        bob.written(call)
        bob.notify("notifications/cancelled", {"requestId": call})
    assert (await bob.call("msg_read"))["messages"] == []
    await bob.think()
    await bob.call("msg_check")
    assert await states(broker, "m1") == ["acked"]
    assert (await broker.agents.check("bob")).unseen_broadcasts == 0


async def test_a_read_right_after_a_cancelled_one_waits_for_what_that_gives_back(broker, connect, monkeypatch):
    real = Mail.nack

    async def slow(self: Mail, *given: Any, **more: Any) -> Any:
        await asyncio.sleep(0.2)
        return await real(self, *given, **more)

    monkeypatch.setattr(Mail, "nack", slow)
    await mail(broker, "m1")
    bob = await connect("bob")
    read = bob.tool("msg_read")
    await bob.answer(read)
    bob.notify("notifications/cancelled", {"requestId": read})

    assert ids(await bob.call("msg_read")) == ["m1"]


async def test_a_cancelled_send_is_carried_out_or_not_but_never_half(broker, connect):
    bob = await connect("bob")
    for number in range(20):
        send = bob.tool("msg_send", to="carol", body="x", id=f"c{number}")
        bob.notify("notifications/cancelled", {"requestId": send})
    await bob.call("msg_check")
    await bob.close()
    stored, total = await broker.mail.peek("carol", 200, 0)
    assert len(stored) == total
    for each in stored:
        assert (await broker.mail.state("carol", each.id)).state == "queued"
