"""Giving back: at once or later, by the holder only, and the last time for good, with a word to the sender."""

from __future__ import annotations

import pytest

from postino.broker import Broker
from postino.broker.housekeeping import notice_id


async def kill(broker: Broker, agent: str, id: str) -> None:
    """Let a message die: read and give back until its deliveries are used up."""
    for _ in range(broker.settings.max_deliveries):
        await broker.mail.read(agent, "killer", limit=200)
        settled = await broker.mail.nack(agent, "killer", [id])
    assert settled.dead == [id]


async def inbox(broker: Broker, agent: str) -> list[tuple[str, str]]:
    return [(each.id, each.from_) for each in (await broker.mail.peek(agent, 50, 0))[0]]


async def test_a_message_given_back_is_there_at_once(broker: Broker, send) -> None:
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")

    settled = await broker.mail.nack("bob", "s1", ["m1"])

    assert (settled.acknowledged, settled.rejected, settled.dead) == (["m1"], [], [])
    assert (await broker.agents.check("bob")).unread_messages == 1
    assert (await broker.mail.state("bob", "m1")).state == "queued"
    assert [(each.id, each.delivery) for each in (await broker.mail.read("bob", "s2")).items] == [("m1", 2)]


async def test_a_delayed_message_waits_and_then_comes(broker: Broker, send, due) -> None:
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")
    await broker.mail.nack("bob", "s1", ["m1"], delay_ms=1000)

    assert (await broker.mail.read("bob", "s2")).items == []
    assert (await broker.agents.check("bob")).unread_messages == 0
    await due(broker)

    assert [each.id for each in (await broker.mail.read("bob", "s2")).items] == ["m1"]


@pytest.mark.parametrize("consumer", ["s2", "-", "#nobody"])
async def test_only_the_holder_gives_back(broker: Broker, send, consumer: str) -> None:
    await send(broker, "m1")
    await send(broker, "m2")
    await broker.mail.read("bob", "s1")
    await broker.mail.nack("bob", "s1", ["m2"])

    assert (await broker.mail.nack("bob", consumer, ["m1", "m2", "unknown"])).rejected == ["m1", "m2", "unknown"]
    assert (await broker.mail.state("bob", "m1")).state == "leased"


async def test_the_last_allowed_delivery_ends_in_the_dead_letters(open_broker, send) -> None:
    broker = await open_broker(max_deliveries=2)
    await send(broker, "poison", body="of no use", thread="t", reply_to="r")
    await send(broker, "good")

    await kill(broker, "bob", "poison")

    (letter,) = (await broker.dead.part("bob", 50)).items
    assert (letter.id, letter.reason, letter.delivery) == ("poison", "max_deliveries", 2)
    assert (letter.body, letter.thread, letter.reply_to, letter.from_) == ("of no use", "t", "r", "ci")
    assert (await broker.mail.state("bob", "poison")).state == "dead"
    assert [each.id for each in (await broker.mail.peek("bob", 50, 0))[0]] == ["good"]


async def test_a_read_buries_what_used_up_its_deliveries_and_gives_the_rest(open_broker, send, due) -> None:
    brief = await open_broker(max_deliveries=1, message_lease=1)
    broker = await open_broker(max_deliveries=1)
    await send(brief, "poison")
    await brief.mail.read("bob", "s1")
    await due(brief)
    await send(brief, "good")

    batch = await broker.mail.read("bob", "s2")

    assert [each.id for each in batch.items] == ["good"]
    assert [each.id for each in (await broker.dead.part("bob", 50)).items] == ["poison"]
    assert (await broker.mail.state("bob", "poison")).deliveries == 1


async def test_the_sender_of_a_dead_letter_is_told(open_broker, send, eventually) -> None:
    broker = await open_broker(max_deliveries=1)
    await broker.mail.read("alice", "s-alice")  # one that reads
    await send(broker, "m1", sender="alice")

    await kill(broker, "bob", "m1")

    async def told() -> list[tuple[str, str]]:
        return await inbox(broker, "alice")

    assert await eventually(told, "the notice is there") == [("dead:m1", "system")]
    notice = (await broker.mail.read("alice", "s-alice")).items[0]
    assert (notice.verified, notice.via, notice.reply_to) == (True, "system", "m1")
    assert "m1" in notice.body
    assert "bob" in notice.body


