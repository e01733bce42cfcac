"""The loop guard: two polite agents are stopped, work in a burst is not."""

from __future__ import annotations

import contextlib

import pytest

from postino.broker import Broker
from postino.broker.guard import SPAN_S, Guard
from postino.errors import InboxFull, KeyReused, TooFast
from postino.model import BroadcastDraft, Draft, Sender, Via
from postino.several import ManyDraft
from tests.broker.mailrooms import has_told
from tests.waiting import eventually

DEFAULTS = {"send_rate": 120, "pair_rate": 30}


def agent(name: str, via: Via = "mcp", *, verified: bool = True) -> Sender:
    return Sender(name=name, via=via, verified=verified)


class Mailroom:
    """A guard, a clock that the test moves, and what the guard told."""

    def __init__(self, **rates: int) -> None:
        self.now = 1000.0
        self.told: list[tuple[str, str, str, int]] = []
        self.guard = Guard(**(DEFAULTS | rates), tell=self._tell, clock=lambda: self.now)
        self._ids = 0

    async def _tell(self, *told) -> None:
        self.told.append(told)

    def send(self, sender: str | Sender, *to: str, created: int | None = None) -> TooFast | None:
        sender = agent(sender) if isinstance(sender, str) else sender
        self._ids += 1
        try:
            with self.guard.counting(sender, to, f"m{self._ids}") as counted:
                counted.created = len(to) if created is None else created
        except TooFast as refused:
            return refused
        return None

    def ping_pong(self, turns: int, one: str = "ada", other: str = "bob") -> int:
        """Let two agents answer each other; return how many messages were accepted."""
        for number in range(turns):
            if self.send(one if number % 2 == 0 else other, other if number % 2 == 0 else one):
                return number
        return turns


async def test_two_agents_that_answer_each_other_are_stopped_and_may_go_on_a_minute_later() -> None:
    room = Mailroom()

    assert room.ping_pong(100) == 31  # a first message, and thirty answers
    refused = room.send("bob", "ada")
    assert refused is not None
    assert (refused.code, refused.http, refused.retryable) == ("too_fast", 429, True)
    assert refused.detail == {"reason": "pair_rate", "to": "ada", "retry_after_s": 60}
    assert "bob and ada have answered each other 30 times within a minute" in refused.message
    assert room.send("bob", "eve") is None  # only the pair is stopped
    room.now += SPAN_S
    assert room.ping_pong(100) > 0


async def test_a_slow_conversation_is_never_stopped() -> None:
    room = Mailroom()
    for _ in range(300):
        assert room.ping_pong(2) == 2
        room.now += 4.1  # 29 turns a minute


@pytest.mark.parametrize("person", [agent("lea", "web"), agent("lea", "cli", verified=False)])
async def test_a_persons_message_to_one_of_the_two_starts_their_count_again(person: Sender) -> None:
    room = Mailroom()
    room.guard.people = frozenset({"lea"})
    room.ping_pong(100)
    assert room.send("bob", "ada") is not None

    room.send(person, "ada")

    assert room.ping_pong(100) >= 30


async def test_a_person_and_an_agent_may_answer_each_other_without_end() -> None:
    room = Mailroom()
    room.guard.people = frozenset({"lea"})
    for _ in range(100):
        assert room.send(agent("lea", "web"), "ada") is None
        assert room.send("ada", "lea") is None


async def test_legitimate_bursts_are_not_stopped() -> None:
    """A coordinator and fifty workers; a hundred results; a list; questions answered in one go."""
    room = Mailroom()
    for number in range(50):
        assert room.send("boss", f"w{number}") is None
    for number in range(50):
        assert room.send(f"w{number}", "boss") is None
    for number in range(50):
        assert room.send("boss", f"w{number}") is None
    for _ in range(100):
        assert room.send("tests", "boss") is None
    everybody = [f"w{number}" for number in range(50)]
    for _ in range(20):
        assert room.send("boss", *everybody) is None  # each counts once: 120 with those above
    for _ in range(29):  # thirty questions, thirty answers, and so on
        assert all(room.send("asker", "expert") is None for _ in range(4))
        assert all(room.send("expert", "asker") is None for _ in range(4))
        room.now += 5


async def test_a_sender_has_a_rate_unless_it_is_not_verified() -> None:
    room = Mailroom(send_rate=5)
    for number in range(5):
        assert room.send("ada", f"a{number}") is None
    refused = room.send("ada", "bob")

    assert refused is not None and refused.detail["reason"] == "send_rate"
    assert "ada has sent 5 times within a minute (POSTINO_SEND_RATE)" in refused.message
    for number in range(20):
        assert room.send(agent("ci", "http", verified=False), f"a{number}") is None
    assert room.send(agent("anonymous", verified=False), "ada") is None
    room.now += SPAN_S
    assert room.send("ada", "bob") is None


async def test_what_stored_nothing_does_not_count() -> None:
    room = Mailroom(send_rate=5, pair_rate=5)
    for _ in range(50):  # repeated under one id
        assert room.send("ada", "bob", created=0) is None
    for _ in range(50):
        with contextlib.suppress(InboxFull), room.guard.counting(agent("ada"), ["bob"], "x"):
            raise InboxFull("bob is full")

    assert room.send("bob", "ada") is None
    assert room.send("ada", "bob") is None


