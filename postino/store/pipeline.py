"""The writing client: one connection for all, and nothing is ever retried.

redis-py's own client would repeat a command after a lost reply, up to ten times, and so store a message
more than once. This one sends once and says, when the connection breaks, whether the command may have run.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from redis.asyncio.client import Redis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from postino.errors import StoreAway
from postino.store.wire import Call, Command, Owner, Wire, framed

ANSWER_S = 1.5  # storage trouble must be an answer within two seconds, waiting in the queue and dialling included
CONNECT_S = 1.0
LEAST_S = 0.3  # a call with less time left is not sent: its outcome would be unknown for nothing
FEW = 8  # calls under way up to which the next go out as they come: holding one back would only cost it time
TOGETHER = 16  # beyond, they wait and share a system call and an fsync: so many, and of more the half, so that
MOST = 256  # the others are made ready while Valkey is at work; from so many on the gain is gone

#: first words of replies after which nothing was stored: the server cannot serve now, or not us
_NOT_NOW = frozenset({
    "LOADING", "BUSY", "MISCONF", "OOM", "READONLY", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN",
    "NOAUTH", "NOPERM", "WRONGPASS",
})  # fmt: skip


def client(url: str, *, timeout_s: float | None) -> Redis:
    """Return a redis-py client for `url` without retries; `timeout_s` None lets a read block."""
    return Redis.from_url(
        url,
        decode_responses=True,
        encoding_errors="replace",
        socket_timeout=timeout_s,
        socket_connect_timeout=CONNECT_S,
        protocol=2,  # replies of one shape from every server
        retry=Retry(NoBackoff(), 0),
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        health_check_interval=0,
    )


def away(error: Exception, *, outcome: str) -> StoreAway:
    """Return the refusal for a storage failure; `outcome` is none or unknown."""
    text = str(error) or type(error).__name__
    hint = "; the same id makes a retry safe" if outcome == "unknown" else ""
    return StoreAway(f"Valkey cannot be used right now ({text}){hint}", outcome=outcome)


class Pipeline:
    """One connection shared by all callers; replies come back in order.

    `call` is safe from any number of tasks. Cancelling a caller does not disturb the others: its command
    runs or not, and its reply is dropped.
    """

    def __init__(self, url: str, *, changes: bool = True) -> None:
        #: what a broken round trip leaves open; where nothing is ever changed, nothing
        self._doubt = "unknown" if changes else "none"
        self._pool: ConnectionPool = client(url, timeout_s=None).connection_pool
        self._prelude: list[Command] = []
        self._queue: deque[Call] = deque()  # not sent yet
        self._wire: Wire | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._flushing: asyncio.Handle | None = None
        self._watching: asyncio.TimerHandle | None = None
        self._closed = False

    def open(self, prelude: list[Command]) -> None:
        """Serve; `prelude` is sent first on every new connection (script loading). The first call dials."""
        self._loop = asyncio.get_running_loop()
        self._prelude = prelude

    async def close(self) -> None:
        """End the connection; callers still waiting, and any later one, get StoreAway."""
        self._closed = True
        if self._dialling is not None:
            self._dialling.cancel()
            await asyncio.gather(self._dialling, return_exceptions=True)
        if self._wire is not None:
            self._wire.end(ConnectionError("closing"))
        if self._watching is not None:
            self._watching.cancel()
        self._refuse(ConnectionError("closing"))
        await self._pool.disconnect()

    async def call(self, *command: str | int | bytes, within_s: float = ANSWER_S) -> Any:
        """Send `command` once and return its reply; one that blocks needs more time.

        Raises:
            StoreAway: no reply; `outcome` says whether the command may have run.
            ResponseError: Valkey refused it.
        """
        reply: asyncio.Future[Any] = self._loop.create_future()
        self._queue.append(Call(framed(command), reply, self._loop.time() + within_s))
        if self._flushing is None:
            if self._wire is not None and not self._wire.open:
                self._send(self._wire)  # nobody is under way: to gather others would cost a turn of the loop
            else:
                self._flushing = self._loop.call_soon(self._flush)
        return await reply

    def _flush(self) -> None:
        self._flushing = None
        if self._wire is not None:
            self._send(self._wire)
        elif self._closed:
            self._refuse(ConnectionError("closed"))
        elif self._dialling is None and self._queue:
            self._dialling = self._loop.create_task(self._dial(self._queue[0].due), name="valkey-dial")

    def _freed(self) -> None:
        if self._wire is not None and self._flushing is None:
            self._send(self._wire)

    def _send(self, wire: Wire) -> None:
        """Send what waits, as much of it as is good now; the next reply looks again."""
        if not self._queue or wire.blocked or len(wire.open) >= FEW:
            return
        calls = self._take(min(MOST, max(TOGETHER, len(self._queue) // 2)))
        if calls:
            wire.send(calls)
            if self._watching is None:
                self._watching = self._loop.call_at(calls[0].due, self._watch)

    def _take(self, most: int) -> list[Call]:
        now = self._loop.time()
        calls: list[Call] = []
        while self._queue and len(calls) < most:
            each = self._queue.popleft()
            if each.reply.done():  # the caller has gone
                continue
            if each.due - now < LEAST_S:
                each.reply.set_exception(away(TimeoutError("no answer in time"), outcome="none"))
            else:
                calls.append(each)
        return calls

    def _watch(self) -> None:
        """Break the connection if the oldest call under way is overdue; else look again when it is."""
        self._watching = None
        if self._wire is None or not self._wire.open:
            return
        due = self._wire.open[0].due
        if due <= self._loop.time():
            self._wire.end(TimeoutError("no answer in time"))
        else:
            self._watching = self._loop.call_at(due, self._watch)

    async def _dial(self, due: float) -> None:
        """Connect for those who wait; if it fails they hear of it, and the next call dials anew."""
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout_at(min(due, self._loop.time() + CONNECT_S)):
                await self._greet(connection)
            writer = _taken(connection)
            assert writer is not None
            self._wire = Wire(writer, Owner(_settle, self._freed, self._broken))
        except Exception as error:  # whatever it was
            self._refuse(error)
        finally:
            self._dialling = None
            rest = _taken(connection)
            if rest is not None:
                rest.transport.abort()
        self._freed()

    async def _greet(self, connection: AbstractConnection) -> None:
        await connection.connect()  # type: ignore[no-untyped-call]
        # all at once: thirty scripts one by one would take a second over a line of 30 ms
        await connection.send_packed_command([framed(each) for each in self._prelude], check_health=False)
        for _ in self._prelude:
            await connection.read_response(disconnect_on_error=False)

    def _broken(self, error: Exception) -> None:
        wire, self._wire = self._wire, None
        assert wire is not None
        _fail(wire.open, away(error, outcome=self._doubt))
        self._refuse(error)

    def _refuse(self, error: Exception) -> None:
        """Answer who waits here at once instead of letting each wait in turn: nothing of theirs was sent."""
        _fail(self._queue, away(error, outcome="none"))
        self._queue.clear()


def _taken(connection: AbstractConnection) -> asyncio.StreamWriter | None:
    """Return the stream of redis-py's connection, which forgets it."""
    writer, connection._writer, connection._reader = connection._writer, None, None
    return writer


def _fail(calls: deque[Call], error: StoreAway) -> None:
    for each in calls:
        if not each.reply.done():
            each.reply.set_exception(error)


def _settle(call: Call, reply: Any) -> None:
    future = call.reply
    if future.done():
        return
    if not isinstance(reply, RedisError):
        future.set_result(reply)
    elif code_of(reply) in _NOT_NOW:
        future.set_exception(away(reply, outcome="none"))
    else:
        future.set_exception(reply)


def code_of(reply: RedisError) -> str:
    """Return the first word of an error reply."""
    return str(reply).partition(" ")[0]
