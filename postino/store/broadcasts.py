"""Broadcasts: one stream for all, and each agent's place in it."""

from __future__ import annotations

from typing import Any

from postino.model import Announcement, Broadcast, BroadcastBatch, BroadcastDraft, BroadcastSent, Sender, digest, iso
from postino.store.keys import FEED
from postino.store.store import Store, pairs


class BroadcastStream:
    """What all agents see."""

    def __init__(self, store: Store, *, ttl_ms: int, most: int) -> None:
        self._store = store
        self._ttl_ms = ttl_ms
        self._most = most

    async def broadcast(self, draft: BroadcastDraft, sender: Sender) -> BroadcastSent:
        """Accept a broadcast once per id.

        Raises:
            KeyReused: nothing was stored.
        """
        keys = self._store.keys
        values: dict[str, str | int] = {
            "id": draft.id,
            "digest": digest(sender.name, draft.body, None, None),
            "sender": sender.name,
            "body": draft.body,
            "verified": "1" if sender.verified else "",
            "via": sender.via,
            "max_broadcasts": self._most,
            "ttl_ms": self._ttl_ms,
        }
        own = {"index": keys.of("index", FEED), "order": keys.of("order", FEED)}
        seq, created = await self._store.run("broadcast", FEED, values, own)
        return BroadcastSent(id=draft.id, seq=int(seq), created=bool(created), durability=self._store.durability)

    async def read(
        self, agent: str, limit: int, *, after: str | None = None, budget: int | None = None, move: bool = True
    ) -> BroadcastBatch:
        """Give what `agent` has not seen; `missed` counts those that were trimmed before it came.

        With `move` its cursor goes behind the last one given at once. Without, the caller keeps the
        returned cursor, passes it as `after` next time and sets it with `move_cursor`.
        """
        agent, (items, missed, cursor, more) = await self._store.run_named(
            "read_broadcasts",
            agent,
            after=after or "",
            limit=limit,
            budget=budget or 0,
            move="1" if move else "",
            ttl_ms=self._ttl_ms,
        )
        return BroadcastBatch(
            items=[_announcement(pairs(fields)) for _, fields in items],
            more=bool(more),
            missed=int(missed),
            cursor=cursor,
            agent=agent,
        )

    async def move_cursor(self, agent: str, cursor: str) -> None:
        """Set the agent's cursor to the later of its own and `cursor`."""
        await self._store.run_named("move_cursor", agent, cursor=cursor)

    async def page(self, limit: int, offset: int) -> tuple[list[Broadcast], int]:
        """Return broadcasts oldest first with who has seen them, and how many there are."""
        total, entries = await self._store.slice(self._store.keys.shared("broadcasts"), offset, limit)
        cursors = await self._store.call("HVALS", self._store.keys.shared("cursors"))
        places = sorted(int(each.rpartition(" ")[2]) for each in cursors)
        return [_broadcast(pairs(fields), places) for _, fields in entries], total

    async def clear(self) -> int:
        """Drop all broadcasts; return how many there were."""
        return int(await self._store.run("clear_broadcasts", FEED, {"ttl_ms": self._ttl_ms}))


def _announcement(fields: dict[str, str]) -> Announcement:
    return Announcement(**_members(fields))


def _broadcast(fields: dict[str, str], places: list[int]) -> Broadcast:
    seq = int(fields["seq"])
    return Broadcast(**_members(fields), seen=sum(1 for place in places if place >= seq), agents=0)


def _members(fields: dict[str, str]) -> dict[str, Any]:
    return {
        "id": fields["id"],
        "seq": int(fields["seq"]),
        "from_": fields["from"],
        "verified": bool(fields["verified"]),
        "via": fields["via"],
        "body": fields["body"],
        "timestamp": iso(int(fields["t"])),
    }