async def test_a_zero_switches_a_rate_off() -> None:
    assert Mailroom(send_rate=0).ping_pong(1000) == 31
    off = Mailroom(send_rate=0, pair_rate=0)
    assert off.ping_pong(1000) == 1000
    assert all(off.send("ada", f"a{number}") is None for number in range(500))


async def test_a_refusal_is_told_once_in_ten_seconds_for_each_pair() -> None:
    room = Mailroom()
    room.ping_pong(100)
    for _ in range(50):
        room.send("bob", "ada")
    await room.guard.close()
    first = [*room.told]
    room.now += 11
    room.send("bob", "ada")
    await room.guard.close()

    assert first == [("bob", "ada", "pair_rate", 60)]
    assert room.told[1:] == [("bob", "ada", "pair_rate", 49)]


# with a store


async def test_names_of_one_agent_are_one_and_the_refusal_stores_nothing(open_broker, events) -> None:
    broker = await open_broker(send_rate=0, pair_rate=4)
    await broker.agents.heartbeat("bob")
    await broker.agents.rename("bob", "robert")
    with pytest.raises(TooFast):
        for number in range(20):
            one, other = ("ada", "BOB" if number % 4 else "bob") if number % 2 == 0 else ("robert", "Ada")
            await broker.mail.send(Draft(id=f"m{number}", to=other.lower(), body="thanks"), agent(one))

    assert number == 5
    assert (await broker.mail.peek("ada", 1, 0))[1] + (await broker.mail.peek("robert", 1, 0))[1] == 5
    (told,) = await eventually(lambda: events(broker, "too_fast"))
    assert told.data == {"from": "robert", "to": "ada", "reason": "pair_rate", "retry_after_s": 60}


async def test_broadcasts_and_lists_count_for_the_rate_of_a_sender(open_broker) -> None:
    broker = await open_broker(send_rate=3, pair_rate=0)
    ada = agent("ada")
    await broker.broadcasts.broadcast(BroadcastDraft(id="b1", body="x"), ada)
    many = ManyDraft(to=["bob", "eve", "dan"], draft=Draft(id="m1", to="bob", body="x"))
    await broker.groups.send_many(many, ada)
    await broker.groups.send_many(many, ada)  # repeated: counts no more
    await broker.mail.send(Draft(id="m2", to="bob", body="x"), ada)

    with pytest.raises(TooFast):
        await broker.broadcasts.broadcast(BroadcastDraft(id="b2", body="x"), ada)
    with pytest.raises(TooFast):
        await broker.groups.send_many(ManyDraft(to=["bob", "eve"], draft=Draft(id="m3", to="bob", body="x")), ada)
    assert (await broker.mail.peek("bob", 5, 0))[1] == 2


async def test_a_repetition_is_answered_at_the_rate_and_counts_nothing(open_broker) -> None:
    broker = await open_broker(send_rate=3)
    ada = agent("ada")
    for id in ("m1", "m2", "m2", "m3", "m3"):
        await broker.mail.send(Draft(id=id, to="bob", body="x"), ada)

    assert not (await broker.mail.send(Draft(id="m3", to="bob", body="x"), ada)).created
    with pytest.raises(KeyReused):
        await broker.mail.send(Draft(id="m1", to="bob", body="other"), ada)
    for id in ("m4", "m5"):
        with pytest.raises(TooFast):
            await broker.mail.send(Draft(id=id, to="bob", body="x"), ada)


async def test_two_daemons_on_one_store_count_together(open_broker) -> None:
    one, other = await open_broker(send_rate=8, pair_rate=4), await open_broker(send_rate=8, pair_rate=4)

    async def answer(number: int, broker: Broker) -> None:
        to = "bob" if number % 2 == 0 else "ada"
        await broker.mail.send(Draft(id=f"m{number}", to=to, body="x"), agent("ada" if to == "bob" else "bob"))

    for number in range(5):
        await answer(number, one if number % 2 == 0 else other)
        last = await one.events.last()
        await eventually(lambda last=last: has_told(one, last) and has_told(other, last))
    for broker in (one, other):
        with pytest.raises(TooFast, match="POSTINO_PAIR_RATE"):
            await answer(5, broker)
    for number in range(5):
        await one.mail.send(Draft(id=f"n{number}", to=f"n{number}", body="x"), agent("ada"))
    await eventually(lambda: len(other.guard._sent["ada"]) == 8)
    with pytest.raises(TooFast, match="POSTINO_SEND_RATE"):
        await other.mail.send(Draft(id="more", to="dan", body="x"), agent("ada"))
    await one.groups.send_many(ManyDraft(to=["x", "y", "z"], draft=Draft(id="l", to="x", body="x")), agent("eve"))
    await eventually(lambda: other.guard._sent.get("eve"))
    last = await one.events.last()
    await eventually(lambda: has_told(other, last))
    assert len(other.guard._sent["eve"]) == 1
