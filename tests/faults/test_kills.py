"""Kill -9 in the middle of traffic, and a checker of what came of it that is itself shown to fail.

Writers send numbered bodies and try again under the same id until they have an answer; readers acknowledge, give
back or die. Then the faults stop, everything is read out, and the whole history is judged (method of Jepsen's
queue workloads). What is counted is the content, so that a second copy under another id is seen too.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import pytest

from postino.broker import Broker
from postino.client import Client
from postino.config import Settings
from postino.errors import LeaseLost, StoreAway, Unreachable
from postino.model import Draft, Sender
from postino.paths import Home
from postino.store.valkey.embedded import EmbeddedValkey

INBOXES = ("bob", "carol")
SEED, ROUNDS = int(os.environ.get("KILLS_SEED", "7")), int(os.environ.get("KILLS_ROUNDS", "1"))
pytestmark = pytest.mark.timeout(60 * ROUNDS)


def body_of(sender: str, number: int) -> str:
    """A body that says what it is and cannot be altered unseen."""
    name = f"{sender}:{number}"
    return f"{name} {hashlib.sha256(name.encode()).hexdigest()}"


@dataclass(frozen=True)
class Got:
    """One message in one answer, in the order of the answers."""

    reader: str
    inbox: str
    body: str
    seq: int
    delivery: int
    redelivered: bool


@dataclass
class History:
    """What was tried, answered and seen."""

    tried: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))  # (inbox, sender)
    accepted: dict[tuple[str, str], int] = field(default_factory=dict)  # (inbox, body) -> seq
    got: list[Got] = field(default_factory=list)
    dead: set[tuple[str, str]] = field(default_factory=set)

    def judge(self) -> dict[str, Any]:
        """Return every broken promise by name; nothing when all were kept."""
        tried = {(inbox, body) for (inbox, _), bodies in self.tried.items() for body in bodies}
        seen = {(each.inbox, each.body) for each in self.got}
        places = defaultdict(set)
        for each in self.got:
            places[each.inbox, each.body].add(each.seq)
        for key, seq in self.accepted.items():
            places[key].add(seq)
        found = {
            "lost": self._where(set(self.accepted) - seen - self.dead),
            "phantom": seen - tried,
            "altered": {each.body for each in self.got if each.body != body_of(*_parts(each.body))},
            "stored twice": {key for key, seqs in places.items() if len(seqs) > 1},
            "one number for two": self._shared_numbers(),
            "order": self._disorder(),
            "unlabelled repeats": self._unlabelled(),
        }
        return {name: what for name, what in found.items() if what}

    def _where(self, lost: set[tuple[str, str]]) -> dict[str, list[str]]:
        """Tell lost ones at a sender's end (a slow reader?) from those in the middle (certainly a fault)."""
        seen = {(each.inbox, each.body) for each in self.got}
        places = defaultdict(list)
        for (inbox, sender), bodies in self.tried.items():
            last = max((at for at, body in enumerate(bodies) if (inbox, body) in seen), default=-1)
            for at, body in enumerate(bodies):
                if (inbox, body) in lost:
                    places["middle" if at < last else "end"].append(f"{inbox} {sender} {at}")
        return dict(places)

    def _shared_numbers(self) -> set[tuple[str, int]]:
        owners = defaultdict(set)
        for each in self.got:
            owners[each.inbox, each.seq].add(each.body)
        return {key for key, bodies in owners.items() if len(bodies) > 1}

    def _disorder(self) -> list[tuple[Got, Got]]:
        """First deliveries, as each inbox gave them, must rise in number and in each sender's count."""
        last: dict[tuple[str, str], Got] = {}
        broken = []
        for each in self.got:
            if each.delivery > 1 or each.redelivered:
                continue
            for key in ((each.inbox, ""), (each.inbox, _parts(each.body)[0])):
                before = last.get(key)
                if before and (before.seq > each.seq or (key[1] and _parts(before.body)[1] > _parts(each.body)[1])):
                    broken.append((before, each))
                last[key] = each
        return broken

    def _unlabelled(self) -> list[Got]:
        seen: Counter[tuple[str, str]] = Counter()
        found = []
        for each in self.got:
            seen[each.inbox, each.body] += 1
            if seen[each.inbox, each.body] > 1 and not each.redelivered:
                found.append(each)
        return found


