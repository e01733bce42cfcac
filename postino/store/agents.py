"""Known agents: their records, aliases and counts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cached_property

import msgspec

from postino.model import Activity, Agent, Kind, iso
from postino.store.entries import alias_target, pairs
from postino.store.keys import PER_AGENT
from postino.store.spellings import clashes, spelling_target
from postino.store.store import Limits, Store
from postino.values import HUMAN, visible

LONGEST_PLACE = 1024  # characters of a directory or client
_MAX_RENAME_TRIES = 8  # each meets another rename of one of the two names


#: names above which listings, searches and counts may be some seconds old, so that what they cost is shared
MANY = 1000
SHARE = 50  # times as old as what it took to read them: that costs 2 % of the time, whoever asks


class AgentEntry(msgspec.Struct):
    """The record of an agent, as lua/lib/agent.lua writes it."""

    since: int = 0
    seen: int = 0
    reads: bool = False
    sessions: list[str] = []
    aliases: list[str] = []
    groups: list[str] = []
    human: bool = False

    @property
    def only_reads(self) -> bool:
        """Whether somebody has only read under this name, which makes nobody known."""
        return not (self.since or self.seen or self.human)


class _Place(msgspec.Struct):
    """What the record of a session says about where it runs."""

    client: str | None = None
    directory: str | None = None


def _place(session: str | None) -> _Place:
    try:
        found = msgspec.json.decode(session, type=_Place) if session else _Place()
    except msgspec.MsgspecError:  # another program damaged the record
        return _Place()
    return _Place(*(each and visible(each)[:LONGEST_PLACE] for each in (found.client, found.directory)))


def kind_of(name: str, entry: AgentEntry) -> Kind:
    """Return whether an agent is a person; the mailbox of all people counts as one."""
    return "human" if entry.human or name == HUMAN else "agent"


@dataclass(frozen=True)
class Names:
    """Every known name at one moment: agents with their records, and aliases with the present name.

    `spellings` has those with capitals, by their lower case, and `readers` the names under which somebody has only
    read: they are no agents. What is derived from them is made once, since `names_lately` gives the same ones to many
    callers.
    """

    agents: dict[str, AgentEntry]
    aliases: dict[str, str]
    spellings: dict[str, str]
    readers: list[str]

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
        return [present, *(alias for alias, target in self.aliases.items() if target == present)]

    def warnings(self) -> list[str]:
        """Return a sentence for each pair of agents of older data whose names differ only in case."""
        return [
            f"the agents {one} and {other} differ only in case and stay two; rename one of them"
            for one, other in clashes(self.agents)
        ]

    @cached_property
    def seen(self) -> list[str]:
        """The agents that have acted at least once, not only been written to."""
        return [name for name, entry in self.agents.items() if entry.seen]

    @cached_property
    def in_order(self) -> list[str]:
        """The agents, sorted."""
        return sorted(self.agents, key=str.lower)

    @cached_property
    def people(self) -> list[str]:
        """The people, sorted."""
        return sorted((name for name, entry in self.agents.items() if entry.human and name != HUMAN), key=str.lower)

    def online(self, live: set[str]) -> list[str]:
        """Return the agents with a session in `live`, sorted."""
        return sorted({agent for each in live if (agent := self._of_session.get(each))}, key=str.lower)

    @cached_property
    def _of_session(self) -> dict[str, str]:
        return {session: name for name, entry in self.agents.items() for session in entry.sessions}


class AgentTable:
    """Every known agent and its aliases."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self._known: Names | None = None  # of `names_lately`
        self._known_until = 0.0  # loop time

    async def names(self) -> Names:
        """Return every known name."""
        agents: dict[str, AgentEntry] = {}
        aliases: dict[str, str] = {}
        spellings: dict[str, str] = {}
        readers: list[str] = []
        for name, value in pairs(await self._store.call("HGETALL", self._store.keys.shared("agents"))).items():
            if spelling := spelling_target(value):
                spellings[name] = spelling
            elif target := alias_target(value):
                aliases[name] = target
            elif (entry := msgspec.json.decode(value, type=AgentEntry)).only_reads:
                readers.append(name)
            else:
                agents[name] = entry
        return Names(agents, aliases, spellings, readers)

    async def names_lately(self) -> Names:
        """Return every known name; above MANY names as they were at most SHARE times as long ago as reading takes."""
        clock = asyncio.get_running_loop().time
        if self._known is None or clock() > self._known_until:
            began = clock()
            self._known = await self.names()
            many = len(self._known.agents) > MANY
            self._known_until = clock() + SHARE * (clock() - began) if many else 0.0
        return self._known

    async def entry(self, name: str) -> tuple[str, AgentEntry | None]:
        """Return the present name and its record, None for an unknown name."""
        for _ in range(2):
            value: str | None = await self._store.call("HGET", self._store.keys.shared("agents"), name)
            if value is not None and alias_target(value) is None:
                entry = msgspec.json.decode(value, type=AgentEntry)
                return name, None if entry.only_reads else entry
            name = await self._store.present(name)
        return name, None

    async def describe(self, name: str, entry: AgentEntry, live: set[str], activity: Activity) -> Agent:
        """Return the public description of an agent; `live` are the sessions that are online."""
        now = await self._store.now_ms()
        online = [session for session in entry.sessions if session in live]
        latest = (online or entry.sessions or [""])[-1]
        keys, call = self._store.keys, self._store.call
        waiting, first, leased, due, dead, session = await asyncio.gather(
            call("XLEN", keys.of("inbox", name)),
            call("XRANGE", keys.of("inbox", name), "-", "+", "COUNT", 1),
            call("ZCARD", keys.of("leases", name)),
            call("ZCOUNT", keys.of("leases", name), "-inf", now),
            call("XLEN", keys.of("dead", name)),
            call("HGET", keys.shared("sessions"), latest),
        )
        place = _place(session)
        return Agent(
            name=name,
            kind=kind_of(name, entry),
            online=bool(online),
            activity=activity if online else "unknown",
            client=place.client,
            directory=place.directory,
            message_count=waiting,
            unread=waiting - leased + due,
            oldest_unread=iso(int(first[0][0].partition("-")[0])) if first else None,
            dead=dead,
            last_seen=iso(entry.seen) if entry.seen else None,
            sessions=len(online),
            aliases=entry.aliases,
            groups=entry.groups,
        )

    async def check(self, agent: str, session: str) -> tuple[str, int, int]:
        """Return the present name, how many messages a read could return now, and how many broadcasts are unseen."""
        agent, (unread, unseen) = await self._store.run_named(
            "check", agent, ttl_ms=self._limits.ttl_ms, session=session, max_dead=self._limits.max_inbox
        )
        return agent, int(unread), int(unseen)

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
            values: dict[str, str | int] = {"agent": old, "name": new, "owner": owner, "ttl_ms": self._limits.ttl_ms}
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
