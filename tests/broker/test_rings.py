"""Loops of three to five agents are stopped, work that goes round among several is not."""

from __future__ import annotations

from itertools import cycle, islice, pairwise

import pytest

from postino.broker.guard import SPAN_S
from postino.errors import TooFast
from postino.model import Draft
from tests.broker.mailrooms import has_told
from tests.broker.test_guard import Mailroom, agent
from tests.waiting import eventually


def go_round(room: Mailroom, hops: int, *members: str, pause_s: float = 0.0) -> int:
    """Let each member answer the one before it; return how many messages were accepted."""
    ring = [*islice(cycle(members), hops + 1)]
    for number, (one, other) in enumerate(pairwise(ring)):
        if room.send(one, other):
            return number
        room.now += pause_s
    return hops


@pytest.mark.parametrize("members", ["abc", "abcd", "abcde", "abcb"])
async def test_a_loop_of_three_to_five_is_stopped_after_as_many_answers_as_one_of_two(members: str) -> None:
    room = Mailroom()

    assert go_round(room, 100, *members) == 31  # a first message, and thirty answers
    one, other = (members * 12)[31], (members * 12)[32]
    refused = room.send(one, other)
    assert refused is not None
    assert refused.detail == {"reason": "ring_rate", "to": other, "retry_after_s": 60}
    assert f"and {max(members)} have answered one another 30 times within a minute" in refused.message
    assert room.send(one, "someone-else") is None  # only the loop is stopped
    room.now += SPAN_S
    assert go_round(room, 10, *members) == 10


async def test_a_persons_message_to_one_of_the_loop_starts_its_count_again() -> None:
    for member in "abc":
        room = Mailroom()
        assert go_round(room, 100, *"abc") == 31
        assert room.send("b", "c") is not None
        room.send(agent("lea", "web"), member)
        assert room.send("b", "c") is None


async def test_what_was_not_stored_leads_to_nothing() -> None:
    room = Mailroom()
    assert go_round(room, 30, *"abc") == 30
    for _ in range(50):  # the same message again
        assert room.send("a", "b", created=0) is None
    assert room.send("x", "a", created=0) is None
    assert room.send("a", "b") is None
    assert room.send("b", "c") is not None


async def test_work_that_goes_round_is_not_stopped() -> None:
    """Three in a pipeline; sixty workers in turn, twice; four in parallel; a hub that tells all what one reports."""
    assert go_round(Mailroom(), 300, "boss", "dev", "tester", pause_s=2.1) == 300
    room = Mailroom(send_rate=0)
    for number in range(120):
        assert go_round(room, 2, "boss", f"w{number % 60}", pause_s=0.2) == 2
    room = Mailroom()
    for number in range(100):  # each has its next task at once, and works on it for eight seconds
        worker = f"w{number % 4}"
        assert room.send("boss", worker) is None
        room.now += 2
        assert room.send(f"w{(number + 1) % 4}", "boss") is None
    room = Mailroom()
    for number in range(100):
        assert room.send(f"w{number % 4}", "hub") is None
        assert room.send("hub", *(f"w{each}" for each in range(4))) is None
        room.now += 3.9
    for _ in range(100):  # results that nobody asks for
        assert room.send("ci", "boss") is None
        assert room.send("boss", "dev") is None
        room.now += 0.6


async def test_names_of_one_agent_are_one_in_a_loop_and_two_daemons_count_it_together(open_broker) -> None:
    one, other = [await open_broker(send_rate=0, pair_rate=6) for _ in range(2)]
    await one.agents.heartbeat("bob")
    await one.agents.rename("bob", "robert")
    ring = [*islice(cycle(("ada", "robert", "Eve")), 20)]
    with pytest.raises(TooFast, match="ada, eve and robert have answered one another 6 times"):
        for number, (sender, to) in enumerate(pairwise(ring)):
            broker = one if number % 2 else other
            to = "bob" if to == "robert" else to
            await broker.mail.send(Draft(id=f"m{number}", to=to, body="thanks"), agent(sender))
            last = await one.events.last()
            await eventually(lambda last=last: has_told(one, last) and has_told(other, last))

    assert number == 7
    assert one.guard._rings._led.keys() == {"ada", "eve", "robert"}
