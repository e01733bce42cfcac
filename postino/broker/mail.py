"""Direct messages: one goes to one agent, and stays until it is acknowledged."""

from __future__ import annotations

import asyncio

from postino.broker.core import Core
from postino.model import Batch, Dead, Draft, Message, MessageState, Sender, Sent, Settled

READ_BUDGET = 1_000_000  # characters of one read where the caller sets no bound: some megabytes of JSON


class Mail(Core):
    """Send, read, acknowledge, and what becomes of a message otherwise."""

    async def send(self, draft: Draft, sender: Sender) -> Sent:
        """Accept a message once per id; when this returns, Valkey has it.

        Raises:
            KeyReused: the id stands for other content. InboxFull: the recipient has to read first.
            StoreAway: with `outcome` unknown the same id makes a retry safe.
        """
        accepted = await self.inboxes.send(draft, sender)
        return Sent(
            id=draft.id,
            to=accepted.agent,
            seq=accepted.seq,
            created=accepted.created,
            known=accepted.known,
            durability=self.durability,
            names=[] if accepted.known else await self.nearest(accepted.agent),
        )

    async def look(self, agent: str, limit: int, offset: int) -> tuple[list[Message], int]:
        """Return what lies in an inbox, leased messages included, oldest first, and how much it is."""
        agent, _ = await self.roster.entry(agent)
        return await self.inboxes.look(agent, limit, offset)

    async def read(
        self,
        agent: str,
        consumer: str,
        *,
        limit: int = 10,
        budget: int | None = None,
        ack_now: bool = False,
        resume: bool = False,
    ) -> Batch:
        """Lease up to `limit` messages to `consumer`; `budget` bounds the characters of their bodies.

        A single message is given whatever its size. `resume` begins with what the consumer holds already,
        labelled as redelivered; `ack_now` acknowledges in the same step.
        """
        batch, dead = await self.inboxes.read(
            agent, consumer, limit=limit, budget=budget or READ_BUDGET, resume=resume, ack_now=ack_now
        )
        if dead:
            self.chores.nudge()
        return batch

    async def wait(self, agent: str, seconds: float) -> None:
        """Return when a read of `agent` may give something, or after `seconds`."""
        agent, _ = await self.roster.entry(agent)
        with self.feed.waiting(agent) as mail:
            # asked only now: mail that arrived before this line is counted, later mail sets the event
            present, unread, _ = await self.roster.check(agent)
            if unread or present != agent:  # renamed before this line: its mail wakes the other name
                return
            due_ms = await self.inboxes.due_in_ms(agent)
            if due_ms is not None:
                seconds = min(seconds, due_ms / 1000)
            try:
                async with asyncio.timeout(seconds):
                    await mail.wait()
            except TimeoutError:
                return

    async def ack(self, agent: str, consumer: str, ids: list[str]) -> Settled:
        """Acknowledge messages that `consumer` holds; the rest is rejected."""
        return await self.inboxes.ack(agent, consumer, ids)

    async def nack(
        self, agent: str, consumer: str, ids: list[str], delay_ms: int = 0, *, counts: list[int] | None = None
    ) -> Settled:
        """Give messages back, not to be given out before `delay_ms`; the last allowed delivery ends as dead.

        With `counts`, the delivery of each, what was delivered again since stays with whoever has it now.
        """
        settled = await self.inboxes.nack(agent, consumer, ids, delay_ms=delay_ms, counts=counts)
        if settled.dead:
            self.chores.nudge()
        return settled

    async def release_ids(self, agent: str, consumer: str, ids: list[str], *, counts: list[int] | None = None) -> None:
        """Undo a lease whose answer was never sent: the delivery does not count. `counts`: see `nack`."""
        await self.inboxes.nack(agent, consumer, ids, delay_ms=0, undo=True, counts=counts)

    async def extend(self, agent: str, consumer: str, ids: list[str]) -> Settled:
        """Start the leases of messages that `consumer` holds anew."""
        return await self.inboxes.extend(agent, consumer, ids)

    async def state(self, agent: str, id: str) -> MessageState:
        """Tell what became of a message.

        Raises:
            UnknownMessage: no trace of it is left.
        """
        return await self.inboxes.state(agent, id)

    async def clear(self, agent: str) -> int:
        """Empty an inbox, leased messages included; return how many there were."""
        return await self.inboxes.clear(agent)

    async def dead(self, agent: str, limit: int, offset: int) -> tuple[list[Dead], int]:
        """Return dead letters oldest first, and how many there are."""
        agent, _ = await self.roster.entry(agent)
        return await self.inboxes.dead(agent, limit, offset)

    async def requeue(self, agent: str, ids: list[str] | None) -> list[str]:
        """Put dead letters (None: all) back at the tail with a fresh count; return their ids.

        Raises:
            UnknownAgent, UnknownMessage, InboxFull: nothing was moved.
        """
        await self.known(agent)
        return await self.inboxes.requeue(agent, ids)

    async def clear_dead(self, agent: str) -> int:
        """Drop all dead letters of an agent; return how many there were."""
        return await self.inboxes.clear_dead(agent)

    async def waiting_senders(self, agent: str) -> list[str]:
        """Return up to three senders of unread messages, the oldest message first."""
        return await self.inboxes.senders(agent)
