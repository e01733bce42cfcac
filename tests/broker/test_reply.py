"""A reply names the message it answers, not its recipient; a title names a thread; a message may want no reply."""

from __future__ import annotations

import msgspec
import pytest

from postino.broker.history_filter import Search
from postino.errors import BadField, KeyReused, UnknownMessage
from postino.model import Draft, Sender
from postino.several import ManyDraft


async def reply(broker, answered: str, *, sender: str = "bob", id: str = "r1", **more):
    draft = Draft(id=id, body="yes", reply_to=answered, **more)
    return await broker.mail.send(draft, Sender(name=sender, via="http"))


async def test_a_reply_goes_to_the_sender_in_the_thread_of_the_message(broker, send) -> None:
    await send(broker, "q1", sender="ann", thread="Red build: who?")

    sent = await reply(broker, "q1")

    (got,) = (await broker.mail.read("ann", "c1")).items
    assert (sent.to, got.reply_to, got.thread, got.from_) == ("ann", "q1", "Red build: who?", "bob")


async def test_a_reply_finds_its_message_after_it_was_read_acknowledged_or_given_up(broker, send) -> None:
    for id in ("q1", "q2"):
        await send(broker, id, sender="ann", thread=f"thread of {id}")
    await broker.mail.read("bob", "c1", limit=1, ack_now=True)
    await broker.mail.clear("bob")

    for id in ("q1", "q2"):
        await reply(broker, id, id=f"r-{id}")

    assert [each.thread for each in (await broker.mail.read("ann", "c1")).items] == ["thread of q1", "thread of q2"]


async def test_a_thread_that_the_reply_names_wins(broker, send) -> None:
    await send(broker, "q1", sender="ann", thread="old")
    await reply(broker, "q1", thread="new")
    assert (await broker.mail.read("ann", "c1")).items[0].thread == "new"


async def test_a_reply_follows_both_parties_to_their_new_names(broker, send) -> None:
    await send(broker, "q1", sender="ann")
    await reply(broker, "q1", id="r0")  # both are known now
    await broker.agents.rename("ann", "anna")
    await broker.agents.rename("bob", "bert")

    assert (await reply(broker, "q1", sender="bert")).to == "anna"
    assert (await reply(broker, "q1", sender="bob", id="r2")).to == "anna"


async def test_a_repeated_reply_is_stored_once(broker, send) -> None:
    await send(broker, "q1", sender="ann", thread="t")
    first, again = await reply(broker, "q1"), await reply(broker, "q1")
    assert (first.created, again.created, first.seq) == (True, False, again.seq)
    with pytest.raises(KeyReused):
        await reply(broker, "q1", expects="none")


async def test_a_further_answer_to_one_message_is_said_to_be_one(broker, send) -> None:
    await send(broker, "q1", sender="ann")
    first, again = await reply(broker, "q1"), await reply(broker, "q1")
    second = await reply(broker, "q1", id="r2", to="ann")
    await send(broker, "q2", sender="ann")

    assert (first.note, again.note) == (msgspec.UNSET, msgspec.UNSET)
    assert second.note == "a further answer: you have answered q1 before, by r1"
    assert (await reply(broker, "q2", id="r3")).note is msgspec.UNSET
    assert (await reply(broker, "q1", id="r4", to="eve")).note is msgspec.UNSET  # to somebody else
    many = ManyDraft(to=["eve", "ann"], draft=Draft(id="r5", to="eve", body="yes", reply_to="q1"))
    assert "q1 before, by r4" in str((await broker.groups.send_many(many, Sender(name="bob", via="http"))).note)


async def test_of_several_recipients_each_may_answer_once_and_of_all_people_one(broker) -> None:
    for name in ("lea", "mia"):
        await broker.people.register(name)
    ann = Sender(name="ann", via="http")
    await broker.groups.send_many(ManyDraft(to=["bob", "eve"], draft=Draft(id="q1", to="bob", body="?")), ann)
    await broker.mail.send(Draft(id="q2", to="human", body="?"), ann)

    for name in ("bob", "eve"):
        assert (await reply(broker, "q1", sender=name, id=f"r-{name}")).note is msgspec.UNSET
    assert (await reply(broker, "q2", sender="lea", id="r-lea")).note is msgspec.UNSET
    assert (await reply(broker, "q2", sender="mia", id="r-mia")).note == (
        "a further answer: lea has answered q2 before, by r-lea"
    )


async def test_a_reply_to_an_id_that_the_sender_never_got_is_refused(broker, send) -> None:
    await send(broker, "mine", to="bob", sender="ann")
    for sender, id in (("bob", "no-such"), ("eve", "mine")):
        with pytest.raises(UnknownMessage, match=f"no message {id} is known in the inbox of {sender}.*`to`") as refused:
            await reply(broker, id, sender=sender)
        assert refused.value.detail["field"] == "reply_to"
    assert await broker.mail.length("ann") == 0


@pytest.mark.parametrize("sender", ["anonymous", "system"])
async def test_a_reply_to_nobody_is_refused(broker, send, sender) -> None:
    await send(broker, "q1", sender=sender)
    with pytest.raises(BadField, match=f"the sender of q1 is {sender}, who has no inbox"):
        await reply(broker, "q1")


