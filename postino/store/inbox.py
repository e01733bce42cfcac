"""Inboxes: one typed method per script; replies become records."""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from typing import Any

import msgspec
import structlog

from postino.errors import PostinoError, StoreAway, UnknownMessage
from postino.model import (
    Acknowledged,
    Activity,
    Batch,
    Draft,
    Lease,
    Message,
    MessageState,
    Returned,
    Sender,
    Sent,
    digest,
    iso,
)
from postino.parts import Part, Place
from postino.store.entries import Extras, encoded, id_array, leased_items, message, packed, time_of, unpacked
from postino.store.index_entry import IndexEntry, Known
from postino.store.keys import ALL
from postino.store.parts import part
from postino.store.store import Table

MOST_ENDED = 100  # expired and dead messages that one call of a script moves, as in lua/lib/expire.lua
MOST_DELAY_MS = 86_400_000  # longest delay of a nack: a day, the default time to live of a message
PERSON_TTL_MS = 30 * 24 * 3600 * 1000  # least time to live of mail to people, as in lua/lib/people.lua
#: goes on while the machine sleeps or this process is stopped, where the system has such a clock
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
READ_BUDGET = 1_000_000  # characters of bodies per read without a bound of its own: some megabytes of JSON
_ALTERED = (msgspec.MsgspecError, ValueError, OverflowError)  # what a record that the disk has altered raises

log = structlog.get_logger()