def _parts(body: str) -> tuple[str, int]:
    sender, _, number = body.partition(" ")[0].partition(":")
    return sender, int(number) if number.isdigit() else -1


class End(Protocol):
    """What writers and readers talk to."""

    async def send(self, to: str, sender: str, id: str, body: str) -> int: ...
    async def read(self, inbox: str, consumer: str, limit: int, resume: bool) -> list[Got]: ...
    async def ack(self, inbox: str, consumer: str, ids: list[str]) -> None: ...
    async def nack(self, inbox: str, consumer: str, ids: list[str]) -> None: ...
    async def left(self, inbox: str) -> int: ...


class InProcess:
    """The broker itself."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker

    async def send(self, to: str, sender: str, id: str, body: str) -> int:
        return (await self.broker.mail.send(Draft(id=id, to=to, body=body), Sender(name=sender, via="http"))).seq

    async def read(self, inbox: str, consumer: str, limit: int, resume: bool) -> list[Got]:
        batch = await self.broker.mail.read(inbox, consumer, limit=limit, resume=resume)
        return [Got(consumer, inbox, e.body, e.seq, e.delivery, e.redelivered) for e in batch.items]

    async def ack(self, inbox: str, consumer: str, ids: list[str]) -> None:
        await self.broker.mail.ack(inbox, consumer, ids)

    async def nack(self, inbox: str, consumer: str, ids: list[str]) -> None:
        await self.broker.mail.nack(inbox, consumer, ids)

    async def left(self, inbox: str) -> int:
        return (await self.broker.mail.peek(inbox, 1, 0))[1]


class OverHttp:
    """A client of the real daemon, over its unix socket; one for each writer and reader."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.clients: dict[str, Client] = {}

    async def _call(self, who: str, work: Callable[[Client], Any]) -> Any:
        client = self.clients.setdefault(who, Client(self.home.socket, seconds=4))
        return await asyncio.to_thread(work, client)

    async def send(self, to: str, sender: str, id: str, body: str) -> int:
        return int((await self._call(sender, lambda client: client.send(to, body, sender=sender, id=id)))["seq"])

    async def read(self, inbox: str, consumer: str, limit: int, resume: bool) -> list[Got]:
        def ask(client: Client) -> Any:
            client.consumer = consumer
            return client.read(inbox, limit=limit, resume=resume)

        items = (await self._call(inbox, ask))["items"]
        return [Got(consumer, inbox, e["body"], e["seq"], e["delivery"], e["redelivered"]) for e in items]

    async def ack(self, inbox: str, consumer: str, ids: list[str]) -> None:
        await self._call(inbox, lambda client: client.ack(inbox, ids, consumer=consumer))

    async def nack(self, inbox: str, consumer: str, ids: list[str]) -> None:
        await self._call(inbox, lambda client: client.nack(inbox, ids, consumer=consumer))

    async def left(self, inbox: str) -> int:
        return int((await self._call(inbox, lambda client: client.peek(inbox, limit=1)))["total"])

    def close(self) -> None:
        for each in self.clients.values():
            each.close()