async def test_a_reply_to_a_broadcast_is_refused(broker, say) -> None:
    await say(broker, "b1")
    with pytest.raises(BadField, match="b1 is a broadcast"):
        await reply(broker, "b1")


async def test_a_reply_with_a_recipient_may_name_any_message(broker, send) -> None:
    """As before: what it answers may be known to the recipient alone, or have come another way."""
    assert (await send(broker, "r1", to="ann", sender="bob", reply_to="JIRA-12")).created


async def test_a_reply_with_a_recipient_stays_in_the_thread_of_a_message_that_its_sender_got_or_sent_there(
    broker, send
) -> None:
    await send(broker, "q1", sender="ann", thread="t")
    await broker.people.register("lea")
    await send(broker, "q2", to="human", sender="ann", thread="for people")

    await reply(broker, "q1", to="ann", id="r1")
    await reply(broker, "q1", to="ann", id="r2", thread="own")
    await reply(broker, "q1", to="bob", sender="ann", id="r3")  # a further word about her own question
    await reply(broker, "q1", to="bob", sender="eve", id="r4")  # who has nothing to do with it
    await reply(broker, "q2", to="ann", sender="lea", id="r5")
    many = ManyDraft(to=["ann", "eve"], draft=Draft(id="r6", to="ann", body="yes", reply_to="q1"))
    await broker.groups.send_many(many, Sender(name="bob", via="http"))
    ask = await broker.asks.send(Draft(id="r7", to="ann", body="why?", reply_to="q1"), Sender(name="bob", via="http"))

    assert ask.sent.created
    found = {each.id: each.thread for each in (await broker.history.search()).items}
    assert found == {
        "q1": "t", "q2": "for people",
        "r1": "t", "r2": "own", "r3": "t", "r4": None, "r5": "for people", "r6": "t", "r7": "t",
    }  # fmt: skip
    assert not (await reply(broker, "q1", to="ann", id="r1")).created


async def test_a_repeated_reply_is_stored_once_whatever_is_known_of_its_message_by_then(broker, send) -> None:
    await send(broker, "q1", sender="ann", thread="t")
    await reply(broker, "q1", to="ann")
    await broker._store.call("DEL", broker._store.keys.of("index", "bob"))  # as after its time
    await reply(broker, "q2", to="ann", id="r2")
    await send(broker, "q2", sender="ann", thread="late")

    for answered, id in (("q1", "r1"), ("q2", "r2")):
        assert not (await reply(broker, answered, to="ann", id=id)).created
        for other in ({"expects": "none"}, {"thread": "other"}):
            with pytest.raises(KeyReused):
                await reply(broker, answered, to="ann", id=id, **other)
    assert [each.thread for each in (await broker.mail.read("ann", "c1")).items] == ["t", None]


async def test_a_renamed_sender_of_a_message_stays_in_its_thread(broker, send) -> None:
    await send(broker, "q1", sender="ann", thread="t")
    await send(broker, "x", to="ann", sender="bob")
    await broker.agents.rename("ann", "anna")

    await reply(broker, "q1", to="bob", sender="anna")

    assert (await broker.history.search(Search(id="r1"))).items[0].thread == "t"


@pytest.mark.parametrize("wrong", ["", " a", "a ", "a\nb", "a\tb", "x" * 121, "a\x1bb", "a\u202eb", "\u3000"])
def test_a_title_is_one_line_of_text(wrong: str) -> None:
    with pytest.raises(BadField) as refused:
        Draft(id="m1", to="bob", body="x", thread=wrong)
    assert refused.value.detail["field"] == "thread"


async def test_what_a_sender_expects_stays_with_the_message(broker, send) -> None:
    await send(broker, "m1", sender="ann", expects="none")
    await send(broker, "m2", sender="ann")

    first, second = (await broker.mail.read("bob", "c1")).items
    found = {each.id: each.expects for each in (await broker.history.search(Search(agent="bob"))).items}

    assert (first.expects, bool(second.expects)) == ("none", False)
    assert found["m1"] == "none" and not found["m2"]
    assert not first.altered


@pytest.mark.parametrize("opened", (True, False))
async def test_a_person_answers_what_was_sent_to_all_people(broker, send, opened: bool) -> None:
    await broker.people.register("Dan")
    await send(broker, "q1", to="human", sender="ann", thread="t")
    if opened:
        await broker.people.seen("dan", ["q1"])

    await reply(broker, "q1", sender="dan")

    (got,) = (await broker.mail.read("ann", "c1")).items
    assert (got.reply_to, got.thread) == ("q1", "t")
    with pytest.raises(UnknownMessage):  # an agent got no such message
        await reply(broker, "q1", id="r2")


async def test_a_person_answers_an_open_message_whose_id_is_forgotten(broker, send) -> None:
    await broker.people.register("Dan")
    await send(broker, "q1", to="Dan", sender="ann", thread="t")
    await broker.people.seen("dan", ["q1"])
    await broker._store.call("HDEL", broker._store.keys.of("index", "Dan"), "q1")

    assert (await reply(broker, "q1", sender="dan")).to == "ann"
    assert (await broker.mail.read("ann", "c1")).items[0].thread == "t"
