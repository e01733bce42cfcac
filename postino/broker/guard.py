"""The loop guard: how often one sender may send, and how often two agents may answer each other.

It counts what this daemon accepts, at once, and by their events what other daemons on the same store accept, some
milliseconds later. Nothing of it is stored, so that it costs a send no command; a daemon that starts begins at zero.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
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


class _Pair(msgspec.Struct):
    """Two agents: who of them wrote last, and when the one has answered the other."""

    last: str
    turns: deque[float] = msgspec.field(default_factory=deque)


class Counted(msgspec.Struct):
    """What was counted for one send, for as long as the send is made. `created` is how many of the messages were
    stored; None: not known. What stored nothing, or certainly failed, is not counted in the end.
    """

    guard: Guard | None  # None: nothing is counted
    name: str
    to: Sequence[str]
    id: str
    created: int | None = None
    counts: bool = False  # for its sender: not a message that had been counted
    turns: list[str] = []
    led: list[tuple[str, Chain | None]] = []  # what `Rings.restore` takes

    def __enter__(self) -> Counted:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Exception) and not (
            isinstance(error, StoreAway) and error.detail.get("outcome") == "unknown"
        ):
            self.created = 0
        if self.guard is not None and self.created is not None and self.created < len(self.to):
            self.guard.withdraw(self)


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
        self.people: frozenset[str] = frozenset()

    def counting(self, sender: Sender, to: Sequence[str], id: str) -> Counted:
        """Count a send that is made within, or refuse it. What stores nothing does not count.

        The caller notes in the returned record how many messages were `created`.

        Raises:
            TooFast: `reason` is `send_rate`, `pair_rate` or `ring_rate`.
        """
        name = self._name(sender.name)
        if name in _UNGUARDED or not (self._send_rate or self._pair_rate):
            return Counted(None, name, to, id)
        counted = Counted(self, name, to, id)
        now, recipients = self._clock(), [*map(self._name, to)]
        person = self._is_person(name, sender.via)
        known = id in self._sent.get(name, ())
        if not known and (refused := self._refused(sender, name, to, recipients, now, person=person)) is not None:
            self._tell_once(sender.name, refused, now)
            raise refused
        self._own[name, id] = len(recipients)
        _keep_newest(self._own)
        if sender.verified and self._send_rate:
            counted.counts = self._count(name, id, now)
        if self._pair_rate:
            alone = len(recipients) == 1
            for each in recipients:
                if self._turn(name, each, now, person=person):
                    counted.turns.append(each)
                if not person and each != name and each != EVERYBODY:
                    counted.led.append((each, self._rings.add(name, each, now, alone=alone)))
        return counted

    def withdraw(self, counted: Counted) -> None:
        """Take back what was counted for messages that were not created: no event tells of them."""
        name, id = counted.name, counted.id
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

    def note_people(self, names: frozenset[str]) -> None:
        """Take the names of all people, in lower case."""
        self.people = names

    def note_name(self, sender: str, asked: str, present: str) -> None:
        """Note the present name of an agent to whom somebody wrote under another one."""
        if asked == present or self._name(asked) == present.lower():
            return
        name, before = self._name(sender), self._name(asked)
        self._present[asked.lower()] = present.lower()
        _keep_newest(self._present)
        self._rings.rename(before, present.lower())
        if (pair := self._pairs.pop(_key(name, before), None)) is not None:
            self._pairs.setdefault(_key(name, present.lower()), pair)

    def count(self, event: Event) -> None:
        """Count what another daemon has accepted. Only what came by MCP is known to be of a verified sender."""
        if event.type not in ("msg_send", "broadcast"):
            return
        data = event.data
        key = name, id = self._name(str(data.get("from", ""))), str(data.get("id", ""))
        if name in _UNGUARDED:
            return
        if left := self._own.get(key):
            if left > 1:
                self._own[key] = left - 1
            else:
                del self._own[key]
            return
        now, via = self._clock(), data.get("via")
        if via == "mcp":  # a message to several has an event for each of them
            self._count(name, id, now)
        if event.type == "msg_send" and self._pair_rate:
            to, person = self._name(str(data["to"])), self._is_person(name, str(via))
            self._turn(name, to, now, person=person)
            if not person:
                self._note_led(name, id, to, now)

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

    def _refused(
        self, sender: Sender, name: str, to: Sequence[str], recipients: list[str], now: float, *, person: bool
    ) -> TooFast | None:
        sent = self._sent.get(name)
        if self._send_rate and sender.verified and sent is not None:
            _forget_old(sent, now)
            if len(sent) >= self._send_rate:
                why = f"{sender.name} has sent {self._send_rate} times within a minute (POSTINO_SEND_RATE)"
                return _too_fast(why, "send_rate", EVERYBODY, next(iter(sent.values())) + SPAN_S - now)
        if not self._pair_rate or person:
            return None
        for at, other in enumerate(recipients):
            pair = self._pairs.get(_key(name, other))
            if pair is None or pair.last == name:
                continue
            _drop_old(pair.turns, now)
            if len(pair.turns) >= self._pair_rate:
                why = (
                    f"{sender.name} and {to[at]} have answered each other {self._pair_rate} times within a minute "
                    "(POSTINO_PAIR_RATE), which looks like a loop; a person's message to one of them starts again"
                )
                return _too_fast(why, "pair_rate", to[at], pair.turns[0] + SPAN_S - now)
        if len(to) == 1 and (ring := self._rings.refused(name, recipients[0], now)) is not None:
            members, until = ring
            why = (
                f"{', '.join(members[:-1])} and {members[-1]} have answered one another {self._pair_rate} times within "
                "a minute (POSTINO_PAIR_RATE), which looks like a loop; a person's message to one of them starts again"
            )
            return _too_fast(why, "ring_rate", to[0], until - now)
        return None

    def _count(self, name: str, id: str, now: float) -> bool:
        """Count a message of a sender; return False if it was counted before."""
        sent = self._sent.get(name)
        if sent is None:
            sent = self._sent[name] = {}
            _keep_newest(self._sent)
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
        key = _key(sender, to)
        pair = self._pairs.get(key)
        if pair is None:
            self._pairs[key] = _Pair(sender)
            _keep_newest(self._pairs)
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
        _keep_newest(self._told)
        log.warning("too_fast", sender=sender, to=to, reason=reason)
        task = asyncio.ensure_future(self._tell(sender, to, reason, wait_s))
        self._telling.add(task)
        task.add_done_callback(self._has_told)

    def _has_told(self, task: asyncio.Future[object]) -> None:
        self._telling.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:  # the refusal counts all the same
            log.warning("too_fast_not_told", error=str(error) or type(error).__name__)


def _keep_newest(table: dict[Any, Any]) -> None:
    """Drop the oldest entries of a table that has grown too large."""
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
