"""One relay's session: the agent it acts as, and the reads it has not acknowledged yet.

A read is acknowledged once the model has gone on after it. Where the client's hooks are active, they report that: one
lists the read in a finished round of tool calls, and a later one of the same conversation proves that the model had the
round's answers. Elsewhere a request shows it that arrives at least ACK_AFTER_S after the read's answer was written to
the client, with no other answer outstanding: it comes from a model that had the answer.

A read whose answer was an error, or whose reply from Valkey was lost, was never shown: nothing acknowledges it, its
leases are not extended, and the session's next read begins with it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Container
from typing import Any, TypeVar

import msgspec
import structlog

from postino.broker import Broker, Hello, WrongAgent
from postino.broker.sessions import Joined
from postino.errors import PostinoError, StoreAway, UnknownAgent
from postino.mcp.caller import Caller
from postino.mcp.pending_read import PendingRead, RequestId, deliveries
from postino.mcp.session_tasks import SessionTasks
from postino.model import Acknowledged, Batch, BroadcastBatch, Message

ACK_AFTER_S = 0.05  # calls that a client sends side by side with the read arrive sooner than this after its answer
ONE_PROMPT_S = 2.0  # in which prompts that the client puts into one request are reported
MAX_RENAMES = 4  # between two round trips of one call
CLOSE_S = 3.0  # for operations under way when a connection ends: Valkey answers within 2 s or not at all

T = TypeVar("T")

log = structlog.get_logger()


class Session(SessionTasks):
    """The broker's side of one client's connection."""

    def __init__(self, broker: Broker, hello: Hello, caller: Caller | None = None) -> None:
        super().__init__()
        self.broker = broker
        self.hello = hello
        self.id = hello.session  # which is the consumer name of its reads
        self.caller = caller or Caller()
        self.subscribed = asyncio.Event()  # the client wants to be told of mail
        self.joined: Joined | None = None
        self.agent = ""  # as whom it acts, as far as is known here: the scripts check it, and `name` asks the store
        self._joining = asyncio.Lock()
        self.reading = asyncio.Lock()  # a read begins where the one before ended, what that gave back included
        self._cursor: str | None = None
        self.departures_from: int | None = None  # ms; earlier ones were shown
        self._pending: list[PendingRead] = []
        self._unwritten: dict[RequestId, str | None] = {}  # requests whose answers the client lacks: their tool uses
        self._running: set[RequestId] = set()
        self._cancelled: set[RequestId] = set()  # of the running ones

    async def join(self) -> Joined:
        """Register with the broker.

        Raises:
            BadName: the explicit name cannot name an agent. StaleSession: a later connection has joined.
            StoreAway: `name` tries again.
        """
        async with self._joining:
            self.joined = await self.broker.sessions.join(self.hello)
            self.agent = self.joined.agent
        return self.joined

    async def name(self) -> str:
        """Return the agent this session acts as now; join first where the store does not know the session."""
        if self.joined is None:
            return (await self.join()).agent
        try:
            self.agent = await self.broker.sessions.agent_of(self.id)
        except UnknownAgent:
            await self.join()
        return self.agent

    async def acting(self, operation: Callable[[str], Awaitable[T]]) -> T:
        """Run `operation` with the agent this session acts as, which a rename or a hook may change at any time.

        The operation's script checks the agent, so that no round trip is needed to ask for it first.
        """
        if self.joined is None:
            await self.join()
        for _ in range(MAX_RENAMES):
            try:
                return await operation(self.agent)
            except WrongAgent as wrong:
                self.agent = wrong.agent or (await self.join()).agent
        raise StoreAway(f"{self.agent} is renamed again and again", outcome="none")

    # events of the connection, in the order of its lines

    def client_named(self, client: str) -> None:
        """Note which client this is, for the instructions it gets and for what others see of the session."""
        self.hello = msgspec.structs.replace(self.hello, client=client)
        if self.joined is not None:  # else joining notes it
            self._spawn(self.broker.sessions.note_client(self.id, client))

    def request_arrived(self, request: RequestId, *, acknowledges: bool = True, tool_use: str | None = None) -> None:
        """Note a request. If it `acknowledges`, start to acknowledge the reads that the client must have seen."""
        if acknowledges and not self._unwritten:
            latest = asyncio.get_running_loop().time() - ACK_AFTER_S
            for read in self._take_if(lambda read: read.written_at is not None and read.written_at <= latest):
                self._precede(self._ack(read))
        self._unwritten[request] = tool_use

    def answer_written(self, request: RequestId) -> None:
        """Note that the relay has written the answer to the client."""
        self._unwritten.pop(request, None)
        for read in self._pending:
            if read.request == request:
                read.written_at = asyncio.get_running_loop().time()

    def answer_lost(self, request: RequestId) -> None:
        """Note that an answer could not be written, or not completely: give back what it carried, labelled."""
        self._unwritten.pop(request, None)
        self._precede(self._give_back(self._take(request)))

    def answer_sent(self, request: RequestId, *, failed: bool) -> None:
        """Note that the answer goes to the relay. If it is an error, it shows nothing: undo what the request read."""
        if failed:
            self._precede(self._give_back(self._take(request)))
            return
        for read in self._pending:
            if read.request == request:
                read.sent = True

    def request_cancelled(self, request: RequestId) -> None:
        """Give back what a request that the client has cancelled read, unless the client has the answer already."""
        if request not in self._unwritten:
            return
        del self._unwritten[request]
        if request in self._running:
            self._cancelled.add(request)  # `run` is interrupted, or finds it here because its operation was done
            self._abandon(request)
        else:
            self._precede(self._give_back(self._take(request)))

    def agent_changed(self) -> None:
        """Forget the place in the broadcasts: this session is bound to another agent, which has its own."""
        self._cursor = None
        for read in self._pending:
            read.cursor, read.agent_changed = None, True

    # what the client's hooks report

    def round_ended(self, tool_uses: set[str]) -> None:
        """Note a round of tool calls whose answers go to the model next; a read of no tool call is of any round."""
        for read in self._pending:
            if read.tool_use in tool_uses or (read.tool_use is None and read.is_written):
                read.listed = True

    async def ack_listed(self, *, turn_ended: bool = False) -> None:
        """Acknowledge the reads of ended rounds, and at the end of a turn those of no tool call: the model went on."""
        await self._ack_if(lambda read: read.listed or (turn_ended and read.tool_use is None and read.is_written))

    async def ack_calls(self, calls: Container[str | None]) -> None:
        """Acknowledge the reads of these tool calls: the model went on after them."""
        await self._ack_if(lambda read: read.tool_use in calls and read.is_written)

    async def _ack_if(self, seen: Callable[[PendingRead], bool]) -> None:
        if reads := self._take_if(seen):
            await asyncio.wait({self._precede(self._ack(each)) for each in reads})

    def wake_arrived(self, request: RequestId) -> None:
        """Note that the line which carried these messages has become a prompt: what the model does next proves it."""
        for read in self._pending:
            if read.request == request:
                read.written_at = read.prompted_at = asyncio.get_running_loop().time()
                read.listed = True

    async def give_back_unproved(self, *, turn_ended: bool = False) -> None:
        """Give back, labelled, what a line carried of which no proof came, by the end of a turn or another prompt."""
        latest = asyncio.get_running_loop().time() - (0.0 if turn_ended else ONE_PROMPT_S)
        await self._give_back_if(lambda read: read.prompted_at is not None and read.prompted_at <= latest)

    async def give_back_shown(self, tool_uses: set[str] | None = None, *, coming: bool = True) -> None:
        """Give back, labelled, what was shown to somebody else: by `tool_uses`, or all, with lines still `coming`."""
        await self._give_back_if(
            lambda read: read.sent and (coming or not read.is_coming) and (not tool_uses or read.tool_use in tool_uses)
        )

    def has_open_round(self) -> bool:
        """Return whether the client got messages in a round of tool calls whose end no hook has reported."""
        return any(each.is_written and not each.listed for each in self._pending)

    async def give_back_interrupted(self, before: float) -> None:
        """Give back, labelled, what the client got before the loop time `before` in a round that never ended."""
        await self._give_back_if(lambda read: not read.listed and (read.written_at or before) < before)

    async def _give_back_if(self, condition: Callable[[PendingRead], bool]) -> None:
        for request in {each.request for each in self._pending if condition(each)}:
            await self._precede(self._give_back(self._take(request)))

    # operations

    async def run(self, request: RequestId, operation: Awaitable[T]) -> T:
        """Run `operation` once the reads before it are acknowledged or given back, as far as that has been started.

        A cancelled request does not interrupt it: the outcome would be unknown. What it read is given back then.
        """
        task = self._spawn(self._after_preceding(operation))
        self._running.add(request)
        try:
            answer = await asyncio.shield(task)
        except asyncio.CancelledError:
            self._abandon(request)
            self._precede(self._undo_when_done(request, task))
            raise
        else:
            if request in self._cancelled:  # too late to interrupt
                self._precede(self._give_back(self._take(request)))
            return answer
        finally:
            self._running.discard(request)
            self._cancelled.discard(request)

    async def read(self, request: RequestId, limit: int, budget: int, *, verified: bool = False) -> Batch:
        """Lease messages to this session, also those that an earlier read leased and did not show. Hold `reading`."""
        shown = deliveries(self._pending)
        batch = await self.acting(
            lambda agent: self.broker.mail.read(
                agent, self.id, limit=limit, budget=budget, shown=shown, acting=True, verified=verified
            )
        )
        if batch.items:
            leased = {each.id: each.delivery for each in batch.items}
            self._pending.append(self._new_read(request, batch.agent, leased))
        return batch

    async def take(self, request: RequestId, id: str) -> Message | None:
        """Lease a message that `request` waited for, which is then as one that it read; None: somebody else has it."""
        agent, message = await self.acting(
            lambda agent: self.broker.mail.take(agent, self.id, id, acting=True),
        )
        if message is not None:
            self._pending.append(self._new_read(request, agent, {id: message.delivery}))
        return message

    async def lease_for_wake(self, request: RequestId, limit: int, budget: int) -> Batch:
        """Lease the oldest messages for the line that wakes the session, if they are of verified senders and fit."""
        return await self.run(request, self._lease_verified(request, limit, budget))

    async def _lease_verified(self, request: RequestId, limit: int, budget: int) -> Batch:
        async with self.reading:
            batch = await self.read(request, limit, budget, verified=True)
        for read in self._pending:
            if read.request == request:
                read.sent = read.wake = True  # it is about to be sent
        return batch

    async def give_back(self, request: RequestId, *, shown: bool) -> None:
        """Give back what `request` read; `shown`: the client may have it, so the delivery counts."""
        reads = self._take(request)
        for read in reads:
            read.sent = shown
        await self._precede(self._give_back(reads))

    async def read_broadcasts(self, request: RequestId, limit: int, budget: int) -> BroadcastBatch:
        """Read the broadcasts that neither the agent nor this session has seen."""
        previous = self._cursor
        batch = await self.acting(
            lambda agent: self.broker.broadcasts.read(
                agent, limit, after=previous, budget=budget, move=False, session=self.id
            )
        )
        if batch.items or batch.missed:
            self._cursor = batch.cursor
            read = self._new_read(request, batch.agent, {})
            read.cursor, read.previous_cursor = batch.cursor, previous
            self._pending.append(read)
        return batch

    async def mark_given(self, request: RequestId) -> None:
        """Note, before its answer is sent, what the broadcasts are that `request` gives."""
        for read in self._pending:
            if read.request == request and read.cursor is not None:
                await self.broker.broadcasts.mark_given(read.agent, read.cursor)

    def _new_read(self, request: RequestId, agent: str, leased: dict[str, int]) -> PendingRead:
        return PendingRead(request, agent, leased, tool_use=self._unwritten.get(request))

    async def undo_read(self, request: RequestId) -> None:
        """Give back all that `request` read: its answer does not carry it, so the delivery does not count."""
        await self._give_back(self._take(request))

    async def undo_surplus(self, request: RequestId, ids: list[str]) -> None:
        """Give back those of the messages that `request` read which its answer does not carry. Never fails.

        Where Valkey cannot be reached they stay leased: the session's next read begins with them.
        """
        for read in [each for each in self._pending if each.request == request]:
            surplus = PendingRead(request, read.agent, {id: read.deliveries.pop(id) for id in ids})
            await self._give_back([surplus])

    async def ack(self, ids: list[str]) -> Acknowledged:
        """Acknowledge messages by id."""
        answer = await self.acting(lambda agent: self.broker.mail.ack(agent, self.id, ids, acting=True))
        for read in self._pending:
            read.remove(answer.acknowledged)
        return answer

    def shown(self) -> dict[str, int]:
        """Return the messages of the present agent that were given to the client, and their delivery counts."""
        return deliveries([each for each in self._pending if not each.settling])

    async def close(self, timeout: float = CLOSE_S) -> None:
        """Finish what is under way within `timeout` seconds, release everything held, and leave. Never raises."""
        with contextlib.suppress(TimeoutError, PostinoError):  # leases and presence then end by themselves
            async with asyncio.timeout(timeout):
                while self._tasks:  # an operation that ends may start another task to give back what it read
                    await asyncio.wait(self._tasks)
                # `leave` releases the present agent's inbox only, and nothing once a later connection has joined
                await self._give_back([each for each in self._pending if each.agent_changed or not each.is_written])
                if self.joined is not None:
                    await self.broker.sessions.leave(self.id, self.hello.generation)
        for task in self._tasks:
            task.cancel()

    # pending reads

    def _take(self, request: RequestId) -> list[PendingRead]:
        """Return the reads of `request`, which nothing acknowledges any more."""
        taken = [each for each in self._pending if each.request == request and not each.settling]
        for read in taken:
            read.settling = True
            if read.cursor is not None and read.cursor == self._cursor:
                self._cursor = read.previous_cursor
        return taken

    def _take_if(self, condition: Callable[[PendingRead], bool]) -> list[PendingRead]:
        """Return the reads that fulfil `condition`, to acknowledge them."""
        taken = [each for each in self._pending if not each.settling and condition(each)]
        for read in taken:
            read.settling = True
        return taken

    async def _ack(self, read: PendingRead) -> None:
        try:
            if read.ids:
                await self.broker.mail.ack(read.agent, self.id, read.ids)
            if read.cursor is not None:
                await self.broker.broadcasts.move_cursor(read.agent, read.cursor)
        except PostinoError as error:
            log.warning("ack_failed", session=self.id, code=error.code)
            read.settling = False  # the next request or hook tries again
        else:
            self._forget(read)

    async def _give_back(self, reads: list[PendingRead]) -> None:
        """Give reads back. The delivery counts where the answer was sent, so that the next one is labelled.

        Where Valkey cannot be reached, what was sent comes again when its lease ends, what was not with the next read.
        """
        mail = self.broker.mail
        for read in reads:
            try:
                if read.ids and read.sent:
                    await mail.nack(read.agent, self.id, read.ids, counts=read.counts)
                elif read.ids:
                    await mail.undo_read(read.agent, self.id, read.ids, counts=read.counts)
            except PostinoError as error:
                log.warning("give_back_failed", session=self.id, code=error.code)
                if read.sent:
                    continue  # stays here, so that no read takes it for never shown
            self._forget(read)

    def _forget(self, read: PendingRead) -> None:
        self._pending = [each for each in self._pending if each is not read]

    async def _undo_when_done(self, request: RequestId, task: asyncio.Task[Any]) -> None:
        await asyncio.wait([task])
        await self.undo_read(request)
