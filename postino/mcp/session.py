"""One relay connection as the broker knows it: who it acts as, and what it was given but has not shown to have seen.

An agent acknowledges by going on. Where its client's hooks are heard they say so: the end of a round of tool calls,
the next prompt, the end of the turn. Elsewhere a call that arrives once the answer of a read has been with the client
for SETTLE_AFTER, and with no other call under way, is taken to come from a model that had that answer before it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from postino.broker import Broker, Hello
from postino.errors import PostinoError, UnknownAgent
from postino.model import Acknowledged, Batch, BroadcastBatch, Joined

SETTLE_AFTER = 0.05  # s; calls sent side by side with the read arrive sooner than this after its answer
KEEP_EVERY = 10.0  # s; a third of the 30 s after which a silent session counts as offline
LAST_WORDS = 3.0  # s an ended connection may take to finish: Valkey answers within 2 s or not at all

T = TypeVar("T")
RequestId = str | int

log = structlog.get_logger()


@dataclass
class Reading:
    """What one answer brought to the client."""

    request: RequestId
    agent: str
    deliveries: dict[str, int] = field(default_factory=dict)  # by message id
    cursor: str | None = None
    before: str | None = None  # the session's place in the feed until then
    written_at: float | None = None
    elsewhere: bool = False  # in the inbox of an agent this session was before

    @property
    def ids(self) -> list[str]:
        """The messages it brought and that are not settled."""
        return list(self.deliveries)

    @property
    def counts(self) -> list[int]:
        """How often each of them has been delivered."""
        return list(self.deliveries.values())

    def drop(self, ids: list[str]) -> None:
        """Settle some."""
        for id in ids:
            self.deliveries.pop(id, None)


class Session:
    """One connection of one relay."""

    def __init__(self, broker: Broker, hello: Hello) -> None:
        self.broker = broker
        self.hello = hello
        self.joined: Joined | None = None
        self._joining = asyncio.Lock()
        self._cursor: str | None = None
        self._readings: list[Reading] = []
        self._unread: set[RequestId] = set()  # calls whose answers the client does not have yet
        self._running: set[RequestId] = set()
        self._cancelled: set[RequestId] = set()  # of the running ones
        self._settling: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def id(self) -> str:
        """The session id, which is the consumer name of its reads."""
        return self.hello.session

    # who

    async def join(self) -> Joined:
        """Register with the broker.

        Raises:
            BadName: the explicit name cannot name an agent. StaleSession: a later connection has joined.
            StoreAway: may be tried again; `name` does.
        """
        async with self._joining:
            self.joined = await self.broker.sessions.join(self.hello)
        return self.joined

    async def name(self) -> str:
        """Return the agent this session acts as now: a rename moves it, a store that was emptied has forgotten it."""
        if self.joined is None:
            return (await self.join()).agent
        try:
            return await self.broker.sessions.agent_of(self.id)
        except UnknownAgent:
            return (await self.join()).agent

    # what arrives, in the order of the wire

    def arrived(self, request: RequestId, *, proves: bool = True) -> None:
        """Note a call; settle what its arrival `proves` to be seen before it is handled."""
        if proves and not self._unread:
            due = asyncio.get_running_loop().time() - SETTLE_AFTER
            proven = [each for each in self._readings if each.written_at is not None and each.written_at <= due]
            self._readings = [each for each in self._readings if each not in proven]
            for reading in proven:
                self._settling.add(self._own(self._settle(reading)))
        self._unread.add(request)

    async def seen(self) -> None:
        """Settle what a hook of the client proves to be seen: every answer that it has, however recent."""
        proven = [each for each in self._readings if each.written_at is not None]
        self._readings = [each for each in self._readings if each not in proven]
        if proven:
            await asyncio.wait({self._own(self._settle(each)) for each in proven})

    def moved(self) -> None:
        """Note that a hook, no rename, made this session another agent: its place in the feed was the other's."""
        self._cursor = None
        for reading in self._readings:
            reading.cursor, reading.elsewhere = None, True

    def written(self, request: RequestId) -> None:
        """Note that the client has the answer to `request`."""
        self._unread.discard(request)
        for reading in self._readings:
            if reading.request == request:
                reading.written_at = asyncio.get_running_loop().time()

    def cancelled(self, request: RequestId) -> None:
        """Note that the client wants no answer to `request`: what it was given goes back."""
        self._unread.discard(request)
        if request in self._running:
            self._cancelled.add(request)  # `run` is interrupted, or finds it here because it was done already
        else:
            self._own(self._return(self._withdraw(request), sent=True))

    # what is done

    async def run(self, request: RequestId, operation: Awaitable[T]) -> T:
        """Do `operation` after what its arrival settled, and to its end even when the call is cancelled.

        Half done is the state nobody could undo; what a cancelled read was given goes back uncounted.
        """
        task = self._own(self._after_settling(operation))
        self._running.add(request)
        try:
            answer = await asyncio.shield(task)
        except asyncio.CancelledError:
            self._own(self._forsake(request, task))
            raise
        else:
            if request in self._cancelled:  # too late to be interrupted: the answer may go out all the same
                self._own(self._return(self._withdraw(request), sent=True))
            return answer
        finally:
            self._running.discard(request)
            self._cancelled.discard(request)

    async def read(self, request: RequestId, limit: int, budget: int) -> Batch:
        """Lease messages to this session; they are settled by its next sign of life."""
        batch = await self.broker.mail.read(await self.name(), self.id, limit=limit, budget=budget)
        if batch.items:
            self._readings.append(Reading(request, batch.agent, {each.id: each.delivery for each in batch.items}))
        return batch

    async def release(self, request: RequestId, ids: list[str]) -> None:
        """Give back what did not fit into the answer to `request`; the delivery does not count."""
        for reading in self._readings:
            if reading.request == request:
                reading.drop(ids)
                await self.broker.mail.undo_read(reading.agent, self.id, ids)

    async def read_broadcasts(self, request: RequestId, limit: int, budget: int) -> BroadcastBatch:
        """Give what neither the agent nor this session has seen."""
        before = self._cursor
        batch = await self.broker.broadcasts.read(await self.name(), limit, after=before, budget=budget, move=False)
        if batch.items or batch.missed:
            self._cursor = batch.cursor
            self._readings.append(Reading(request, batch.agent, cursor=batch.cursor, before=before))
        return batch

    async def give_back(self, request: RequestId, *, sent: bool) -> None:
        """Undo the readings of `request`; what may have been `sent` counts, so that a repeat is labelled."""
        await self._return(self._withdraw(request), sent=sent)

    def _withdraw(self, request: RequestId) -> list[Reading]:
        """Take out the readings of `request`, at once: from now on nothing acknowledges them."""
        mine = [each for each in self._readings if each.request == request]
        self._readings = [each for each in self._readings if each.request != request]
        for reading in mine:
            if reading.cursor is not None and reading.cursor == self._cursor:
                self._cursor = reading.before
        return mine

    async def _return(self, readings: list[Reading], *, sent: bool) -> None:
        for reading in readings:
            with contextlib.suppress(PostinoError):  # else they come again when the session or the lease ends
                if reading.ids and sent:
                    await self.broker.mail.nack(reading.agent, self.id, reading.ids, counts=reading.counts)
                elif reading.ids:
                    await self.broker.mail.undo_read(reading.agent, self.id, reading.ids, counts=reading.counts)

    async def ack(self, ids: list[str]) -> Acknowledged:
        """Acknowledge by name."""
        settled = await self.broker.mail.ack(await self.name(), self.id, ids)
        for reading in self._readings:
            reading.drop(settled.acknowledged)
        return settled

    async def keep(self) -> None:
        """Stay online and keep the leases running, for ever."""
        pause = min(KEEP_EVERY, self.broker.settings.message_lease / 3)
        while True:
            await asyncio.sleep(pause)
            try:
                await self.name()
                await self.broker.sessions.keepalive(self.id, self.hello.generation)
            except PostinoError as error:
                log.warning("session_not_kept", session=self.id, code=error.code)

    async def close(self, patience: float = LAST_WORDS) -> None:
        """Let what is under way end, at most `patience` seconds, and give back everything held; never raises."""
        with contextlib.suppress(TimeoutError, PostinoError):  # else leases and presence end by themselves
            async with asyncio.timeout(patience):
                while self._tasks:  # an operation that ends may begin to give back what it got
                    await asyncio.wait(self._tasks)
                for reading in [each for each in self._readings if each.ids]:
                    if reading.elsewhere or reading.written_at is None:
                        # `leave` knows the present inbox only, and nothing of what a reconnected session was not sent
                        await self.broker.mail.nack(reading.agent, self.id, reading.ids, counts=reading.counts)
                if self.joined is not None:
                    await self.broker.sessions.leave(self.id, self.hello.generation)
        for task in self._tasks:
            task.cancel()

    # behind the scenes

    def _own(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._settling.discard(task)
        if not task.cancelled():
            task.exception()  # whoever awaits it has it; a cancelled call has nobody to tell

    async def _after_settling(self, operation: Awaitable[T]) -> T:
        if self._settling:
            await asyncio.wait(self._settling)
        return await operation

    async def _settle(self, reading: Reading) -> None:
        try:
            if reading.ids:
                await self.broker.mail.ack(reading.agent, self.id, reading.ids)
            if reading.cursor is not None:
                await self.broker.broadcasts.move_cursor(reading.agent, reading.cursor)
        except PostinoError as error:
            log.warning("not_settled", session=self.id, code=error.code)
            self._readings.append(reading)  # the next sign of life proves it as well

    async def _forsake(self, request: RequestId, task: asyncio.Task[Any]) -> None:
        await asyncio.wait([task])
        await self.give_back(request, sent=False)