class Inboxes(Table):
    """The inboxes of all agents."""

    def on_death(self) -> None:
        """Called when a read or a nack has made dead letters."""

    @staticmethod
    def clock() -> float:
        """Return seconds that also pass while the machine sleeps, for `check_lease`."""
        return time.clock_gettime(_CLOCK)

    def check_lease(self, began: float) -> None:
        """Refuse to show messages whose lease may have ended since `began`: others may have been given them.

        A daemon that was stopped would show them late, and without the label of a repeat.

        Raises:
            StoreAway: a lease or more has passed.
        """
        late = self.clock() - began
        if late * 1000 >= self._limits.lease_ms:
            log.warning("read_held_up", seconds=round(late, 1))
            raise StoreAway(
                f"this read was held up for {late:.0f} s, longer than its lease: read again", outcome="unknown"
            )

    async def send(self, draft: Draft, sender: Sender) -> Sent:
        """Accept a message once per id; its draft names the recipient.

        Raises:
            KeyReused, InboxFull: nothing was stored.
            StoreAway: `outcome` says whether it may have been stored.
        """
        assert draft.to is not None
        marks, extras = self._store.marks, ""
        if draft.expects is not None or draft.choices is not None:
            extras = encoded(Extras(expects=draft.expects, choices=draft.choices))
        agent, (answer,) = await self._store.run_named(
            "send",
            draft.to,
            id=draft.id,
            digest=digest(sender.name, draft.body, draft.thread, draft.reply_to, extras),
            sender=sender.name,
            message=packed(draft.id, sender, draft.body, draft.thread, draft.reply_to, extras),
            max_inbox=self._limits.max_inbox,
            ttl_ms=self._limits.ttl_ms,
            session=sender.session,
            marked_until=marks.until(sender.name, draft.to),
        )
        number, created, known, marked, is_online, last_seen, now, person = answer.split()
        online, seen = is_online == "1", int(last_seen)
        away_s = (int(now) - seen) / 1000
        activity, reach = self.outlook(agent, online=online, away_s=away_s, person=person == "1")
        marks.note(int(marked), sender.name, agent)
        return Sent(
            id=draft.id,
            to=agent,
            seq=int(number),
            created=created == "1",
            known=known == "1",
            durability=self._store.durability,
            online=online,
            activity=activity,
            last_seen=iso(seen) if seen else None,
            reach=reach,
        )

    def outlook(self, agent: str, *, online: bool, away_s: float, person: bool) -> tuple[Activity, str]:
        """Return what a recipient does, and in words when it will know of a message. The store cannot say."""
        return "unknown", ""

    async def read(
        self,
        agent: str,
        consumer: str,
        *,
        limit: int = 10,
        budget: int | None = None,
        ack_now: bool = False,
        resume: bool = False,
        shown: dict[str, int] | None = None,
        acting: bool = False,
        verified: bool = False,
    ) -> Batch:
        """Lease up to `limit` messages to `consumer`; `budget` bounds the characters of their bodies.

        The first message is leased whatever its size. With `resume` the messages that the consumer already holds come
        first, labelled as redelivered; `ack_now` acknowledges in the same step. `shown`, message id -> delivery count,
        resumes what the consumer holds except these deliveries; the others never reached it, so they are no repeats and
        come in their place among what was returned.
        `verified` ends the read before a message of an unverified sender or over the budget, even if it is the first.

        Raises:
            WrongAgent: with `acting`, when the consumer is no session of `agent`.
            StoreAway: the answer comes after the lease: others may have been given the messages.
        """
        began = self.clock()
        values: dict[str, Any] = {
            "consumer": consumer,
            "limit": limit,
            "budget": budget or READ_BUDGET,
            "lease_ms": self._limits.lease_ms,
            "max_deliveries": self._limits.max_deliveries,
            "ttl_ms": self._limits.ttl_ms,
            "max_dead": self._limits.max_inbox,
            "resume": "" if shown is None and not resume else "1",
            "shown": "" if shown is None else msgspec.json.encode(shown).decode(),
            "ack_now": "1" if ack_now else "",
            "acting": "1" if acting else "",
            "verified": "1" if verified else "",
        }
        died = 0
        while True:
            agent, (counts, *items) = await self._store.run_named("read", agent, **values)
            more, dead, resumed = map(int, counts.split())
            died += dead
            if items or dead < MOST_ENDED:
                break
        held, good = resumed, list[Message]()
        for at, (stream_id, delivery, redelivered, fields, fingerprint) in enumerate(leased_items(items)):
            found = message(agent, unpacked(fields), fingerprint, delivery=delivery, redelivered=redelivered)
            if found.altered is True:
                died += await self._bury(agent, stream_id, fields)
                resumed -= at < held
            else:
                good.append(found)
        if not ack_now:
            self.check_lease(began)
        if died:
            self.on_death()
        lease = Lease(items=good, more=bool(more), consumer=consumer, agent=agent, lease_ms=self._limits.lease_ms)
        return Batch(lease=lease, resumed=resumed, died=died)

    async def take(
        self, agent: str, consumer: str, id: str, *, ack_now: bool = False, acting: bool = False
    ) -> tuple[str, Message | None]:
        """Lease one message to `consumer`, whatever waits before it; return the agent's present name and the message.

        None: somebody else holds or has read it, or it has ended. `ack_now` acknowledges in the same step.

        Raises:
            WrongAgent: with `acting`, when the consumer is no session of `agent`.
            StoreAway: the answer comes after the lease: others may have been given the message.
        """
        began = self.clock()
        agent, items = await self._store.run_named(
            "take",
            agent,
            consumer=consumer,
            id=id,
            lease_ms=self._limits.lease_ms,
            max_deliveries=self._limits.max_deliveries,
            ttl_ms=self._limits.ttl_ms,
            ack_now="1" if ack_now else "",
            acting="1" if acting else "",
        )
        taken: Message | None = None
        for stream_id, deliveries, again, fields, fingerprint in items:
            taken = message(agent, unpacked(fields), fingerprint, delivery=int(deliveries), redelivered=bool(again))
            if taken.altered is True:
                await self._bury(agent, stream_id, fields)
                taken = None
        if not ack_now:
            self.check_lease(began)
        return agent, taken

    async def newest(self, agent: str) -> str:
        """Return the place of the newest message in an inbox; `0-0` if there is none."""
        found = await self._store.query("XREVRANGE", self._store.keys.of("inbox", agent), "+", "-", "COUNT", 1)
        return str(found[0][0]) if found else "0-0"

    async def after(self, agent: str, place: str, count: int) -> list[tuple[str, dict[str, str]]]:
        """Return up to `count` messages of an inbox after `place`, oldest first: the place and the fields of each."""
        key = self._store.keys.of("inbox", agent)
        found = await self._store.query("XRANGE", key, f"({place}", "+", "COUNT", count)
        return [(stream_id, unpacked(fields)) for stream_id, fields in found]

    async def _bury(self, agent: str, stream_id: str, fields: list[str]) -> bool:
        """Move a message to the dead letters whose content is not what was accepted; return whether that was done.

        If not, it is tried again when its lease has ended. The read must be answered: it has leased other messages.
        """
        log.error("message_altered", agent=agent, stream_id=stream_id, id=unpacked(fields).get("id"))
        try:
            _, (moved,) = await self._store.run_named(
                "bury",
                agent,
                stream_id=stream_id,
                fields=msgspec.json.encode(fields).decode(),
                max_dead=self._limits.max_inbox,
            )
        except PostinoError as error:
            log.error("bury_failed", agent=agent, stream_id=stream_id, error=error.message)
            return False
        return bool(moved)

    async def ack(self, agent: str, consumer: str, ids: list[str], *, acting: bool = False) -> Acknowledged:
        """Acknowledge messages that `consumer` holds; the others are rejected.

        Raises:
            WrongAgent: with `acting`, when the consumer is no session of `agent`.
        """
        ids = list(dict.fromkeys(ids))
        _, (marks,) = await self._store.run_named(
            "ack", agent, consumer=consumer, ids=id_array(ids), acting="1" if acting else ""
        )
        marked = list(zip(ids, marks, strict=True))
        return Acknowledged(
            acknowledged=[id for id, mark in marked if mark == "1"],
            rejected=[id for id, mark in marked if mark == "0"],
        )

    async def nack(
        self, agent: str, consumer: str, ids: list[str], delay_ms: int = 0, *, counts: list[int] | None = None
    ) -> Returned:
        """Return messages to the inbox, not to be read again before `delay_ms` has passed.

        A message whose last allowed delivery this was becomes a dead letter. `counts` are the delivery counts of
        `ids`: a message that was delivered again since stays with its present reader.
        """
        returned = await self._give_back(agent, consumer, ids, delay_ms=delay_ms, undo=False, counts=counts)
        if returned.dead:
            self.on_death()
        return returned

    async def undo_read(self, agent: str, consumer: str, ids: list[str], *, counts: list[int] | None = None) -> None:
        """Undo a read whose answer was never sent: the delivery does not count. For `counts` see `nack`."""
        await self._give_back(agent, consumer, ids, delay_ms=0, undo=True, counts=counts)

    async def _give_back(
        self, agent: str, consumer: str, ids: list[str], *, delay_ms: int, undo: bool, counts: list[int] | None
    ) -> Returned:
        _, (returned, rejected, dead) = await self._store.run_named(
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
        return Returned(acknowledged=returned, rejected=rejected, dead=dead)

    async def extend(self, agent: str, consumer: str, ids: list[str]) -> Acknowledged:
        """Restart the leases of messages that `consumer` holds; the others are rejected."""
        _, (extended, rejected) = await self._store.run_named(
            "extend", agent, consumer=consumer, ids=id_array(ids), lease_ms=self._limits.lease_ms
        )
        return Acknowledged(acknowledged=extended, rejected=rejected)

    async def clear(self, agent: str) -> int:
        """Empty the inbox, leased messages included; return how many there were."""
        return await self._store.drain("clear", agent)

    async def state(self, agent: str, id: str) -> MessageState:
        """Return the state of a message.

        Raises:
            UnknownMessage: nothing is known of the id, or no longer.
        """
        return (await self._known(agent, id)).state

    async def known(self, wanted: list[tuple[str, str]]) -> list[Known | None]:
        """Return what is known of (agent, id) pairs, requested together; None where nothing is.

        The agent is `all` for a broadcast, of which only the digest and the time are of use.
        """
        return await asyncio.gather(*(self._known_or_none(agent, id) for agent, id in wanted))

    async def _known_or_none(self, agent: str, id: str) -> Known | None:
        try:
            return await self._known(agent, id)
        except UnknownMessage:
            return None

    async def _known(self, agent: str, id: str) -> Known:
        agent, (value, lease_end, now, person) = await self._store.run_named("state", agent, id=id)
        if not value:
            raise UnknownMessage(f"no message {id} is known in the inbox of {agent}")
        lease_ms = time_of(lease_end)
        ttl_ms = max(self._limits.ttl_ms, PERSON_TTL_MS) if person else self._limits.ttl_ms
        try:
            entry = IndexEntry.told(value)
            return Known(entry.state(agent, id, lease_ms, int(now), ttl_ms), entry.d, entry.t)
        except _ALTERED:
            raise UnknownMessage(f"what is stored about message {id} was altered and cannot be read") from None

    async def accepted_at(self, agents: list[str], id: str) -> list[int]:
        """Return when messages or a broadcast with this id were accepted, in ms, newest first, each time once."""
        keys = [self._store.keys.of("index", agent) for agent in (*agents, ALL)]
        found = await asyncio.gather(*(self._store.query("HGET", key, id) for key in keys))
        times = set[int]()
        for each in found:
            with contextlib.suppress(*_ALTERED):
                if each:
                    times.add(IndexEntry.told(each).t)
        return sorted(times, reverse=True)

    async def present(self, name: str) -> str:
        """Return the present name of an agent; `name` itself if nobody ever had it."""
        return await self._store.present(name)

    async def part(self, agent: str, limit: int, place: Place) -> Part[Message]:
        """Return messages without leasing them."""
        agent, of = await self.present(agent), self._store.keys.of
        return await part(self._store, of("inbox", agent), of("index", agent), limit, place, partial(message, agent))

    async def peek(self, agent: str, limit: int, offset: int) -> tuple[list[Message], int]:
        """Return messages without leasing them, and the length of the inbox."""
        found = await self.part(agent, limit, Place(offset))
        return found.items, found.total

    async def length(self, agent: str) -> int:
        """Return how many unacknowledged messages an agent has, by its present name."""
        return int(await self._store.call("XLEN", self._store.keys.of("inbox", agent)))

    async def senders(self, agent: str) -> list[str]:
        """Return up to three senders of unread messages, that of the oldest first; `name?` if it is not verified."""
        _, (names,) = await self._store.run_named("senders", agent)
        return list(names)

    async def due_in_ms(self, agent: str) -> int | None:
        """Return in how many milliseconds the next lease or delay of the inbox ends; None if there is none."""
        soonest = await self._store.call("ZRANGE", self._store.keys.of("leases", agent), 0, 0, "WITHSCORES")
        if not soonest:
            return None
        return max(0, (time_of(soonest[1]) or 0) - await self._store.now_ms()) + 1

    async def sweep(self, agent: str, idle_ms: int) -> Swept:
        """End messages whose time to live or last delivery is over, and forget ids, a bounded number of each."""
        _, (more, left, oldest) = await self._store.run_named(
            "sweep",
            agent,
            ttl_ms=self._limits.ttl_ms,
            idle_ms=idle_ms,
            longest_ms=max(self._limits.lease_ms, MOST_DELAY_MS),
            max_deliveries=self._limits.max_deliveries,
            max_dead=self._limits.max_inbox,
        )
        return Swept(bool(more), int(left), int(oldest.partition("-")[0]) if oldest else None)


class Swept(msgspec.Struct, frozen=True):
    """What a sweep of one inbox has left: whether there is `more` to do now, and the messages that remain."""

    more: bool
    unread: int
    oldest_ms: int | None  # when the oldest of them was accepted
