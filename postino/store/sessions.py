"""Connected sessions and presence: who is online, and as which agent."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from postino.store.entries import pairs
from postino.store.store import Table

ONLINE_MS = 30_000  # an agent is offline this long after its last sign of life


class SessionTable(Table):
    """What is stored of every session."""

    async def live(self) -> set[str]:
        """Return the sessions that are online now."""
        now = await self._store.now_ms()
        return set(await self._store.call("ZRANGEBYSCORE", self._store.keys.shared("presence"), f"({now}", "+inf"))

    async def live_of(self, sessions: list[str]) -> set[str]:
        """Return those of `sessions` that are online now, however many others are."""
        key, call = self._store.keys.shared("presence"), self._store.call
        now, *ends = await asyncio.gather(self._store.now_ms(), *(call("ZSCORE", key, each) for each in sessions))
        return {each for each, end in zip(sessions, ends, strict=True) if end is not None and float(end) > now}

    async def join(
        self, session: str, generation: int, name: str, candidates: list[str], about: dict[str, str | int]
    ) -> tuple[str, int, bool]:
        """Register a session; return its agent, how many other live sessions that has, and whether it was derived.

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

    async def agent_of(self, session: str) -> str | None:
        """Return the agent that a session acts as now; None if the session is unknown or has to join again."""
        reply = await self._store.run("agent_of", "", {"session": session})
        return str(reply[0]) if reply else None

    async def note_client(self, session: str, client: str) -> None:
        """Record which client a session belongs to; for a session that is not known it is ignored."""
        await self._store.run("note_client", "", {"session": session, "client": client})

    async def session(self, session: str) -> dict[str, Any] | None:
        """Return the record of a session."""
        value = await self._store.call("HGET", self._store.keys.shared("sessions"), session)
        return msgspec.json.decode(value, type=dict[str, Any]) if value else None

    async def leave(self, agent: str, session: str, generation: int, *, stay: bool = False) -> None:
        """End a connection: what it has leased goes back to the inbox.

        With `stay` the session itself goes on, under a new connection.
        """
        await self._store.run_named("leave", agent, session=session, generation=generation, stay="1" if stay else "")

    async def keepalive(self, agent: str, session: str, generation: int, shown: dict[str, int]) -> None:
        """Keep a session online and extend its leases of what it was shown."""
        await self._store.run_named(
            "keepalive",
            agent,
            session=session,
            generation=generation,
            online_ms=ONLINE_MS,
            lease_ms=self._limits.lease_ms,
            shown=msgspec.json.encode(shown).decode(),
        )

    async def heartbeat(self, agent: str, *, online: bool = True) -> str:
        """Keep an HTTP agent online, or take it offline; return its present name."""
        agent, _ = await self._store.run_named("heartbeat", agent, online_ms=ONLINE_MS if online else 0)
        return agent

    async def expire_presence(self) -> int:
        """Take silent sessions offline, at most 100; return how many."""
        return int(await self._store.run("expire_presence", "", {"online_ms": ONLINE_MS}))

    async def forget_sessions(self) -> None:
        """Delete the records of sessions that ended one time to live ago, one by one."""
        key, now, cursor = self._store.keys.shared("sessions"), await self._store.now_ms(), "0"
        while True:
            cursor, flat = await self._store.call("HSCAN", key, cursor, "COUNT", 200)
            for session, value in pairs(flat).items():
                known = msgspec.json.decode(value, type=dict[str, Any])
                has_no_end = session.startswith(("claude:", "process:"))
                ended = known.get("left") or (known.get("at", 0) if has_no_end else now)
                if int(ended) + self._limits.ttl_ms < now:
                    await self._store.run("forget_session", "", {"session": session, "record": value})
            if cursor == "0":
                return
