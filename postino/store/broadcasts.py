"""Broadcasts: one stream for all agents, and the cursor of each in it."""

from __future__ import annotations

import msgspec
import structlog

from postino.errors import UnknownMessage
from postino.model import Broadcast, BroadcastBatch, BroadcastDraft, BroadcastSent, Sender, UnseenBroadcast, digest
from postino.parts import Part, Place
from postino.store.entries import listed, packed, pairs, unpacked
from postino.store.index_entry import IndexEntry
from postino.store.keys import ALL
from postino.store.parts import part
from postino.store.store import Store, accepted

log = structlog.get_logger()


class BroadcastStream:
    """The broadcasts that are still stored."""

    def __init__(self, store: Store, *, ttl_ms: int, most: int) -> None:
        self._store = store
        self._ttl_ms = ttl_ms
        self._most = most

    async def broadcast(self, draft: BroadcastDraft, sender: Sender) -> BroadcastSent:
        """Accept a broadcast once per id.

        Raises:
            KeyReused: nothing was stored.
        """
        marks = self._store.marks
        values: dict[str, str | int] = {
            "id": draft.id,
            "digest": digest(sender.name, draft.body, None, None),
            "sender": sender.name,
            "message": packed(draft.id, sender, draft.body),
            "max_broadcasts": self._most,
            "ttl_ms": self._ttl_ms,
            "session": sender.session,
            "marked_until": marks.until(sender.name, ALL),
        }
        seq, created, marked = accepted(await self._store.run("broadcast", ALL, values))
        marks.note(int(marked), sender.name, ALL)
        return BroadcastSent(id=draft.id, seq=int(seq), created=bool(created), durability=self._store.durability)

    async def read(
        self,
        agent: str,
        limit: int,
        *,
        after: str | None = None,
        budget: int | None = None,
        move: bool = True,
        lease: bool = False,
        session: str = "",
    ) -> BroadcastBatch:
        """Return broadcasts that `agent` has not seen; `missed` counts those trimmed before they were given to it.

        With `move` the agent's cursor moves past the last one returned. Without it the caller keeps the returned
        cursor, passes it as `after` next time, and moves the agent's by `move_cursor`; before it gives what it read to
        anybody it calls `mark_given`, so that a repeat is labelled and what was missed is told once. With `lease` it is
        told until the cursor moves: the answer that told it may have been lost.
        """
        agent, (items, missed, cursor, more) = await self._store.run_named(
            "read_broadcasts",
            agent,
            after=after or "",
            limit=limit,
            budget=budget or 0,
            move="lease" if lease else "1" if move else "",
            ttl_ms=self._ttl_ms,
            session=session,
        )
        return BroadcastBatch(
            items=[_unseen(unpacked(fields), fingerprint, bool(given)) for _, given, fields, fingerprint in items],
            more=bool(more),
            missed=int(missed),
            cursor=cursor,
            agent=agent,
        )

    async def mark_given(self, agent: str, cursor: str) -> None:
        """Note that the broadcasts up to `cursor` are being given to the agent. Repeating does nothing."""
        await self._store.run_named("mark_given", agent, number=int(cursor.rpartition(" ")[2]))

    async def move_cursor(self, agent: str, cursor: str) -> None:
        """Move the agent's cursor to `cursor` unless it is already there or further."""
        await self._store.run_named("move_cursor", agent, cursor=cursor)

    async def seen(self, agent: str, id: str) -> str:
        """Move the agent's cursor past the broadcast `id`, unless it is further; return the agent's present name.

        Raises:
            UnknownMessage: nothing is known of that broadcast, or no longer.
        """
        value = await self._store.call("HGET", self._store.keys.of("index", ALL), id)
        if value is None:
            raise UnknownMessage(f"no broadcast {id} is known, or no longer")
        try:
            entry = IndexEntry.told(value)
        except (msgspec.MsgspecError, ValueError):  # the disk has altered it
            raise UnknownMessage(f"what is stored about broadcast {id} was altered and cannot be read") from None
        agent, _ = await self._store.run_named("move_cursor", agent, cursor=f"{entry.s} {entry.q}")
        return agent

    async def part(self, limit: int, place: Place) -> Part[Broadcast]:
        """Return broadcasts, not yet with who has seen each."""
        keys = self._store.keys
        return await part(self._store, keys.shared("broadcasts"), keys.of("index", ALL), limit, place, _broadcast)

    async def page(self, limit: int, offset: int) -> tuple[list[Broadcast], int]:
        """Return broadcasts, and how many there are."""
        found = await self.part(limit, Place(offset))
        return found.items, found.total

    async def departures(self, since_ms: int, limit: int) -> list[tuple[str, int]]:
        """Return the agents that went offline at `since_ms` or later, and when in ms, newest first."""
        key = self._store.keys.shared("departures")
        found = await self._store.query("XREVRANGE", key, "+", max(0, since_ms), "COUNT", limit)
        return [(pairs(fields)["agent"], int(id.partition("-")[0])) for id, fields in found]

    async def count(self) -> int:
        """Return how many broadcasts are stored."""
        return int(await self._store.call("XLEN", self._store.keys.shared("broadcasts")))

    async def clear(self) -> int:
        """Delete all broadcasts; return how many there were."""
        return int(await self._store.run("clear_broadcasts", ALL, {"ttl_ms": self._ttl_ms}))


def _unseen(fields: dict[str, str], fingerprint: str, given: bool) -> UnseenBroadcast:
    """Return a broadcast for a reader, who gets no body that was altered."""
    found = listed(fields, fingerprint)
    if found.get("altered"):
        log.error("broadcast_altered", id=found["id"], seq=found["seq"])
        found["body"] = ""
    return UnseenBroadcast(**found, redelivered=given)


def _broadcast(fields: dict[str, str], fingerprint: str) -> Broadcast:
    return Broadcast(**listed(fields, fingerprint), seen=0, agents=0)
