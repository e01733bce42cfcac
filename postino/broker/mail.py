"""Direct messages: one goes to one agent, and stays until it is acknowledged."""

from __future__ import annotations

import asyncio

import msgspec

from postino.broker.agents import Agents
from postino.broker.events import Events
from postino.broker.housekeeping import Housekeeping
from postino.model import Batch, Draft, Returned, Sender, Sent
from postino.store.inbox import Inboxes
from postino.store.store import Limits, Store


class Mail(Inboxes):
    """The inboxes of all agents: send, read, acknowledge, and what becomes of a message otherwise."""

    def __init__(
        self, store: Store, limits: Limits, agents: Agents, events: Events, housekeeping: Housekeeping
    ) -> None:
        super().__init__(store, limits)
        self._agents = agents
        self._events = events
        self._housekeeping = housekeeping

    async def send(self, draft: Draft, sender: Sender) -> Sent:
        """Accept a message once per id; when this returns, Valkey has it.

        Raises:
            KeyReused: the id stands for other content. InboxFull: the recipient has to read first.
            StoreAway: with `outcome` unknown the same id makes a retry safe.
        """
        sent = await super().send(draft, sender)
        if sent.known:
            return sent
        return msgspec.structs.replace(sent, names=await self._agents.nearest(sent.to))

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
        batch = await super().read(agent, consumer, limit=limit, budget=budget, resume=resume, ack_now=ack_now)
        if batch.died:
            self._housekeeping.wake()
        return batch

    async def nack(
        self,
        agent: str,
        consumer: str,
        ids: list[str],
        delay_ms: int = 0,
        *,
        counts: list[int] | None = None,
    ) -> Returned:
        """Give messages back, not to be given out before `delay_ms`; the last allowed delivery ends as dead.

        With `counts`, the delivery of each, what was delivered again since stays with whoever has it now.
        """
        settled = await super().nack(agent, consumer, ids, delay_ms, counts=counts)
        if settled.dead:
            self._housekeeping.wake()
        return settled

    async def wait(self, agent: str, seconds: float) -> None:
        """Return when a read of `agent` may give something, or after `seconds`."""
        agent = await self.present(agent)
        with self._events.waiting(agent) as mail:
            # asked only now: mail that arrived before this line is counted, later mail sets the event
            waiting = await self._agents.check(agent)
            if waiting.unread_messages or waiting.agent != agent:  # renamed before this line: it wakes the other name
                return
            due_ms = await self.due_in_ms(agent)
            if due_ms is not None:
                seconds = min(seconds, due_ms / 1000)
            try:
                async with asyncio.timeout(seconds):
                    await mail.wait()
            except TimeoutError:
                return
