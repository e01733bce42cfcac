"""What a person is notified of, and in which words: names, counts and a link, never a body.

Any program of this user can choose the name of an agent. Names are shortened, an unverified sender is marked, and
nothing in a name becomes a link.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from typing import NamedTuple

import msgspec

from postino.hint import MAX_SENDERS, sender_names, shortened, valid_names
from postino.values import count

MOST = 5  # names of one kind; the rest is a number
DOT = "\u2024"  # looks like a dot, but no client takes what contains it for the name of a host


class Unseen(NamedTuple):
    """A person's messages that nobody has opened; senders as `name`, or `name?` if it is not verified."""

    messages: int
    senders: list[str]


class Stuck(NamedTuple):
    """Messages that an agent does not read."""

    messages: int
    oldest_ms: int  # how long the oldest has waited


class Occasions(msgspec.Struct):
    """What one notification is about, by name."""

    unseen: dict[str, Unseen] = msgspec.field(default_factory=dict)
    dead: Counter[str] = msgspec.field(default_factory=Counter)
    stuck: dict[str, Stuck] = msgspec.field(default_factory=dict)
    too_fast: Counter[str] = msgspec.field(default_factory=Counter)  # by sender

    def __bool__(self) -> bool:
        return bool(self.unseen or self.dead or self.stuck or self.too_fast)

    @property
    def title(self) -> str:
        """One line for a locked screen."""
        parts = []
        if self.unseen:
            messages = sum(each.messages for each in self.unseen.values())
            whom = _name(next(iter(self.unseen))) if len(self.unseen) == 1 else f"{len(self.unseen)} people"
            parts.append(f"{count(messages, 'message')} for {whom}")
        if self.dead:
            parts.append(count(self.dead.total(), "dead letter"))
        if self.stuck:
            parts.append(f"{count(len(self.stuck), 'agent')} with unread mail")
        if self.too_fast:
            parts.append(f"{count(len(self.too_fast), 'agent')} sending too fast")
        return f"postino: {', '.join(parts)}"

    def body(self, link: str | None) -> str:
        """A line for each name, MOST of each kind, and the link."""
        lines = [*_first(self.unseen, self._unseen), *_first(self.dead, self._dead)]
        lines += [*_first(self.stuck, self._stuck), *_first(self.too_fast, self._too_fast)]
        return "\n".join([*lines, link] if link else lines)

    def _unseen(self, person: str) -> str:
        found = self.unseen[person]
        senders = sender_names(found.senders[:MAX_SENDERS]).replace(".", DOT)
        return f"{_name(person)}: {count(found.messages, 'unread message')}" + (f" from {senders}" if senders else "")

    def _dead(self, agent: str) -> str:
        return f"{_name(agent)}: {count(self.dead[agent], 'dead letter')}"

    def _stuck(self, agent: str) -> str:
        messages, oldest_ms = self.stuck[agent]
        verb = "waits" if messages == 1 else "wait"
        return f"{_name(agent)}: {count(messages, 'message')} {verb}, the oldest for {_lasting(oldest_ms)}"

    def _too_fast(self, sender: str) -> str:
        return f"{_name(sender)}: {count(self.too_fast[sender], 'message')} refused, sent too fast"


def _first(names: Collection[str], line: Callable[[str], str]) -> Iterator[str]:
    yield from (line(each) for each in islice(names, MOST))
    if len(names) > MOST:
        yield f"and {len(names) - MOST} more"


def _name(name: str) -> str:
    return shortened(name).replace(".", DOT) if valid_names([name]) else "?"


def _lasting(ms: int) -> str:
    minutes = ms // 60_000
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