async def test_a_sender_that_never_read_is_not_told(open_broker, send, events, eventually) -> None:
    broker = await open_broker(max_deliveries=1)
    await broker.mail.read("reader", "s-reader")
    await send(broker, "m1", sender="curl")
    await send(broker, "m2", sender="reader")
    await broker.mail.read("bob", "killer")
    await broker.mail.nack("bob", "killer", ["m1", "m2"])

    async def told() -> list[tuple[str, str]]:
        return await inbox(broker, "reader")

    await eventually(told, "the other notice is there")
    assert await inbox(broker, "curl") == []
    assert [each.data["to"] for each in await events(broker, "msg_send")].count("curl") == 0


async def test_the_death_of_a_notice_is_told_to_nobody(open_broker, send, eventually) -> None:
    broker = await open_broker(max_deliveries=1)
    await broker.mail.read("alice", "s-alice")
    await broker.mail.read("system", "s-system")  # even if somebody read under that name
    await send(broker, "m1", sender="alice")
    await kill(broker, "bob", "m1")

    async def told() -> list[tuple[str, str]]:
        return await inbox(broker, "alice")

    await eventually(told, "the notice is there")
    await kill(broker, "alice", "dead:m1")

    await broker.housekeeping.send_notices()
    assert await broker.housekeeping._dead.notices() == []
    assert await inbox(broker, "system") == []


async def test_a_notice_that_a_crash_prevented_is_sent_by_the_next_daemon(open_broker, send, eventually) -> None:
    crashed = await open_broker(max_deliveries=1)
    await crashed.mail.read("alice", "s-alice")
    await crashed.housekeeping.close()
    await send(crashed, "m1", sender="alice")
    await kill(crashed, "bob", "m1")
    assert await inbox(crashed, "alice") == []

    broker = await open_broker(max_deliveries=1)

    async def told() -> list[tuple[str, str]]:
        return await inbox(broker, "alice")

    assert await eventually(told, "the notice is there") == [("dead:m1", "system")]


async def test_a_notice_that_was_sent_just_before_a_crash_is_not_sent_twice(open_broker, send, eventually) -> None:
    broker = await open_broker(max_deliveries=1)
    await broker.mail.read("alice", "s-alice")
    await send(broker, "m1", sender="alice")
    await kill(broker, "bob", "m1")

    async def told() -> bool:
        return await broker.housekeeping._dead.notices() == [] and await inbox(broker, "alice") != []

    await eventually(told, "the notice is there")
    await broker._store.call("HSET", broker._store.keys.shared("notices"), "bob m1", "alice")  # as a crash leaves it
    await broker.housekeeping.send_notices()

    assert await inbox(broker, "alice") == [("dead:m1", "system")]
    assert await broker.housekeeping._dead.notices() == []


async def test_each_death_of_a_message_is_told(open_broker, send) -> None:
    broker = await open_broker(max_deliveries=1)
    await broker.mail.read("alice", "s-alice")
    await send(broker, "m1", sender="alice")

    for _ in range(3):
        await kill(broker, "bob", "m1")
        await broker.housekeeping.send_notices()
        await broker.dead.requeue("bob", None)

    assert [id for id, _ in await inbox(broker, "alice")] == ["dead:m1", "dead:m1:2", "dead:m1:3"]


async def test_a_last_delivery_that_nobody_acknowledged_ends_without_another_read(
    open_broker, send, eventually
) -> None:
    broker = await open_broker(max_deliveries=1, message_lease=1)
    await broker.mail.read("alice", "s-alice")
    await send(broker, "m1", sender="alice")
    await broker.mail.read("bob", "s-bob")

    async def told() -> list[tuple[str, str]]:
        return await inbox(broker, "alice")

    assert await eventually(told, "the sender is told", 12) == [("dead:m1", "system")]
    assert (await broker.agents.check("bob")).unread_messages == 0
    assert (await broker.mail.state("bob", "m1")).state == "dead"


