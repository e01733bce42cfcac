"""People are notified of mail that nobody has opened, while they look at no page and no terminal."""

from __future__ import annotations

import asyncio

import pytest

from postino.broker import Broker
from postino.model import Draft, Sender
from tests.broker.mailrooms import older
from tests.waiting import eventually

CI = Sender(name="ci", via="http")


@pytest.fixture
async def robert(broker: Broker) -> str:
    return (await broker.people.register("robert")).name


async def write(broker: Broker, id: str, to: str, sender: Sender = CI) -> None:
    await broker.mail.send(Draft(id=id, to=to, body="the body"), sender)
    await asyncio.sleep(0.003)  # as if a minute had passed: the pace says 1 ms


async def test_what_nobody_has_opened_is_told_once_with_its_senders(broker, notifier, ntfy, robert) -> None:
    one = notifier(broker, unseen=0.001)
    await write(broker, "m1", robert, Sender(name="planner", via="mcp", verified=True))
    await write(broker, "m2", robert)
    await one.look()
    await one.look()

    (told,) = ntfy.received
    assert told["title"] == "postino: 2 messages for robert"
    assert told["message"].startswith("robert: 2 unread messages from planner, unverified 'ci'\n")
    assert "the body" not in str(told)

    await write(broker, "m3", robert)
    await one.look()
    assert [each["title"] for each in ntfy.received[1:]] == ["postino: 1 message for robert"]


async def test_what_is_younger_or_opened_is_not_told(broker, notifier, ntfy, robert) -> None:
    await write(broker, "m1", robert)
    await notifier(broker).look()
    await broker.people.seen(robert, ["m1"])
    await notifier(broker, unseen=0.001).look()

    assert ntfy.tried == 0

    await write(broker, "m2", robert)
    await notifier(broker, unseen=0.001).look()

    assert [each["title"] for each in ntfy.received] == ["postino: 1 message for robert"]


async def test_while_a_page_or_a_terminal_is_open_nothing_is_told(broker, notifier, ntfy, robert) -> None:
    one = notifier(broker, unseen=0.001)
    await broker.agents.heartbeat(robert)
    await write(broker, "m1", robert)
    await write(broker, "m2", "human")
    await one.look()
    assert ntfy.tried == 0

    await broker.agents.offline(robert)
    await one.look()
    assert ntfy.received[0]["title"] == "postino: 2 messages for 2 people"

    await broker.agents.heartbeat(robert)
    await one.look()
    await broker.agents.offline(robert)
    await one.look()
    assert len(ntfy.received) == 1


async def test_mail_to_all_people_is_told_if_nobody_is_there(broker, notifier, ntfy, robert) -> None:
    one = notifier(broker, unseen=0.001)
    await broker.people.register("ada")
    await broker.agents.heartbeat("ada")
    await write(broker, "m1", "human")
    await one.look()
    assert ntfy.tried == 0

    await broker.agents.offline("ada")
    await one.look()
    assert ntfy.received[0]["message"].startswith("human: 1 unread message from unverified 'ci'\n")
    assert len(ntfy.received[0]["message"].splitlines()) == 2


async def test_a_person_who_does_not_read_is_not_called_stuck(broker, notifier, ntfy, robert) -> None:
    one = notifier(broker, stuck=0.001)
    await write(broker, "m1", robert)
    await broker.housekeeping.sweep()
    await one.look()

    assert ntfy.tried == 0


async def test_mail_of_a_person_that_ends_is_no_dead_letter(broker, notifier, ntfy, robert) -> None:
    one = notifier(broker)
    await one.look()
    await write(broker, "m1", robert)
    await older(broker, robert, "m1", 31)
    await broker.housekeeping.sweep()
    await eventually(lambda: "msg_expired" in one.seen)
    await one.look()

    assert ntfy.tried == 0


async def test_a_hostile_name_is_no_link_and_not_long(broker, notifier, ntfy, robert) -> None:
    one = notifier(broker, unseen=0.001)
    await write(broker, "m1", robert, Sender(name="evil.example", via="http"))
    await write(broker, "m2", robert, Sender(name="x" * 64, via="http"))
    await one.look()
    await one.dies("m3", to="www.evil.example")
    await one.dies("m4", to="y" * 64)
    await one.look()

    text = str([(each["title"], each["message"]) for each in ntfy.received])
    assert "evil" in text
    assert "evil.example" not in text
    assert "x" * 25 not in text
    assert "yyy" in text
    assert "y" * 25 not in text
