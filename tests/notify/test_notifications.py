"""People are notified of what needs one of them: once, gathered, at most six times an hour, by one daemon."""

from __future__ import annotations

import asyncio
import sys

import pytest

from postino.errors import BadField, TooFast
from postino.model import Draft, Sender
from postino.notify import notifications
from postino.notify.messenger import Messenger
from tests.notify.ntfy import Ntfy
from tests.waiting import eventually


async def test_a_dead_letter_is_told_once_with_names_a_count_and_a_link(broker, notifier, ntfy) -> None:
    one = notifier(broker)
    await one.look()
    await one.dies("m1", to="poison")
    await one.dies("m2", to="poison")

    await one.look()
    await one.look()

    assert [(each["title"], each["message"]) for each in ntfy.received] == [
        ("postino: 2 dead letters", "poison: 2 dead letters\nhttp://localhost:3333/")
    ]
    assert "the body" not in str(ntfy.received)


async def test_what_died_before_the_first_start_is_not_told(broker, notifier, ntfy) -> None:
    await notifier(broker).dies("m1")

    await notifier(broker).look()

    assert ntfy.tried == 0


async def test_an_agent_that_does_not_read_is_told_once_until_it_has_read(broker, notifier, ntfy) -> None:
    one = notifier(broker, stuck=0.001)
    ci = Sender(name="ci", via="http")
    for id in ("m1", "m2"):
        await broker.mail.send(Draft(id=id, to="backend", body="the body"), ci)
    await asyncio.sleep(0.002)
    await broker.housekeeping.sweep()
    await one.look()
    await one.look()

    assert [each["title"] for each in ntfy.received] == ["postino: 1 agent with unread mail"]
    assert ntfy.received[0]["message"].startswith("backend: 2 messages wait, the oldest for 0 min\n")

    await broker.mail.read("backend", "s-1", ack_now=True)
    await broker.housekeeping.sweep()
    await one.look()
    await broker.mail.send(Draft(id="m3", to="backend", body="the body"), ci)
    await asyncio.sleep(0.002)
    await broker.housekeeping.sweep()
    await one.look()

    assert [each["message"].partition(",")[0] for each in ntfy.received[1:]] == ["backend: 1 message waits"]


async def test_mail_that_a_session_holds_is_read(broker, notifier, ntfy) -> None:
    one = notifier(broker, stuck=0.001)
    await broker.mail.send(Draft(id="m1", to="backend", body="x"), Sender(name="ci", via="http"))
    await broker.mail.read("backend", "s-1")
    await asyncio.sleep(0.002)
    await broker.housekeeping.sweep()
    await one.look()

    assert ntfy.tried == 0


async def test_refusals_of_the_loop_guard_are_told(open_broker, notifier, ntfy) -> None:
    broker = await open_broker(send_rate=1)
    one = notifier(broker)
    await one.look()
    ada = Sender(name="ada", via="mcp", verified=True)
    await broker.mail.send(Draft(id="m0", to="bob", body="x"), ada)
    with pytest.raises(TooFast):
        await broker.mail.send(Draft(id="m1", to="bob", body="x"), ada)
    await eventually(lambda: "too_fast" in one.seen)
    await one.look()

    assert ntfy.received[0]["title"] == "postino: 1 agent sending too fast"
    assert ntfy.received[0]["message"].startswith("ada: 1 message refused, sent too fast\n")


async def test_of_seven_occasions_in_an_hour_six_are_told_and_the_last_one_later(broker, notifier, ntfy) -> None:
    one = notifier(broker)
    await one.look()
    for number in range(7):
        await one.dies(f"m{number}", to=f"agent-{number}")
        await one.look()
    await one.dies("m7", to="agent-6")
    await one.look()

    assert [each["message"].partition(":")[0] for each in ntfy.received] == [f"agent-{number}" for number in range(6)]

    await notifier(broker, hour=0.001).look()  # as if an hour had passed

    assert ntfy.received[6]["message"].startswith("agent-6: 2 dead letters\n")
    assert len(ntfy.received) == 7


async def test_what_follows_within_the_time_of_gathering_is_told_in_one(broker, notifier, ntfy) -> None:
    one = notifier(broker, gather=30)
    await one.look()
    for number in range(8):
        await one.dies(f"m{number}", to=f"agent-{number}")
        await one.look()
    assert ntfy.tried == 0

    one.notifications._gathering_since = 0  # as if 30 s had passed
    await one.look()

    assert [each["title"] for each in ntfy.received] == ["postino: 8 dead letters"]
    assert ntfy.received[0]["message"].splitlines()[4:6] == ["agent-4: 1 dead letter", "and 3 more"]


async def test_after_a_restart_nothing_is_told_twice_and_nothing_is_forgotten(broker, notifier, ntfy) -> None:
    before = notifier(broker)
    await before.look()
    await before.dies("m1", to="told")
    await before.look()
    await before.dies("m2", to="missed")

    after = notifier(broker, hold_ms=1)
    before.notifications._broker = None  # type: ignore[assignment]  # it is gone
    await broker.notifier.save((await broker.notifier.take(1))[1], 0)
    await after.look()
    await after.look()

    assert [each["message"].partition(":")[0] for each in ntfy.received] == ["told", "missed"]


