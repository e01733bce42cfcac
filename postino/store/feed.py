"""The broadcast feed: one stream, and each agent's place in it."""

from __future__ import annotations

from postino.model import Broadcast, BroadcastBatch, Draft, Sender, digest, iso
from postino.store.inbox import pairs
from postino.store.keys import FEED
from postino.store.store import Store


class Broadcasts:
    """What is said to all."""

    def __init__(self, store: Store, *, ttl_ms: int, most: int) -> None:
        self._store = store
        self._ttl_ms = ttl_ms
        self._most = most

    async def broadcast(self, draft: Draft, sender: Sender) -> tuple[int, bool]:
        """Accept a broadcast once per id; return its number and whether this call stored it.

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
        return int(seq), bool(created)

    async def read(self, agent: str, limit: int, *, after: str, budget: int, move: bool) -> BroadcastBatch:
        """Give what lies behind the later of the agent's cursor and `after`."""
        agent, (items, missed, cursor, more) = await self._store.run_named(
            "read_broadcasts",
            agent,
            after=after,
            limit=limit,
            budget=budget,
            move="1" if move else "",
            ttl_ms=self._ttl_ms,
        )
        return BroadcastBatch(
            items=[_broadcast(pairs(fields)) for _, fields in items],
            more=bool(more),
            missed=int(missed),
            cursor=cursor,
            agent=agent,
        )

    async def see(self, agent: str, cursor: str) -> None:
        """Move the agent's cursor to the later of both."""
        await self._store.run_named("see", agent, cursor=cursor)

    async def list(self, limit: int, offset: int) -> tuple[list[Broadcast], int]:
        """Return broadcasts oldest first with who has seen them, and how many there are."""
        total, entries = await self._store.page(self._store.keys.shared("broadcasts"), offset, limit)
        cursors = await self._store.call("HVALS", self._store.keys.shared("cursors"))
        places = sorted(int(each.rpartition(" ")[2]) for each in cursors)
        return [_broadcast(pairs(fields), places) for _, fields in entries], total

    async def clear(self) -> int:
        """Empty the feed; return how many there were."""
        return int(await self._store.run("clear_broadcasts", FEED, {"ttl_ms": self._ttl_ms}))


def _broadcast(fields: dict[str, str], places: list[int] | None = None) -> Broadcast:
    seq = int(fields["seq"])
    return Broadcast(
        id=fields["id"],
        seq=seq,
        from_=fields["from"],
        verified=bool(fields["verified"]),
        via=fields["via"],
        body=fields["body"],
        timestamp=iso(int(fields["t"])),
        seen=sum(1 for place in places or () if place >= seq),
        agents=0,
    )
