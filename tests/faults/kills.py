"""Writers and readers that go on through kills, and the history of what they met, which can be judged."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from postino.broker import Broker
from postino.errors import LeaseLost, StoreAway, Unreachable
from postino.model import Draft, Sender

INBOXES = ("bob", "carol")
SEED = int(os.environ.get("KILLS_SEED", "7"))


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