@dataclass
class Traffic:
    """Writers and readers, and what they saw."""

    end: End
    history: History = field(default_factory=History)
    new_id_per_try: bool = False  # a control: a retry that is not the same message
    drops: float = 0.0  # a control: readers that acknowledge and then forget
    writing: bool = True
    stopping: bool = False  # once all writers have ended: readers leave when nothing is left

    async def run(self, faults: Callable[[Callable[[], int]], Awaitable[None]], writers: int = 3) -> History:
        """Run traffic while `faults` goes on, then read everything out."""
        writing = [asyncio.create_task(self._write(f"w{at}", INBOXES[at % 2])) for at in range(writers)]
        reading = [asyncio.create_task(self._read(inbox, random.Random(SEED + len(inbox)))) for inbox in INBOXES]
        await faults(lambda: len(self.history.accepted))
        self.writing = False
        async with asyncio.timeout(20):
            await asyncio.gather(*writing)
            self.stopping = True
            await asyncio.gather(*reading)
        return self.history

    async def _write(self, sender: str, to: str) -> None:
        number = 0
        while self.writing:
            body = body_of(sender, number)
            self.history.tried[to, sender].append(body)
            seq, tries = None, 0
            while seq is None:
                tries += 1
                id = f"{sender}-{number}-{tries}" if self.new_id_per_try else f"{sender}-{number}"
                seq = await self._patiently(self.end.send(to, sender, id, body))
            self.history.accepted[to, body] = seq
            number += 1
            await asyncio.sleep(0.002)

    async def _read(self, inbox: str, chance: random.Random) -> None:
        life, unsure = 0, False
        while True:
            consumer = f"{inbox}-{life}"
            batch = await self._patiently(self.end.read(inbox, consumer, chance.randint(1, 20), unsure))
            unsure = batch is None
            if batch is None:
                continue
            ids = [f"{name}-{number}" for name, number in (_parts(each.body) for each in batch)]
            fate = 1.0 if self.stopping else chance.random()
            if chance.random() >= self.drops:
                self.history.got += batch
            if ids and fate < 0.1:
                await self._patiently(self.end.nack(inbox, consumer, ids[1:] or ids))
                life += 1  # the first one is forgotten: its lease has to end
            elif ids and fate < 0.15:
                life += 1  # dies without a word
            elif ids:
                await self._patiently(self.end.ack(inbox, consumer, ids))
            elif self.stopping and await self._patiently(self.end.left(inbox)) == 0:
                return
            else:
                await asyncio.sleep(0.02)

    @staticmethod
    async def _patiently(call: Awaitable[Any]) -> Any:
        """Return the answer; None when there was none, after a moment."""
        try:
            return await call
        except LeaseLost:
            return True
        except (StoreAway, Unreachable):
            await asyncio.sleep(0.02)
            return None


async def progress(count: Callable[[], int], more: int) -> None:
    """Wait until `more` further messages were accepted."""
    wanted = count() + more
    async with asyncio.timeout(15):
        while count() < wanted:  # noqa: ASYNC110 - what counts is told by nobody
            await asyncio.sleep(0.005)


def kill_valkey(home: Home, number: signal.Signals = signal.SIGKILL) -> None:
    os.kill(int((home.data / "valkey.pid").read_text()), number)


# with kills


async def test_nothing_is_lost_when_valkey_is_killed_in_the_middle_of_traffic(home: Home) -> None:
    broker = await Broker.open(Settings(home=home, message_lease=2, max_deliveries=100, max_inbox=100_000))
    try:

        async def faults(accepted: Callable[[], int]) -> None:
            for _ in range(5 * ROUNDS):
                await progress(accepted, 30)
                kill_valkey(home)
            await progress(accepted, 30)

        history = await Traffic(InProcess(broker)).run(faults)
    finally:
        await broker.close()
        await EmbeddedValkey(home).stop()

    assert history.judge() == {}
    assert len(history.accepted) > 150
    assert any(each.redelivered for each in history.got)


async def test_nothing_is_lost_when_valkey_is_frozen_in_the_middle_of_traffic(home: Home) -> None:
    broker = await Broker.open(Settings(home=home, message_lease=2, max_deliveries=100, max_inbox=100_000))
    try:

        async def faults(accepted: Callable[[], int]) -> None:
            for seconds in (0.1, 1.7, 0.3) * ROUNDS:
                await progress(accepted, 30)
                kill_valkey(home, signal.SIGSTOP)
                await asyncio.sleep(seconds)
                kill_valkey(home, signal.SIGCONT)
            await progress(accepted, 30)

        history = await Traffic(InProcess(broker)).run(faults)
    finally:
        await broker.close()
        await EmbeddedValkey(home).stop()

    assert history.judge() == {}


