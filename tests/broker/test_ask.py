"""Ask and wait: the first message that answers by its id is the reply, and counts as read by whoever waited."""

from __future__ import annotations

import asyncio

import pytest

from postino.errors import BadField, InboxFull, KeyReused
from postino.model import Draft, Sender

ANN, BOB, EVE = (Sender(name=name, via="mcp", verified=True) for name in ("ann", "bob", "eve"))


async def asked(broker, id: str = "q1", *, to: str = "bob", sender: Sender = ANN, **more):
    return await broker.asks.send(Draft(id=id, to=to, body="who?", **more), sender)


def taker(broker, agent: str = "ann", consumer: str = "c-ann", **how):
    async def take(id: str):
        return (await broker.mail.take(agent, consumer, id, **how))[1]

    return take


def waiting(broker, ask, seconds: float = 20, **how) -> asyncio.Task:
    return asyncio.create_task(ask.reply(seconds, taker(broker, **how)))


async def answer(broker, id: str, answered: str = "q1", *, sender: Sender = BOB, to: str | None = None) -> None:
    await broker.mail.send(Draft(id=id, to=to, body=f"body of {id}", reply_to=answered), sender)


async def unread(broker, agent: str = "ann") -> int:
    return (await broker.agents.check(agent)).unread_messages


async def test_the_reply_ends_the_wait_and_is_leased_to_whoever_waited(broker) -> None:
    ask = await asked(broker, thread="Red build")
    wait = waiting(broker, ask)
    await answer(broker, "r1")

    reply = await wait

    assert (reply.id, reply.from_, reply.thread, reply.redelivered) == ("r1", "bob", "Red build", False)
    assert (await unread(broker), (await broker.mail.state("ann", "r1")).state) == (0, "leased")
    assert (await broker.mail.read("bob", "c")).items[0].expects == "reply"
    assert (await broker.mail.ack("ann", "c-ann", ["r1"])).acknowledged == ["r1"]


async def test_a_reply_that_comes_before_the_wait_begins_does_not_slip_by(broker) -> None:
    ask = await asked(broker)
    await answer(broker, "r1")
    assert (await waiting(broker, ask)).id == "r1"


async def test_a_script_may_have_it_acknowledged_in_the_same_step(broker) -> None:
    ask = await asked(broker)
    await answer(broker, "r1")
    assert (await waiting(broker, ask, ack_now=True)).id == "r1"
    assert (await broker.mail.state("ann", "r1")).state == "acked"


async def test_without_a_reply_in_time_the_answer_says_so_and_a_late_one_is_ordinary_mail(broker) -> None:
    ask = await asked(broker)
    assert await waiting(broker, ask, seconds=0.05) is None
    said = ask.answer(None)
    assert said.reply is None and "it will come as ordinary mail" in said.note

    await answer(broker, "late")
    assert [each.id for each in (await broker.mail.read("ann", "c")).items] == ["late"]


async def test_the_first_of_two_replies_is_the_reply_and_the_second_is_mail(broker) -> None:
    ask = await asked(broker)
    for id in ("r1", "r2"):
        await answer(broker, id)
    assert (await waiting(broker, ask)).id == "r1"
    assert [each.id for each in (await broker.mail.read("ann", "c")).items] == ["r2"]


async def test_one_message_answers_one_of_two_asks(broker) -> None:
    first, second = await asked(broker, "q1"), await asked(broker, "q2")
    waits = waiting(broker, first, seconds=0.3), waiting(broker, second)
    await answer(broker, "r2", "q2")
    assert [each and each.id for each in await asyncio.gather(*waits)] == [None, "r2"]


async def test_other_mail_neither_ends_the_wait_nor_loses_its_place(broker, send) -> None:
    """What waits before the reply was not delivered by that: it is read first, in order, not labelled, hinted once."""
    for id in ("m1", "m2"):
        await send(broker, id, to="ann")
    told = await broker.claude.unnotified("ann", "host:1:1", "")
    await broker.claude.mark_notified(told, "host:1:1", "", broadcasts=True, how="hook")
    ask = await asked(broker)
    wait = waiting(broker, ask)
    await send(broker, "m3", to="ann", reply_to="something-else")
    await answer(broker, "r1")
    await send(broker, "m4", to="ann")

    assert (await wait).id == "r1"
    assert await unread(broker) == 4
    assert (await broker.claude.unnotified("ann", "host:1:1", "")).new_ids == ["m3", "m4"]
    items = (await broker.mail.read("ann", "c")).items
    assert [(each.id, each.delivery, each.redelivered) for each in items] == [
        (id, 1, False) for id in ("m1", "m2", "m3", "m4")
    ]