async def test_an_inbox_that_another_program_has_spoilt_stops_no_other_chore(open_broker, send, eventually) -> None:
    broker = await open_broker(max_deliveries=1)
    for sender in ("alice", "carol"):
        await broker.mail.read(sender, f"s-{sender}")
        await send(broker, f"m-{sender}", sender=sender)
    keys = broker._store.keys
    await broker._store.call("SET", keys.of("inbox", "alice"), "spoilt")
    await broker._store.call("SET", keys.of("inbox", "aaron"), "spoilt")
    await broker._store.call("HSET", keys.shared("agents"), "aaron", '{"since":1,"seen":1}')
    await kill(broker, "bob", "m-alice")
    await broker.mail.read("bob", "killer")
    await broker.mail.nack("bob", "killer", ["m-carol"])

    await broker.housekeeping.send_notices()
    await broker.housekeeping.sweep()

    assert await inbox(broker, "carol") == [("dead:m-carol", "system")]
    assert [(each.id, each.sender) for each in await broker.housekeeping._dead.notices()] == [("m-alice", "alice")]


async def test_a_notice_waits_for_room_in_a_full_inbox(open_broker, send, eventually) -> None:
    broker = await open_broker(max_deliveries=1, max_inbox=1)
    await send(broker, "first", to="alice")
    await broker.mail.read("alice", "s-alice")  # leased: it still fills the inbox
    await send(broker, "m1", sender="alice")
    await kill(broker, "bob", "m1")
    await broker.housekeeping.send_notices()
    assert await inbox(broker, "alice") == [("first", "ci")]

    await broker.mail.ack("alice", "s-alice", ["first"])
    await broker.housekeeping.send_notices()

    assert await inbox(broker, "alice") == [("dead:m1", "system")]


async def test_two_deaths_of_one_id_in_two_inboxes_are_both_told(open_broker, send) -> None:
    broker = await open_broker(max_deliveries=1)
    await broker.mail.read("alice", "s-alice")
    for agent in ("bob", "carol"):
        await send(broker, "m1", to=agent, sender="alice")
        await kill(broker, agent, "m1")

    await broker.housekeeping.send_notices()

    bodies = [each.body for each in (await broker.mail.read("alice", "s-alice")).items]
    assert len(bodies) == 2
    assert sum("to bob" in body for body in bodies) == 1
    assert sum("to carol" in body for body in bodies) == 1


async def test_a_renamed_sender_is_told_under_its_present_name(open_broker, send) -> None:
    broker = await open_broker(max_deliveries=1)
    await broker.mail.read("alice", "s-alice")
    await send(broker, "m1", sender="alice")
    await broker.agents.rename("alice", "alicia")
    await kill(broker, "bob", "m1")

    await broker.housekeeping.send_notices()

    assert await inbox(broker, "alicia") == [("dead:m1", "system")]


def test_the_notice_on_the_longest_id_has_a_valid_id() -> None:
    assert notice_id("m1") == "dead:m1"
    assert notice_id("x" * 123) == "dead:" + "x" * 123
    assert len(notice_id("x" * 128)) <= 128
    assert notice_id("x" * 128) != notice_id("x" * 127 + "y")


async def test_the_dead_letters_keep_as_many_as_an_inbox_and_say_which_left(open_broker, send, events) -> None:
    broker = await open_broker(max_deliveries=1, max_inbox=2)
    for number in range(3):
        await send(broker, f"m{number}")
        await kill(broker, "bob", f"m{number}")

    found = await broker.dead.part("bob", 50)

    assert ([each.id for each in found.items], found.total) == (["m1", "m2"], 2)
    assert (await broker.mail.state("bob", "m0")).reason == "dead_letters_full"
    assert [each.data["id"] for each in await events(broker, "msg_expired")] == ["m0"]
