"""Agents, their sessions and their presence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from postino.model import Agent, iso
from postino.store.inbox import Limits, pairs
from postino.store.store import Store

ONLINE_MS = 30_000  # an agent is offline this long after its last sign of life


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


class Roster:
    """Who there is."""

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

    async def live(self) -> set[str]:
        """Return the sessions that are online now."""
        now = await self.now_ms()
        return set(await self._store.call("ZRANGEBYSCORE", self._store.keys.shared("presence"), f"({now}", "+inf"))

    async def describe(self, name: str, entry: AgentEntry, live: set[str]) -> Agent:
        """Return what the outside may know of an agent."""
        now = await self.now_ms()
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

    async def now_ms(self) -> int:
        """Return Valkey's clock: the only one that decides."""
        seconds, micros = await self._store.call("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    async def check(self, agent: str) -> tuple[str, int, int]:
        """Return the present name, messages a read could return now, and unseen broadcasts."""
        agent, (unread, unseen) = await self._store.run_named("check", agent, ttl_ms=self._limits.ttl_ms)
        return agent, int(unread), int(unseen)

    async def join(
        self, session: str, generation: int, name: str, candidates: list[str], about: dict[str, str | int]
    ) -> tuple[str, int, bool]:
        """Register a session; return its agent, the other live sessions of it, and whether it was derived.

        Raises:
            StaleSession: a later connection of the session has joined.
        """
        values: dict[str, str | int] = {
            "session": session,
            "generation": generation,
            "name": name,
            "candidates": msgspec.json.encode(candidates).decode(),
            "about": msgspec.json.encode(about).decode(),
            "online_ms": ONLINE_MS,
        }
        agent, others, derived = await self._store.run("join", "", values)
        return agent, int(others), bool(derived)

    async def identify(self, session: str) -> str | None:
        """Return the agent that a session acts as now; None when it is unknown or has to join anew."""
        reply = await self._store.run("identify", "", {"session": session})
        return str(reply[0]) if reply else None

    async def session(self, session: str) -> dict[str, Any] | None:
        """Return what is kept of a session."""
        value = await self._store.call("HGET", self._store.keys.shared("sessions"), session)
        return msgspec.json.decode(value, type=dict[str, Any]) if value else None

    async def leave(self, agent: str, session: str, generation: int, *, stay: bool = False) -> int:
        """End a connection; return how many messages it gave back. `stay`: the session itself goes on."""
        _, reply = await self._store.run_named(
            "leave", agent, session=session, generation=generation, stay="1" if stay else ""
        )
        return int(reply[0])

    async def prolong(self, agent: str, session: str, generation: int) -> str:
        """Keep a session online and its leases running; return its present agent."""
        agent, _ = await self._store.run_named(
            "prolong",
            agent,
            session=session,
            generation=generation,
            online_ms=ONLINE_MS,
            lease_ms=self._limits.lease_ms,
        )
        return agent

    async def heartbeat(self, agent: str, *, online: bool = True) -> str:
        """Keep an HTTP agent online, or take it offline; return its present name."""
        agent, _ = await self._store.run_named("heartbeat", agent, online_ms=ONLINE_MS if online else 0)
        return agent

    async def expire_presence(self) -> int:
        """Take silent sessions offline; return how many."""
        return int(await self._store.run("expire_presence", "", {}))

    async def forget_sessions(self) -> int:
        """Drop what is kept of sessions that ended one time to live ago; return how many. One by one, each atomic."""
        key, now, cursor, dropped = self._store.keys.shared("sessions"), await self.now_ms(), "0", 0
        while True:
            cursor, flat = await self._store.call("HSCAN", key, cursor, "COUNT", 200)
            for session, value in pairs(flat).items():
                known = msgspec.json.decode(value, type=dict[str, Any])
                kept_by_age = session.startswith(("claude:", "process:"))
                ended = known.get("left") or (known.get("at", 0) if kept_by_age else now)
                if int(ended) + self._limits.ttl_ms < now:
                    dropped += int(await self._store.run("forget_session", "", {"session": session, "seen": value}))
            if cursor in ("0", b"0", 0):
                return dropped

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
            await self._store.run("remember", present, {"agent": present, "alias": alias, "ttl_ms": ttl_ms}, places)
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
