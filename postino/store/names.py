"""Every known name in memory, in the orders of lists; what a change costs does not grow with how many there are."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from postino.store.entries import alias_target, cursor_of, decoded
from postino.store.spellings import clashes, spelling_target
from postino.values import HUMAN

_Row = TypeVar("_Row", bound=tuple[Any, ...])

MOST_NAMED = 10  # agents that have seen a broadcast, and as many that have not


class AgentEntry(msgspec.Struct):
    """The record of an agent, as lua/lib/agent.lua writes it."""

    since: int = 0
    seen: int = 0
    reads: bool = False
    sessions: list[str] = []
    aliases: list[str] = []
    groups: list[str] = []
    human: bool = False

    @classmethod
    def parse(cls, value: str) -> AgentEntry:
        """Return the record that `value` is; of one that a disk has altered what lua/lib/agent.lua takes it for."""
        return decoded(value, cls) or cls(since=1, seen=1, human='"human":true' in value)

    @property
    def only_reads(self) -> bool:
        """Whether somebody has only read under this name, which makes nobody known."""
        return not (self.since or self.seen or self.human)


class Names:
    """Every known name: agents with their records, and aliases with the present name.

    `spellings` has those with capitals, by their lower case, and `readers` the names under which somebody has only
    read: they are no agents. A record may have an earlier time of the last sign of life
    than the store, and earlier groups.
    """

    def __init__(self, values: Mapping[str, str], cursors: Mapping[str, str]) -> None:
        self.agents: dict[str, AgentEntry] = {}
        self.aliases: dict[str, str] = {}
        self.spellings: dict[str, str] = {}
        self.readers: set[str] = set()
        self.reached = Reached()
        self._order: list[tuple[str, str]] = []  # agents, each with its name in lower case before it
        self._former: dict[str, list[str]] = {}  # aliases by the present name
        self._of_session: dict[str, str] = {}
        self._people: set[str] = set()
        for name, value in values.items():
            self._add(name, value, cursors.get(name))
        self._order.sort()
        self.reached.order.sort()

    def change(self, name: str, value: str | None, cursor: str | None) -> None:
        """Take what is stored of a name now: its value in the hash of agents and its cursor; None if it has none."""
        if (entry := self.agents.pop(name, None)) is not None:
            _remove(self._order, (name.lower(), name))
            self._people.discard(name)
            for session in entry.sessions:
                if self._of_session.get(session) == name:
                    del self._of_session[session]
        elif (target := self.aliases.pop(name, None)) is not None:
            self._former[target].remove(name)
        self.spellings.pop(name, None)
        self.readers.discard(name)
        self.reached.drop(name)
        if value is not None:
            self._add(name, value, cursor, sort=True)

    def _add(self, name: str, value: str, cursor: str | None, *, sort: bool = False) -> None:
        if spelling := spelling_target(value):
            self.spellings[name] = spelling
        elif target := alias_target(value):
            self.aliases[name] = target
            self._former.setdefault(target, []).append(name)
        else:
            entry = AgentEntry.parse(value)
            if entry.only_reads:
                self.readers.add(name)
                return
            self.agents[name] = entry
            _put(self._order, (name.lower(), name), sort=sort)
            self._of_session |= dict.fromkeys(entry.sessions, name)
            if entry.human:
                self._people.add(name)
            elif entry.seen:
                self.reached.put(name, cursor, sort=sort)

    def present(self, name: str) -> str:
        """Return the present name of the agent called `name`, in any case."""
        if name in self.agents:
            return name
        if name not in self.aliases:
            lower = name.lower()
            spelled = lower if lower in self.agents or lower in self.aliases else self.spellings.get(lower, name)
            return self.aliases.get(spelled, spelled if spelled in self.agents else name)
        return self.aliases[name]

    def key(self, name: str) -> str:
        """Return what every spelling of a name has in common, also of one that nobody has."""
        present = self.present(name)
        return present if present in self.agents else present.lower()

    def all_of(self, name: str) -> list[str]:
        """Return every name of the agent called `name`, the present one first."""
        present = self.present(name)
        return [present, *self._former.get(present, ())]

    def warnings(self) -> list[str]:
        """Return a sentence for each pair of agents of older data whose names differ only in case."""
        return [
            f"the agents {one} and {other} differ only in case and stay two; rename one of them"
            for one, other in clashes(self.agents)
        ]

    def in_order(self, offset: int = 0, limit: int | None = None) -> list[str]:
        """Return agents in the order of their names."""
        return [name for _, name in self._order[offset : None if limit is None else offset + limit]]

    @property
    def seen(self) -> list[str]:
        """The agents that have acted at least once, not only been written to."""
        return [name for name, entry in self.agents.items() if entry.seen]

    @property
    def people(self) -> list[str]:
        """The people, sorted."""
        return sorted(self._people - {HUMAN}, key=str.lower)

    def online(self, live: set[str]) -> list[str]:
        """Return the agents with a session in `live`, sorted."""
        return sorted({agent for each in live if (agent := self._of_session.get(each))}, key=str.lower)


class Reached:
    """How far each agent has read, by the number of the last broadcast that it has seen."""

    def __init__(self) -> None:
        self.order: list[tuple[int, str, str]] = []  # number, name in lower case, name
        self._places: dict[str, tuple[int, str, str]] = {}

    def put(self, name: str, cursor: str | None, *, sort: bool) -> None:
        """Add an agent; without `sort` the caller sorts the order."""
        _, number = cursor_of(cursor) or ("", 0)
        self._places[name] = place = number, name.lower(), name
        _put(self.order, place, sort=sort)

    def drop(self, name: str) -> None:
        """Take an agent out of the order."""
        if (place := self._places.pop(name, None)) is not None:
            _remove(self.order, place)

    def of(self, seq: int) -> dict[str, Any]:
        """Return members of a record: how many of how many have seen a broadcast, and the names of some of each."""
        first = bisect_left(self.order, (seq,))  # of those that have seen it
        return {
            "seen": len(self.order) - first,
            "agents": len(self.order),
            "seen_by": _names(self.order[first : first + MOST_NAMED]),
            "not_seen_by": _names(self.order[: min(first, MOST_NAMED)]),
        }


def _put(order: list[_Row], row: _Row, *, sort: bool) -> None:
    if sort:
        insort(order, row)
    else:
        order.append(row)


def _remove(order: list[_Row], row: _Row) -> None:
    del order[bisect_left(order, row)]


def _names(rows: list[tuple[int, str, str]]) -> list[str]:
    return [name for _, _, name in rows]
