"""Known agents: their records, aliases and counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from postino.event_place import stream_parts
from postino.model import Activity, Agent, Check, Kind, iso
from postino.store.entries import alias_target, decoded, pairs
from postino.store.keys import PER_AGENT
from postino.store.names import AgentEntry, Names
from postino.store.store import Limits, Store, Table
from postino.values import HUMAN, visible

LONGEST_PLACE = 1024  # characters of a directory or client
_MAX_RENAME_TRIES = 8  # each meets another rename of one of the two names
_TOGETHER = 50  # agents that one call of a script describes: about a millisecond
_PER_AGENT = 8  # values of its reply

#: agents above which what is counted or made of all of them may be some seconds old, so that what it costs is shared
MANY = 1000
SHARE = 50  # times as old as what it took: that costs 2 % of the time, whoever asks


class _Place(msgspec.Struct):
    """What the record of a session says about where it runs."""

    client: str | None = None
    directory: str | None = None


def _place(session: str | None) -> _Place:
    found = decoded(session, _Place) or _Place()
    return _Place(*(each and visible(each)[:LONGEST_PLACE] for each in (found.client, found.directory)))


def kind_of(name: str, entry: AgentEntry) -> Kind:
    """Return whether an agent is a person; the mailbox of all people counts as one."""
    return "human" if entry.human or name == HUMAN else "agent"


def _agent(name: str, activity: Callable[[str], Activity], row: list[Any]) -> Agent:
    """Return an agent from a row of the script `describe`."""
    value, live, session, waiting, oldest, leased, due, dead = row
    entry, place, online = AgentEntry.parse(value), _place(session), live.count("1")
    return Agent(
        name=name,
        kind=kind_of(name, entry),
        online=online > 0,
        activity=activity(name) if online else "unknown",
        client=place.client,
        directory=place.directory,
        message_count=waiting,
        unread=waiting - leased + due,
        oldest_unread=iso(stream_parts(oldest)[0]) if oldest else None,
        dead=dead,
        last_seen=iso(entry.seen) if entry.seen else None,
        sessions=online,
        aliases=entry.aliases,
        groups=entry.groups,
    )


class AgentTable(Table):
    """Every known agent and its aliases."""

    def __init__(self, store: Store, limits: Limits) -> None:
        super().__init__(store, limits)
        self._names = Names({}, {})
        self._place = "0-0"  # the entry of the stream of changes up to which `_names` has them
        self._reading = asyncio.Lock()
        self._began = 0.0  # the last reading of all names, in loop time

    async def names(self) -> Names:
        """Return every known name, as of a moment after the call; later calls change what they return.

        Of all names those alone are read that have changed since an earlier call.
        """
        keys, query, place = self._store.keys, self._store.query, self._place
        # newest first: on its way to a place XRANGE passes over up to 99 entries, which takes up to twice as long again
        found = await query("XREVRANGE", keys.shared("changes"), "+", place)
        if not found or found[-1][0] != place:  # more have changed since than are kept, or the store was emptied
            return await self._all_names()
        changed = [each for _, fields in reversed(found[:-1]) for each in fields[1].split()]
        named = {name: None for each in changed for name in (each, each.lower())}
        if named:
            values, cursors = await asyncio.gather(
                *(query("HMGET", keys.shared(kind), *named) for kind in ("agents", "cursors"))
            )
            if stream_parts(found[0][0]) > stream_parts(self._place):  # else another call was faster
                for change in zip(named, values, cursors, strict=True):
                    self._names.change(*change)
                self._place = found[0][0]
        return self._names

    async def _all_names(self) -> Names:
        clock = asyncio.get_running_loop().time
        asked = clock()
        async with self._reading:
            if self._began <= asked:  # else another call has read them since
                began, keys, query = clock(), self._store.keys, self._store.query
                newest, values, cursors = await asyncio.gather(
                    query("XREVRANGE", keys.shared("changes"), "+", "-", "COUNT", 1),
                    query("HGETALL", keys.shared("agents")),
                    query("HGETALL", keys.shared("cursors")),
                )
                self._names, self._began = Names(pairs(values), pairs(cursors)), began
                self._place = newest[0][0] if newest else "0-0"
            return self._names

    async def entry(self, name: str) -> tuple[str, AgentEntry | None]:
        """Return the present name and its record, None for an unknown name."""
        for _ in range(2):
            value: str | None = await self._store.call("HGET", self._store.keys.shared("agents"), name)
            if value is not None and alias_target(value) is None:
                entry = AgentEntry.parse(value)
                return name, None if entry.only_reads else entry
            name = await self._store.present(name)
        return name, None

    async def described(self, names: list[str], activity: Callable[[str], Activity]) -> list[Agent]:
        """Return the public description of agents, by their present names; those that no agent has now are left out."""
        parts = [names[at : at + _TOGETHER] for at in range(0, len(names), _TOGETHER)]
        found = await asyncio.gather(*(self._rows(part) for part in parts))
        rows = zip(names, (row for part in found for row in part), strict=True)
        return [_agent(name, activity, row) for name, row in rows if row[0]]

    async def _rows(self, names: list[str]) -> list[list[Any]]:
        keys = [self._store.keys.of(kind, name) for name in names for kind in ("inbox", "leases", "dead")]
        flat = await self._store.run_reading("describe", "", {"names": msgspec.json.encode(names).decode()}, more=keys)
        return [flat[at : at + _PER_AGENT] for at in range(0, len(flat), _PER_AGENT)]

    async def check(self, agent: str, session: str) -> Check:
        """Return how many messages a read of an agent could return now, and how many broadcasts it has not seen."""
        agent, (counts,) = await self._store.run_named(
            "check", agent, ttl_ms=self._limits.ttl_ms, session=session, max_dead=self._limits.max_inbox
        )
        unread, unseen = map(int, counts.split())
        return Check(agent=agent, unread_messages=unread, unseen_broadcasts=unseen)

    async def forget(self, agent: str) -> bool:
        """Remove an agent, or what was read under a name by nobody known; return False if there was no agent.

        Its message ids are kept for one time to live, under its former names too: a sender may still retry one.

        Raises:
            AgentBusy: it is online or has mail.
        """
        keys, ttl_ms = self._store.keys, self._limits.ttl_ms
        present, entry = await self.entry(agent)
        for alias in entry.aliases if entry else []:
            places = {"index_to": keys.of("index", alias)}
            await self._store.run("retain_ids", present, {"agent": present, "alias": alias, "ttl_ms": ttl_ms}, places)
        _, (known,) = await self._store.run_named("forget", agent, ttl_ms=ttl_ms)
        return bool(known)

    async def rename(self, old: str, new: str) -> tuple[str, str, list[str]]:
        """Move an agent to another name; return the name it had, the new one and its aliases.

        Raises:
            UnknownAgent, NameTaken, AliasLimit: nothing was changed.
        """
        keys, owner = self._store.keys, new
        for _ in range(_MAX_RENAME_TRIES):
            places = {f"{kind}_to": keys.of(kind, new) for kind in PER_AGENT}
            places |= {"inbox_own": keys.of("inbox", owner), "dead_own": keys.of("dead", owner)}
            values: dict[str, str | int] = {"old": old, "new": new, "owner": owner, "ttl_ms": self._limits.ttl_ms}
            reply = await self._store.run("rename", old, values, places)
            if reply[0] == "ok":
                return old, reply[1], msgspec.json.decode(reply[2], type=list[str])
            if reply[0] == "owner":
                owner = reply[1]
            elif reply[0] == "spelling":
                new = owner = reply[1]
            else:
                old = reply[1]
        return old, old, []
