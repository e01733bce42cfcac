"""The loop guard: how often one sender may send, and how often two agents may answer each other.

It counts what this daemon accepts, at once, and by their events what other daemons on the same store accept, some
milliseconds later. Nothing of it is stored, so that it costs a send no command; a daemon that starts begins at zero.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from postino.broker.rings import SPAN_S, Chain, Rings
from postino.errors import StoreAway, TooFast
from postino.model import ANONYMOUS, SYSTEM, Event, Sender

TELL_S = 10.0  # between two events about the same sender or pair: who is refused may try again at once
EVERYBODY = "all"  # the recipient of a broadcast
_MOST = 10_000  # senders, pairs and names that are remembered
_UNGUARDED = frozenset({ANONYMOUS, SYSTEM, EVERYBODY})

log = structlog.get_logger()

Tell = Callable[[str, str, str, int], Awaitable[object]]


@dataclass(slots=True)
class _Pair:
    """Two agents: who of them wrote last, and when the one has answered the other."""

    last: str
    turns: deque[float] = field(default_factory=deque)


@dataclass(slots=True)
class Counted:
    """What was counted for one send. `created` is how many of the messages were stored; None: not known."""

    to: list[str]
    created: int | None = None
    counts: bool = False  # for its sender: not a message that had been counted
    turns: list[str] = field(default_factory=list)
    led: list[tuple[str, Chain | None]] = field(default_factory=list)  # what `Rings.restore` takes


class Guard:
    """Counts what is sent. 0 for a rate: no limit.

    A send to several agents counts once for its sender, and for each pair it makes. A turn is a message to the one who
    wrote last: any number of messages in one direction are one turn. Three to five agents are a loop where each message
    follows the last one that its sender got. A person's message ends the count of every pair and loop that its
    recipient belongs to. Repeating a message that was counted, under its id, is neither counted nor refused.
    """

    def __init__(
        self, *, send_rate: int, pair_rate: int, tell: Tell, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._send_rate = send_rate
        self._pair_rate = pair_rate
        self._tell = tell
        self._clock = clock
        self._sent: dict[str, dict[str, float]] = {}  # sender -> id of each message -> when it was counted
        self._pairs: dict[tuple[str, str], _Pair] = {}
        self._rings = Rings(pair_rate)
        self._event: tuple[str, str, str] | None = None  # sender, id and recipient of the last one that was counted
        self._present: dict[str, str] = {}  # names under which somebody was written to -> the agent's present name
        #: sender and id of what this daemon has counted -> how many events about it are yet to come
        self._own: dict[tuple[str, str], int] = {}
        self._told: dict[str, float] = {}
        self._telling: set[asyncio.Future[object]] = set()
        self.people: frozenset[str] = frozenset()  # the names of people, in lower case; set by whoever knows them

    @contextlib.contextmanager
    def counting(self, sender: Sender, to: Sequence[str], id: str) -> Iterator[Counted]:
        """Count a send that is made within, or refuse it. What stores nothing does not count.

        The caller notes in the yielded record how many messages were `created`, and under which names.

        Raises:
            TooFast: `reason` is `send_rate`, `pair_rate` or `ring_rate`.
        """
        name = self._name(sender.name)
        counted = Counted([*to])
        if name in _UNGUARDED or not (self._send_rate or self._pair_rate):
            yield counted
            return
        self._admit(sender, name, counted, id)
        try:
            yield counted
        except StoreAway as error:
            if error.detail.get("outcome") != "unknown":
                counted.created = 0
            raise
        except Exception:
            counted.created = 0
            raise
        finally:
            if counted.created is not None and counted.created < len(to):
                self._withdraw(name, counted, id)

    def _admit(self, sender: Sender, name: str, counted: Counted, id: str) -> None:
        now, recipients = self._clock(), [self._name(each) for each in counted.to]
        refused = self._refused(sender, name, counted.to, now) if id not in self._sent.get(name, ()) else None
        if refused is not None:
            self._tell_once(sender.name, refused, now)
            raise refused
        self._own[name, id] = len(recipients)
        if sender.verified and self._send_rate:
            counted.counts = self._count(name, id, now)
        if self._pair_rate:
            person = self._is_person(name, sender.via)
            counted.turns = [each for each in recipients if self._turn(name, each, now, person=person)]
            if not person:
                alone = len(recipients) == 1
                counted.led = [
                    (to, self._rings.add(name, to, now, alone=alone))
                    for to in recipients
                    if to not in (name, EVERYBODY)
                ]
        _keep_newest(self._own, self._pairs, self._sent, self._present, self._told)

    def _withdraw(self, name: str, counted: Counted, id: str) -> None:
        """Take back what was counted for messages that were not created: no event tells of them."""
        left = self._own.get((name, id), 0) - (len(counted.to) - (counted.created or 0))
        if left > 0:
            self._own[name, id] = left
        else:
            self._own.pop((name, id), None)
        if counted.created:
            return
        if counted.counts:
            self._sent.get(name, {}).pop(id, None)
        for each, before in counted.led:
            self._rings.restore(each, before)
        for each in counted.turns:
            pair = self._pairs.get(_key(name, each))
            if pair is not None and pair.last == name and pair.turns:
                pair.turns.pop()
                pair.last = each

    def note_name(self, sender: str, asked: str, present: str) -> None:
        """Note the present name of an agent to whom somebody wrote under another one."""
        if asked == present or self._name(asked) == present.lower():
            return
        name, before = self._name(sender), self._name(asked)
        self._present[asked.lower()] = present.lower()
        self._rings.rename(before, present.lower())
        if (pair := self._pairs.pop(_key(name, before), None)) is not None:
            self._pairs.setdefault(_key(name, present.lower()), pair)

    def count(self, event: Event) -> None:
        """Count what another daemon has accepted. Only what came by MCP is known to be of a verified sender."""
        if event.type not in ("msg_send", "broadcast"):
            return
        data = event.data
        name, id, via = self._name(str(data.get("from", ""))), str(data.get("id", "")), data.get("via")
        if name in _UNGUARDED:
            return
        if left := self._own.get((name, id)):
            if left > 1:
                self._own[name, id] = left - 1
            else:
                del self._own[name, id]
            return
        now = self._clock()
        if via == "mcp":  # a message to several has an event for each of them
            self._count(name, id, now)
        if event.type == "msg_send" and self._pair_rate:
            to, person = self._name(str(data["to"])), self._is_person(name, str(via))
            self._turn(name, to, now, person=person)
            if not person:
                self._note_led(name, id, to, now)
        _keep_newest(self._pairs, self._sent)

    def _note_led(self, name: str, id: str, to: str, now: float) -> None:
        """Note a message that another daemon has accepted: one to several is known by the second event about it."""
        several = self._event is not None and self._event[:2] == (name, id)
        if several and self._event is not None:
            self._rings.add(name, self._event[2], now, alone=False)
        self._rings.add(name, to, now, alone=not several)
        self._event = (name, id, to)

    async def close(self) -> None:
        """Wait for what is being told."""
        await asyncio.gather(*self._telling, return_exceptions=True)

    def _refused(self, sender: Sender, name: str, to: list[str], now: float) -> TooFast | None:
        sent = self._sent.get(name)
        if self._send_rate and sender.verified and sent is not None:
            _forget_old(sent, now)
            if len(sent) >= self._send_rate:
                why = f"{sender.name} has sent {self._send_rate} times within a minute (POSTINO_SEND_RATE)"
                return _too_fast(why, "send_rate", EVERYBODY, next(iter(sent.values())) + SPAN_S - now)
        if not self._pair_rate or self._is_person(name, sender.via):
            return None
        for each in to:
            other = self._name(each)
            pair = self._pairs.get(_key(name, other))
            if pair is None or pair.last == name:
                continue
            _drop_old(pair.turns, now)
            if len(pair.turns) >= self._pair_rate:
                why = (
                    f"{sender.name} and {each} have answered each other {self._pair_rate} times within a minute "
                    "(POSTINO_PAIR_RATE), which looks like a loop; a person's message to one of them starts again"
                )
                return _too_fast(why, "pair_rate", each, pair.turns[0] + SPAN_S - now)
        if len(to) == 1 and (ring := self._rings.refused(name, self._name(to[0]), now)) is not None:
            members, until = ring
            why = (
                f"{', '.join(members[:-1])} and {members[-1]} have answered one another {self._pair_rate} times within "
                "a minute (POSTINO_PAIR_RATE), which looks like a loop; a person's message to one of them starts again"
            )
            return _too_fast(why, "ring_rate", to[0], until - now)
        return None

    def _count(self, name: str, id: str, now: float) -> bool:
        """Count a message of a sender; return False if it was counted before."""
        sent = self._sent.setdefault(name, {})
        _forget_old(sent, now)
        if id in sent:
            return False
        sent[id] = now
        return True

    def _turn(self, sender: str, to: str, now: float, *, person: bool) -> bool:
        """Count a message between two agents; return whether it is a turn."""
        if person:
            for key in [key for key in self._pairs if to in key]:
                del self._pairs[key]
            self._rings.reset(to)
            return False
        if sender == to or to in _UNGUARDED:
            return False
        pair = self._pairs.get(_key(sender, to))
        if pair is None:
            self._pairs[_key(sender, to)] = _Pair(sender)
            return False
        if pair.last == sender:
            return False
        _drop_old(pair.turns, now)
        pair.turns.append(now)
        pair.last = sender
        return True

    def _is_person(self, name: str, via: str) -> bool:
        return via == "web" or name in self.people

    def _name(self, name: str) -> str:
        lower = name.lower()
        return self._present.get(lower, lower)

    def _tell_once(self, sender: str, refused: TooFast, now: float) -> None:
        to, reason, wait_s = (refused.detail[each] for each in ("to", "reason", "retry_after_s"))
        about = f"{sender} {to} {reason}"
        if now - self._told.get(about, -TELL_S) < TELL_S:
            return
        self._told[about] = now
        log.warning("too_fast", sender=sender, to=to, reason=reason)
        task = asyncio.ensure_future(self._tell(sender, to, reason, wait_s))
        self._telling.add(task)
        task.add_done_callback(self._has_told)

    def _has_told(self, task: asyncio.Future[object]) -> None:
        self._telling.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:  # the refusal counts all the same
            log.warning("too_fast_not_told", error=str(error) or type(error).__name__)


def _keep_newest(*tables: dict[Any, Any]) -> None:
    """Drop the oldest entries of tables that have grown too large."""
    for table in tables:
        while len(table) > _MOST:
            del table[next(iter(table))]


def _key(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one < other else (other, one)


def _drop_old(times: deque[float], now: float) -> None:
    while times and now - times[0] >= SPAN_S:
        times.popleft()


def _forget_old(sent: dict[str, float], now: float) -> None:
    while sent and now - sent[oldest := next(iter(sent))] >= SPAN_S:
        del sent[oldest]


def _too_fast(why: str, reason: str, to: str, wait_s: float) -> TooFast:
    seconds = max(1, math.ceil(wait_s))
    message = f"{why}. Nothing was stored; the next message is accepted in {seconds} s"
    return TooFast(message, reason=reason, to=to, retry_after_s=seconds)
