"""Reading: a lease and not a theft; in order, within bounds, every repeat labelled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from postino.broker import Broker
from postino.errors import UnknownMessage
from postino.model import Batch


def ids(batch: Batch) -> list[str]:
    return [each.id for each in batch.items]


def labels(batch: Batch) -> list[tuple[str, int, bool]]:
    return [(each.id, each.delivery, each.redelivered) for each in batch.items]


async def test_a_read_of_a_name_never_seen_is_empty(broker: Broker) -> None:
    batch = await broker.mail.read("nobody", "s1")

    assert (batch.items, batch.more, batch.agent) == ([], False, "nobody")


async def test_a_read_gives_the_oldest_first_up_to_its_limit_and_says_more(broker: Broker, send) -> None:
    for number in range(5):
        await send(broker, f"m{number}")

    first = await broker.mail.read("bob", "s1", limit=3)
    second = await broker.mail.read("bob", "s1", limit=3)

    assert (ids(first), first.more) == (["m0", "m1", "m2"], True)
    assert (ids(second), second.more) == (["m3", "m4"], False)
    assert labels(first) == [("m0", 1, False), ("m1", 1, False), ("m2", 1, False)]


async def test_a_leased_message_is_given_to_nobody_else(broker: Broker, send) -> None:
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")

    assert ids(await broker.mail.read("bob", "s2")) == []
    assert ids(await broker.mail.read("bob", "s1")) == []
    assert (await broker.agents.check("bob")).unread_messages == 0
    assert (await broker.agents.one("bob")).message_count == 1


async def test_a_lease_that_ended_passes_on_before_new_mail_and_is_labelled(open_broker, send, due) -> None:
    broker = await open_broker(message_lease=1)
    await send(broker, "m1")
    await send(broker, "m2")
    await broker.mail.read("bob", "s1")
    await due(broker)
    await send(broker, "m3")

    batch = await broker.mail.read("bob", "s2")

    assert labels(batch) == [("m1", 2, True), ("m2", 2, True), ("m3", 1, False)]


async def test_what_comes_back_comes_in_the_order_of_sending(broker: Broker, send) -> None:
    for number in range(4):
        await send(broker, f"m{number}")
    await broker.mail.read("bob", "s1")

    for id in ("m3", "m0", "m2"):
        await broker.mail.nack("bob", "s1", [id])

    assert ids(await broker.mail.read("bob", "s2")) == ["m0", "m2", "m3"]


async def test_a_limit_counts_repeats_and_new_messages_together(broker: Broker, send) -> None:
    for number in range(4):
        await send(broker, f"m{number}")
    await broker.mail.read("bob", "s1", limit=2)
    await broker.mail.nack("bob", "s1", ["m0", "m1"])

    batch = await broker.mail.read("bob", "s2", limit=3)

    assert labels(batch) == [("m0", 2, True), ("m1", 2, True), ("m2", 1, False)]
    assert batch.more


async def test_a_session_that_resumes_gets_its_own_open_messages_first(broker: Broker, send) -> None:
    for number in range(3):
        await send(broker, f"m{number}")
    await broker.mail.read("bob", "s1", limit=2)

    batch = await broker.mail.read("bob", "s1", resume=True)

    assert labels(batch) == [("m0", 1, True), ("m1", 1, True), ("m2", 1, False)]


async def test_a_session_that_resumes_does_not_get_what_another_holds(broker: Broker, send) -> None:
    await send(broker, "m1")
    await send(broker, "m2")
    await broker.mail.read("bob", "s1", limit=1)
    await broker.mail.read("bob", "s2", limit=1)

    assert ids(await broker.mail.read("bob", "s2", resume=True)) == ["m2"]


async def test_own_open_messages_come_before_own_lapsed_ones(open_broker, send, due) -> None:
    brief = await open_broker(message_lease=1)
    patient = await open_broker(message_lease=60)
    await send(brief, "m0")
    await send(brief, "m1")
    await brief.mail.read("bob", "s1")
    await patient.mail.extend("bob", "s1", ["m1"])
    await due(brief)  # until the lease of m0 is over

    batch = await patient.mail.read("bob", "s1", limit=1, resume=True)

    assert labels(batch) == [("m1", 1, True)]


@pytest.mark.parametrize("letter", ["é", "x"], ids=["of two bytes", "of one byte"])
async def test_a_budget_bounds_the_characters_of_one_read(broker: Broker, send, letter: str) -> None:
    for number in range(3):
        await send(broker, f"m{number}", body=letter * 40)

    first = await broker.mail.read("bob", "s1", budget=80)

    assert (ids(first), first.more) == (["m0", "m1"], True)
    assert ids(await broker.mail.read("bob", "s1", budget=100)) == ["m2"]


async def test_a_message_over_the_budget_comes_alone_and_whole(broker: Broker, send) -> None:
    await send(broker, "small")
    await send(broker, "large", body="😀" * 30_000)
    await send(broker, "last")

    reads = [await broker.mail.read("bob", "s1", budget=1000) for _ in range(3)]

    assert [ids(each) for each in reads] == [["small"], ["large"], ["last"]]
    assert len(reads[1].items[0].body) == 30_000


async def test_the_budget_holds_for_repeats_too_and_leases_only_what_it_gives(broker: Broker, send) -> None:
    for number in range(3):
        await send(broker, f"m{number}", body="x" * 40)
    await broker.mail.read("bob", "s1")
    await broker.mail.nack("bob", "s1", ["m0", "m1", "m2"])

    batch = await broker.mail.read("bob", "s2", budget=90)

    assert (ids(batch), batch.more) == (["m0", "m1"], True)
    assert (await broker.mail.state("bob", "m2")).state == "queued"


async def test_read_and_acknowledge_in_one_step_leaves_nothing_to_repeat(broker: Broker, send) -> None:
    await send(broker, "m1")
    await send(broker, "m2")

    batch = await broker.mail.read("bob", "s1", limit=1, ack_now=True)

    assert (ids(batch), batch.more) == (["m1"], True)
    state = await broker.mail.state("bob", "m1")
    assert (state.state, state.reader, state.deliveries) == ("acked", "s1", 1)
    assert (await broker.agents.one("bob")).message_count == 1


async def test_a_message_that_outlived_its_time_is_not_given_out(open_broker, send, eventually) -> None:
    broker = await open_broker(msg_ttl=1)
    await send(broker, "old")

    async def expired() -> bool:
        return (await broker.mail.state("bob", "old")).state == "expired"

    await eventually(expired, "the message is too old")
    await send(broker, "new")

    assert ids(await broker.mail.read("bob", "s1")) == ["new"]
    assert (await broker.agents.one("bob")).message_count == 1


async def test_an_expired_message_can_still_be_asked_for_when_others_were_sent_since(
    open_broker, send, eventually
) -> None:
    broker = await open_broker(msg_ttl=1)
    await send(broker, "old")

    async def expired() -> bool:
        return (await broker.mail.state("bob", "old")).state == "expired"

    await eventually(expired, "the message is too old")
    await broker.mail.read("bob", "s1")
    for number in range(20):  # each may sweep what is forgotten
        await send(broker, f"m{number}")

    state = await broker.mail.state("bob", "old")
    assert (state.state, state.reason) == ("expired", "ttl")


async def test_the_trace_of_a_message_goes_in_the_end(open_broker, send, eventually) -> None:
    broker = await open_broker(msg_ttl=1)
    await send(broker, "m1")
    await broker.mail.read("bob", "s1", ack_now=True)

    async def forgotten() -> bool:
        await broker.housekeeping.sweep()
        try:
            await broker.mail.state("bob", "m1")
        except UnknownMessage:
            return True
        return False

    await eventually(forgotten, "the id is forgotten")


async def test_a_leased_message_may_be_acknowledged_after_its_time(open_broker, send, eventually) -> None:
    broker = await open_broker(msg_ttl=1, message_lease=60)
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")
    await send(broker, "marker", to="other")

    async def marker_expired() -> bool:
        return (await broker.mail.state("other", "marker")).state == "expired"

    await eventually(marker_expired, "m1 has outlived its time too")

    assert (await broker.agents.check("bob")).unread_messages == 0
    assert (await broker.mail.state("bob", "m1")).state == "leased"
    assert (await broker.mail.ack("bob", "s1", ["m1"])).acknowledged == ["m1"]


async def test_a_leased_message_that_outlived_its_time_expires_with_its_lease(open_broker, send, eventually) -> None:
    broker = await open_broker(msg_ttl=1, message_lease=2)
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")

    async def expired() -> bool:
        return (await broker.mail.state("bob", "m1")).state == "expired"

    await eventually(expired, "time and lease are over")

    assert ids(await broker.mail.read("bob", "s2")) == []
    assert (await broker.agents.one("bob")).message_count == 0
    assert (await broker.mail.state("bob", "m1")).reason == "ttl"


async def test_a_read_says_how_long_its_lease_lasts(broker: Broker, send) -> None:
    await send(broker, "m1")

    batch = await broker.mail.read("bob", "s1")

    assert batch.lease.lease_ms == 120_000
    ends = (await broker.mail.state("bob", "m1")).lease_until
    assert ends is not None
    now = datetime.now(UTC)
    assert now + timedelta(seconds=118) < datetime.fromisoformat(ends) <= now + timedelta(seconds=120)


async def test_a_lease_undone_before_it_was_seen_is_no_delivery(broker: Broker, send) -> None:
    await send(broker, "m1")
    for _ in range(7):  # more often than it may be delivered
        batch = await broker.mail.read("bob", "s1")
        await broker.mail.undo_read("bob", "s1", ids(batch))

    assert labels(await broker.mail.read("bob", "s2")) == [("m1", 1, False)]


async def test_a_read_tells_what_the_reader_held_before(broker: Broker, send) -> None:
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")
    await send(broker, "m2")

    batch = await broker.mail.read("bob", "s1", resume=True)

    assert (labels(batch), batch.resumed) == ([("m1", 1, True), ("m2", 1, False)], 1)
    assert (await broker.mail.read("bob", "s2", resume=True)).resumed == 0


async def test_undoing_a_repeat_keeps_its_label(broker: Broker, send) -> None:
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")
    await broker.mail.nack("bob", "s1", ["m1"])
    await broker.mail.read("bob", "s1")
    await broker.mail.undo_read("bob", "s1", ["m1"])

    assert labels(await broker.mail.read("bob", "s2")) == [("m1", 2, True)]


async def test_a_read_by_a_former_name_reads_the_present_inbox(broker: Broker, send) -> None:
    await send(broker, "m1")
    await broker.agents.rename("bob", "robert")

    batch = await broker.mail.read("bob", "s1")

    assert (ids(batch), batch.agent) == (["m1"], "robert")
    assert batch.items[0].to == "robert"


@pytest.mark.parametrize("limit", [1, 7, 200])
async def test_reading_on_and_on_gives_everything_once(broker: Broker, send, limit: int) -> None:
    for number in range(30):
        await send(broker, f"m{number:02}")

    got = []
    more = True
    while more:
        batch = await broker.mail.read("bob", "s1", limit=limit)
        got += ids(batch)
        more = batch.more

    assert got == [f"m{number:02}" for number in range(30)]


async def test_an_inbox_that_somebody_deleted_reads_as_empty_and_takes_mail_again(broker: Broker, send) -> None:
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")
    await broker._store.call("DEL", broker._store.keys.of("inbox", "bob"))

    assert ids(await broker.mail.read("bob", "s2", resume=True)) == []
    await send(broker, "m2")
    assert ids(await broker.mail.read("bob", "s2")) == ["m2"]