async def test_a_reply_given_back_is_read_by_the_next_reader_and_labelled(broker) -> None:
    ask = await asked(broker)
    await answer(broker, "r1")
    await waiting(broker, ask)
    await broker.mail.nack("ann", "c-ann", ["r1"])
    (item,) = (await broker.mail.read("ann", "c")).items
    assert (item.id, item.delivery, item.redelivered) == ("r1", 2, True)


async def test_the_same_ask_under_its_id_waits_on_and_is_stored_once(broker) -> None:
    assert await waiting(broker, await asked(broker), seconds=0.05) is None

    again = await asked(broker)
    waits = asyncio.ensure_future(waiting(broker, again))
    await asyncio.sleep(0.1)  # long enough for a look at what is there
    assert not waits.done()
    await answer(broker, "r1")

    assert (again.sent.created, (await waits).id) == (False, "r1")
    assert await broker.mail.length("bob") == 1
    with pytest.raises(KeyReused):
        await broker.asks.send(Draft(id="q1", to="bob", body="other"), ANN)


async def test_a_reply_whose_answer_was_lost_is_given_again_to_who_repeats_the_ask(broker) -> None:
    await answer_lost(broker, ack_now=True)
    again = await waiting(broker, await asked(broker), seconds=600)  # at once: the test would not last so long
    assert (again.id, again.redelivered) == ("r1", True)
    assert await unread(broker) == 0


async def answer_lost(broker, **how) -> None:
    ask = await asked(broker)
    await answer(broker, "r1")
    assert (await waiting(broker, ask, **how)).id == "r1"


async def test_a_reply_that_another_reader_took_is_shown_and_labelled(broker) -> None:
    ask = await asked(broker)
    await answer(broker, "r1")
    await broker.mail.read("ann", "another")
    reply = await waiting(broker, ask, seconds=0.05)
    assert (reply.id, reply.redelivered) == ("r1", True)
    assert (await broker.mail.ack("ann", "another", ["r1"])).acknowledged == ["r1"]


async def test_the_wait_follows_the_asker_to_a_new_name(broker, send) -> None:
    await broker.mail.read("ann", "c")
    ask = await asked(broker)
    wait = waiting(broker, ask, agent="anna")
    await asyncio.sleep(0)
    await broker.agents.rename("ann", "anna")
    await answer(broker, "r1")
    assert (await wait).id == "r1"


async def test_an_end_of_the_wait_takes_nothing(broker) -> None:
    ask, end = await asked(broker), asyncio.get_running_loop().create_future()
    wait = asyncio.create_task(ask.reply(20, taker(broker), end))
    end.set_result(None)
    assert await wait is None
    await answer(broker, "r1")
    assert await unread(broker) == 1


async def test_the_reply_may_come_by_another_daemon(open_broker) -> None:
    one = await open_broker()
    other = await open_broker(key_prefix=one.settings.key_prefix)
    ask = await asked(one)
    wait = waiting(one, ask)
    await answer(other, "r1")
    assert (await wait).id == "r1"


async def test_an_ask_to_oneself_is_refused_under_any_of_ones_names(broker) -> None:
    await broker.mail.read("ann", "c")
    await broker.agents.rename("ann", "anna")
    for to in ("ann", "anna"):
        with pytest.raises(BadField, match="wait for itself"):
            await asked(broker, to=to)
    assert await broker.mail.length("anna") == 0


async def test_an_ask_that_wants_no_reply_contradicts_itself(broker) -> None:
    with pytest.raises(BadField, match="contradicts"):
        await asked(broker, expects="none")


async def test_an_ask_that_is_refused_stores_nothing(open_broker, send) -> None:
    broker = await open_broker(max_inbox=1)
    await send(broker, "m1")
    with pytest.raises(InboxFull):
        await asked(broker)


async def test_a_message_that_has_ended_cannot_be_taken(broker, send) -> None:
    await send(broker, "m1")
    await broker.mail.clear("bob")
    for id in ("m1", "never"):
        assert await broker.mail.take("bob", "c", id) == ("bob", None)


async def test_two_that_take_the_same_message_at_once_get_it_once(broker, send) -> None:
    await send(broker, "m1")
    got = await asyncio.gather(*(broker.mail.take("bob", f"c{number}", "m1") for number in range(8)))
    assert len([each for _, each in got if each]) == 1


async def test_a_taken_message_whose_lease_ends_is_read_again(open_broker, send, due) -> None:
    broker = await open_broker(message_lease=1)
    await send(broker, "m1")
    await send(broker, "m2")
    await broker.mail.take("bob", "c1", "m2")
    assert [each.id for each in (await broker.mail.read("bob", "c2")).items] == ["m1"]
    await broker.mail.ack("bob", "c2", ["m1"])
    await due(broker)
    (item,) = (await broker.mail.read("bob", "c2")).items
    assert (item.id, item.redelivered) == ("m2", True)
