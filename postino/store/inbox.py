"""Inboxes: one typed method per script, replies turned into records."""

from __future__ import annotations

import asyncio

import msgspec

from postino.errors import UnknownMessage
from postino.model import Acknowledged, Batch, Draft, Lease, Message, MessageState, Returned, Sender, Sent, digest, iso
from postino.store.store import Limits, Store, pairs

READ_BUDGET = 1_000_000  # characters of one read where the caller sets no bound: some megabytes of JSON


class Inboxes:
    """The inboxes and dead letters of all agents."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits

    async def send(self, draft: Draft, sender: Sender) -> Sent:
        """Accept a message once per id.

        Raises:
            KeyReused, InboxFull: nothing was stored.
            StoreAway: `outcome` says whether it may have been.
        """
        agent, (seq, created, known) = await self._store.run_named(
            "send",
            draft.to,
            id=draft.id,
            digest=digest(sender.name, draft.body, draft.thread, draft.reply_to),
            sender=sender.name,
            body=draft.body,
            thread=draft.thread or "",
            reply_to=draft.reply_to or "",
            verified="1" if sender.verified else "",
            via=sender.via,
            max_inbox=self._limits.max_inbox,
            ttl_ms=self._limits.ttl_ms,
        )
        return Sent(
            id=draft.id,
            to=agent,
            seq=seq,
            created=bool(created),
            known=bool(known),
            durability=self._store.durability,
        )

    async def read(
        self, agent: str, consumer: str, *, limit: int, budget: int | None, resume: bool, ack_now: bool
    ) -> Batch:
        """Lease up to `limit` messages; see `Mail.read`."""
        agent, (items, more, dead, resumed) = await self._store.run_named(
            "read",
            agent,
            consumer=consumer,
            limit=limit,
            budget=budget or READ_BUDGET,
            lease_ms=self._limits.lease_ms,
            max_deliveries=self._limits.max_deliveries,
            ttl_ms=self._limits.ttl_ms,
            max_dead=self._limits.max_inbox,
            resume="1" if resume else "",
            ack_now="1" if ack_now else "",
        )
        lease = Lease(
            items=[
                message(agent, pairs(fields), delivery=int(deliveries), redelivered=bool(redelivered))
                for _, deliveries, redelivered, fields in items
            ],
            more=bool(more),
            consumer=consumer,
            agent=agent,
            lease_ms=self._limits.lease_ms,
        )
        return Batch(lease=lease, resumed=int(resumed), died=len(dead))

    async def ack(self, agent: str, consumer: str, ids: list[str]) -> Acknowledged:
        """Acknowledge messages that `consumer` holds; the rest is rejected."""
        _, (done, rejected) = await self._store.run_named("ack", agent, consumer=consumer, ids=id_array(ids))
        return Acknowledged(acknowledged=done, rejected=rejected)

    async def nack(
        self, agent: str, consumer: str, ids: list[str], delay_ms: int = 0, *, counts: list[int] | None = None
    ) -> Returned:
        """Give messages back; see `Mail.nack`."""
        return await self._give_back(agent, consumer, ids, delay_ms=delay_ms, undo=False, counts=counts)

    async def undo_read(self, agent: str, consumer: str, ids: list[str], *, counts: list[int] | None = None) -> None:
        """Undo a lease whose answer was never sent: the delivery does not count. `counts`: see `Mail.nack`."""
        await self._give_back(agent, consumer, ids, delay_ms=0, undo=True, counts=counts)

    async def _give_back(
        self, agent: str, consumer: str, ids: list[str], *, delay_ms: int, undo: bool, counts: list[int] | None
    ) -> Returned:
        _, (done, rejected, dead) = await self._store.run_named(
            "nack",
            agent,
            consumer=consumer,
            ids=id_array(ids),
            delay_ms=delay_ms,
            max_deliveries=self._limits.max_deliveries,
            max_dead=self._limits.max_inbox,
            undo="1" if undo else "",
            counts="" if counts is None else msgspec.json.encode(counts).decode(),
        )
        return Returned(acknowledged=done, rejected=rejected, dead=dead)

    async def extend(self, agent: str, consumer: str, ids: list[str]) -> Acknowledged:
        """Start the leases of messages that `consumer` holds anew."""
        _, (done, rejected) = await self._store.run_named(
            "extend", agent, consumer=consumer, ids=id_array(ids), lease_ms=self._limits.lease_ms
        )
        return Acknowledged(acknowledged=done, rejected=rejected)

    async def clear(self, agent: str) -> int:
        """Empty the inbox, leased messages included; return their number."""
        return await self._store.drain("clear", agent)

    async def state(self, agent: str, id: str) -> MessageState:
        """Tell what became of a message.

        Raises:
            UnknownMessage: no trace of the id is left.
        """
        agent, (value, lease_end, now) = await self._store.run_named("state", agent, id=id)
        if not value:
            raise UnknownMessage(f"no message {id} is known in the inbox of {agent}")
        entry = msgspec.json.decode(value, type=Entry)
        return entry.state(agent, id, _ms(lease_end), int(now), self._limits.ttl_ms)

    async def states(self, wanted: list[tuple[str, str]]) -> list[MessageState | None]:
        """Return the states of (agent, id) pairs, asked for together; None where no trace is left."""
        return await asyncio.gather(*(self._state_or_none(agent, id) for agent, id in wanted))

    async def _state_or_none(self, agent: str, id: str) -> MessageState | None:
        try:
            return await self.state(agent, id)
        except UnknownMessage:
            return None

    async def present(self, name: str) -> str:
        """Return the present name behind `name`, itself if nobody ever had it."""
        return await self._store.present(name)

    async def peek(self, agent: str, limit: int, offset: int) -> tuple[list[Message], int]:
        """Return messages oldest first without consuming, and how many there are; fewer if they are long."""
        agent = await self.present(agent)
        total, entries = await self._store.slice(self._store.keys.of("inbox", agent), offset, limit)
        return [message(agent, pairs(fields)) for _, fields in entries], total

    async def senders(self, agent: str) -> list[str]:
        """Return up to three senders of unread messages, the oldest message first."""
        _, (names,) = await self._store.run_named("senders", agent)
        return list(names)

    async def due_in_ms(self, agent: str) -> int | None:
        """Return in how many milliseconds the next lease or delay of the inbox ends, None without any."""
        soonest = await self._store.call("ZRANGE", self._store.keys.of("leases", agent), 0, 0, "WITHSCORES")
        if not soonest:
            return None
        seconds, micros = await self._store.call("TIME")
        return max(0, int(float(soonest[1])) - int(seconds) * 1000 - int(micros) // 1000) + 1

    async def sweep(self, agent: str, idle_ms: int) -> int:
        """End what has outlived its time; return how many messages that were."""
        _, (ended, _ids, _consumers) = await self._store.run_named(
            "sweep",
            agent,
            ttl_ms=self._limits.ttl_ms,
            idle_ms=idle_ms,
            max_deliveries=self._limits.max_deliveries,
            max_dead=self._limits.max_inbox,
        )
        return int(ended)


class Entry(msgspec.Struct):
    """An index record, as lua/lib/entry.lua writes it."""

    s: str
    q: int
    st: str
    t: int
    f: str
    n: int = 0
    r: str | None = None
    l: int | None = None  # noqa: E741 - the name in the stored record
    e: int | None = None
    w: str | None = None
    h: str | None = None
    ht: int | None = None

    def state(self, agent: str, id: str, lease_end: int | None, now: int, ttl_ms: int) -> MessageState:
        """Return the state as of `now`: a lapsed lease is queued again, what outlived its time expired."""
        state = self.st
        if state == "leased" and (lease_end is None or lease_end <= now):
            state = "queued"
        if state == "queued" and int(self.s.partition("-")[0]) + ttl_ms <= now:
            state = "expired"
        leased = state == "leased"
        return MessageState(
            id=id,
            to=agent,
            from_=self.f,
            seq=self.q,
            state=state,  # type: ignore[arg-type]  # written by our own scripts
            timestamp=iso(self.t),
            deliveries=self.n,
            reader=self.r,
            leased_at=iso(self.l) if self.l else None,
            lease_until=iso(lease_end) if leased and lease_end else None,
            settled_at=iso(self.e) if self.e else None,
            reason=self.w,
            notified=self.h or "none",
            notified_at=iso(self.ht) if self.ht else None,
        )


def message(agent: str, fields: dict[str, str], *, delivery: int = 0, redelivered: bool = False) -> Message:
    """Turn a stream entry of an inbox into a record."""
    return Message(
        id=fields["id"],
        seq=int(fields["seq"]),
        from_=fields["from"],
        verified=bool(fields["verified"]),
        via=fields["via"],
        to=agent,
        body=fields["body"],
        timestamp=iso(int(fields["t"])),
        thread=fields["thread"] or None,
        reply_to=fields["reply_to"] or None,
        delivery=delivery,
        redelivered=redelivered,
    )


def _ms(text: str) -> int | None:
    return int(float(text)) if text else None


def id_array(ids: list[str]) -> str:
    """Return `ids` for a script, each once: the second of a pair would be refused for what the first did."""
    return msgspec.json.encode(list(dict.fromkeys(ids))).decode()
