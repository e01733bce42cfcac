"""Known agents: their records, aliases and counts."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from postino.model import Agent, iso
from postino.store.store import Limits, Store, pairs


class AgentEntry(msgspec.Struct):
    """An agent's record, as lua/lib/agent.lua writes it."""

    since: int = 0
    seen: int = 0
    reads: bool = False
    sessions: list[str] = []
    aliases: list[str] = []


@dataclass(frozen=True, slots=True)
class Names:
    """Every known name at one moment: agents with their records, and aliases with the present name."""

    agents: dict[str, AgentEntry]
    aliases: dict[str, str]

    def present(self, name: str) -> str:
        """Return the present name behind `name`."""
        return self.aliases.get(name, name)

    def seen(self) -> list[str]:
        """Return the agents that have shown themselves at least once."""
        return [name for name, entry in self.agents.items() if entry.seen]


class AgentTable:
    """Every known agent and its aliases."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits

    async def names(self) -> Names:
        """Return every known name."""
        values = pairs(await self._store.call("HGETALL", self._store.keys.shared("agents")))
        agents = {
            name: msgspec.json.decode(value, type=AgentEntry)
            for name, value in values.items()
            if not value.startswith("@")
        }
        aliases = {name: value[1:].partition(" ")[0] for name, value in values.items() if value.startswith("@")}
        return Names(agents, aliases)

    async def entry(self, name: str) -> tuple[str, AgentEntry | None]:
        """Return the present name and its record, None for a name never heard of."""
        for _ in range(2):
            value: str | None = await self._store.call("HGET", self._store.keys.shared("agents"), name)
            if value is None:
                return name, None
            if not value.startswith("@"):
                return name, msgspec.json.decode(value, type=AgentEntry)
            name = value[1:].partition(" ")[0]
        return name, None

    async def describe(self, name: str, entry: AgentEntry, live: set[str]) -> Agent:
        """Return what the outside may know of an agent."""
        now = await self._store.now_ms()
        keys = self._store.keys
        waiting = int(await self._store.call("XLEN", keys.of("inbox", name)))
        leased = int(await self._store.call("ZCARD", keys.of("leases", name)))
        due = int(await self._store.call("ZCOUNT", keys.of("leases", name), "-inf", now))
        dead = int(await self._store.call("XLEN", keys.of("dead", name)))
        sessions = sum(1 for session in entry.sessions if session in live)
        return Agent(
            name=name,
            online=sessions > 0,
            message_count=waiting,
            unread=waiting - leased + due,
            dead=dead,
            last_seen=iso(entry.seen) if entry.seen else None,
            sessions=sessions,
            aliases=entry.aliases,
        )

    async def check(self, agent: str) -> tuple[str, int, int]:
        """Return the present name, messages a read could return now, and unseen broadcasts."""
        agent, (unread, unseen) = await self._store.run_named("check", agent, ttl_ms=self._limits.ttl_ms)
        return agent, int(unread), int(unseen)

    async def forget(self, agent: str) -> bool:
        """Remove an agent; return False when there is none.

        Its ids are remembered for one time to live under its former names too: a sender may be about to repeat one.

        Raises:
            AgentBusy: it is online or has mail.
        """
        keys, ttl_ms = self._store.keys, self._limits.ttl_ms
        present, entry = await self.entry(agent)
        for alias in entry.aliases if entry else []:
            places = {f"{kind}_to": keys.of(kind, alias) for kind in ("index", "order")}
            await self._store.run("retain_ids", present, {"agent": present, "alias": alias, "ttl_ms": ttl_ms}, places)
        _, (known,) = await self._store.run_named("forget", agent, ttl_ms=ttl_ms)
        return bool(known)

    async def rename(self, old: str, new: str) -> tuple[str, str, list[str]]:
        """Move an agent to another name; return the name it had, the new one and its aliases.

        Raises:
            UnknownAgent, NameTaken, AliasLimit: nothing was changed.
        """
        keys, owner = self._store.keys, new
        for _ in range(8):
            places = {f"{kind}_to": keys.of(kind, new) for kind in ("inbox", "leases", "index", "order", "dead")}
            places |= {"inbox_own": keys.of("inbox", owner), "dead_own": keys.of("dead", owner)}
            values: dict[str, str | int] = {"agent": old, "name": new, "owner": owner, "ttl_ms": self._limits.ttl_ms}
            reply = await self._store.run("rename", old, values, places)
            if reply[0] == "ok":
                return old, reply[1], msgspec.json.decode(reply[2], type=list[str])
            if reply[0] == "owner":
                owner = reply[1]
            else:
                old = reply[1]
        return old, old, []