async def test_nothing_is_lost_when_daemon_and_valkey_are_killed_in_turn(daemon) -> None:
    limits = {"POSTINO_MESSAGE_LEASE": "2", "POSTINO_MAX_DELIVERIES": "100", "POSTINO_MAX_INBOX": "100000"}
    await asyncio.to_thread(daemon.stop)
    await asyncio.to_thread(daemon.start, **limits)
    end = OverHttp(daemon.home)

    async def faults(accepted: Callable[[], int]) -> None:
        for victim in ("daemon", "valkey", "daemon", "both") * ROUNDS:
            await progress(accepted, 30)
            if victim != "daemon":
                kill_valkey(daemon.home)
            if victim != "valkey":
                daemon.kill()
                await asyncio.to_thread(daemon.start, **limits)
        await progress(accepted, 30)

    history = await Traffic(end).run(faults)
    end.close()

    assert history.judge() == {}
    assert len(history.accepted) > 120


# controls: what the checker must find


async def test_a_reader_that_acknowledges_and_forgets_is_found_as_loss(open_broker) -> None:
    broker = await open_broker(message_lease=1)

    async def faults(accepted: Callable[[], int]) -> None:
        await progress(accepted, 100)

    history = await Traffic(InProcess(broker), drops=0.2).run(faults)

    assert set(history.judge()) >= {"lost"}
    assert history.judge()["lost"]["middle"]


async def test_a_retry_under_another_id_is_found_as_stored_twice(settings: Settings, proxy) -> None:
    between = await proxy()
    broker = await Broker.open(replace(settings, valkey_url=between.url, message_lease=1))

    async def faults(accepted: Callable[[], int]) -> None:
        for _ in range(3):
            await progress(accepted, 10)
            losses, between.lose = between.losses, b"w0:"
            while between.losses == losses:  # noqa: ASYNC110 - the proxy counts, it does not call
                await asyncio.sleep(0)
            between.lose = None

    try:
        careless = await Traffic(InProcess(broker), new_id_per_try=True).run(faults)
    finally:
        await broker.close()

    assert "stored twice" in careless.judge()


def real(count: int = 6) -> History:
    """A sound history by hand: one writer, each message delivered once, the second one twice."""
    history = History()
    for number in range(count):
        body = body_of("w0", number)
        history.tried["bob", "w0"].append(body)
        history.accepted["bob", body] = number + 1
        history.got.append(Got("r", "bob", body, number + 1, 1, False))
    history.got.append(Got("r", "bob", body_of("w0", 1), 2, 2, True))
    return history


def spoil(history: History, how: str) -> None:
    first, second = history.got[2], history.got[3]
    if how == "lost":
        history.got = [each for each in history.got if each is not first]
    elif how == "phantom":
        history.got.append(Got("r", "bob", body_of("w9", 1), 99, 1, False))
    elif how == "altered":
        history.got[2] = Got("r", "bob", first.body[:-1] + "!", first.seq, 1, False)
    elif how == "stored twice":
        history.got.append(Got("r", "bob", first.body, 77, 2, True))
    elif how == "one number for two":
        history.got[2] = Got("r", "bob", first.body, second.seq, 1, False)
    elif how == "order":
        history.got[2], history.got[3] = second, first
    else:
        history.got.append(Got("r2", "bob", first.body, first.seq, 2, False))


def test_a_sound_history_passes() -> None:
    assert real().judge() == {}


@pytest.mark.parametrize(
    "how", ["lost", "phantom", "altered", "stored twice", "one number for two", "order", "unlabelled repeats"]
)
def test_each_broken_promise_is_found_by_its_name(how: str) -> None:
    history = real()
    spoil(history, how)

    assert how in history.judge()


def test_an_unknown_outcome_is_no_loss_and_no_phantom() -> None:
    history = real()
    never, happened = body_of("w0", 6), body_of("w0", 7)
    history.tried["bob", "w0"] += [never, happened]
    history.got.append(Got("r", "bob", happened, 7, 1, False))

    assert history.judge() == {}


def test_a_dead_letter_is_not_lost() -> None:
    history = real()
    spoil(history, "lost")
    history.dead.add(("bob", body_of("w0", 2)))

    assert history.judge() == {}