async def test_messages_between_keep_no_dead_letter_from_being_told_after_a_restart(
    broker, notifier, ntfy, monkeypatch
) -> None:
    monkeypatch.setattr(notifications, "MOST_EVENTS", 5)
    await notifier(broker).look()
    for number in range(8):
        await broker.mail.send(Draft(id=f"x{number}", to="backend", body="x"), Sender(name="ci", via="http"))
    await notifier(broker).dies("m1", to="poison")

    await notifier(broker).look()
    await notifier(broker).look()

    assert [each["title"] for each in ntfy.received] == ["postino: 1 dead letter"]


async def test_one_of_two_daemons_speaks_and_the_other_when_that_one_is_gone(open_broker, notifier, ntfy) -> None:
    brokers = [await open_broker(max_deliveries=1) for _ in range(2)]
    first, second = (notifier(each, hold_ms=300) for each in brokers)
    await first.look()
    await first.dies("m1", to="one")
    await eventually(lambda: "msg_dead" in second.seen)
    for _ in range(3):
        await asyncio.gather(first.look(), second.look())

    assert [each["message"].partition(":")[0] for each in ntfy.received] == ["one"]

    await first.dies("m2", to="two")
    await eventually(lambda: len(ntfy.received) > 1 or second.look())
    await second.look()

    assert [each["message"].partition(":")[0] for each in ntfy.received] == ["one", "two"]


async def test_a_failure_is_seen_by_every_daemon_and_nothing_is_lost(open_broker, notifier, ntfy) -> None:
    brokers = [await open_broker(max_deliveries=1) for _ in range(2)]
    first, second = (notifier(each) for each in brokers)
    await first.look()
    ntfy.status = 500
    await first.dies("m1", to="one")
    await first.look()
    first.notifications._not_before = float("inf")
    second.notifications._not_before = float("inf")
    await second.look()

    for each in (first, second):
        assert each.notifications.failure is not None
        assert each.notifications.failure.why == "ntfy: it answered error 50001"
    assert (await brokers[0].health()).ok

    ntfy.status = 200
    second.notifications._not_before = 0
    await eventually(lambda: ntfy.received or second.look())
    await first.look()

    assert [each["message"].partition(":")[0] for each in ntfy.received] == ["one"]
    assert first.notifications.failure is None is second.notifications.failure


async def test_after_a_failure_it_waits_before_it_tries_again(broker, notifier, ntfy) -> None:
    one = notifier(broker, retry=60)
    await one.look()
    ntfy.status = 429
    await one.dies("m1")
    for _ in range(5):
        await one.look()

    assert ntfy.tried == 1


async def test_a_service_that_hangs_costs_nobody_anything(broker, notifier, ntfy, monkeypatch) -> None:
    monkeypatch.setattr("postino.notify.messenger.SEND_S", 2.0)
    one = notifier(broker)
    await one.look()
    await one.dies("m1")
    ntfy.answers.clear()
    looking = asyncio.create_task(one.look())
    await eventually(lambda: ntfy.tried)
    for number in range(20):
        await broker.mail.send(Draft(id=f"n{number}", to="bob", body="x"), Sender(name="ci", via="http"))

    assert not looking.done()
    await looking
    assert one.notifications.failure is not None
    assert "no answer" in one.notifications.failure.why
    ntfy.answers.set()
    await eventually(lambda: ntfy.received)


async def test_what_may_have_arrived_counts_among_the_six_of_an_hour(broker, notifier, ntfy, monkeypatch) -> None:
    monkeypatch.setattr("postino.notify.messenger.ANSWER_S", 0.1)
    one = notifier(broker)
    await one.look()
    await one.dies("m1")
    ntfy.answers.clear()
    for _ in range(9):
        await one.look()

    assert ntfy.tried == 6
    assert one.notifications.failure.why == "ntfy: no answer within 0 s"


async def test_of_two_services_the_one_that_took_it_is_not_sent_it_again(broker, notifier, ntfy) -> None:
    broken = Ntfy()
    broken.status = 500
    one = notifier(broker, address=f"{ntfy.address}, {broken.address}")
    await one.look()
    await one.dies("m1")
    for _ in range(3):
        await one.look()

    assert (len(ntfy.received), broken.tried) == (1, 1)
    assert one.notifications.failure.why == "ntfy: it answered error 50001"
    broken.status = 200
    await one.dies("m2")
    await one.look()
    assert (len(ntfy.received), len(broken.received), one.notifications.failure) == (2, 1, None)
    broken.close()


def test_a_service_has_twelve_seconds_to_answer_unless_its_address_says_otherwise() -> None:
    usual, own = Messenger("ntfy://a/b, ntfy://a/c?rto=3")._apprise.services

    assert (usual.socket_read_timeout, own.socket_read_timeout) == (12, 3)


async def test_a_place_that_nobody_answers_at_cannot_be_reached(broker, notifier, ntfy) -> None:
    ntfy.close()

    assert await notifier(broker).notifications.test() == "ntfy: it cannot be reached"


@pytest.mark.parametrize("address", ["foo://x", "ntfy://a/b, foo://x", "not an address"])
def test_an_address_that_apprise_does_not_know_is_refused_and_not_shown(address: str, capfd) -> None:
    with pytest.raises(BadField, match=r"POSTINO_NOTIFY_URL \(hidden\)") as refused:
        Messenger(address)

    assert address not in refused.value.message
    assert "foo" not in "".join(capfd.readouterr())


def test_without_apprise_the_setting_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)

    with pytest.raises(BadField, match=r"not installed: `uv tool install '\.\[notify\]'`"):
        Messenger("ntfy://a/b")
