"""The writing client: calls that wait together share one round trip, and nothing is ever retried.

redis-py's own client would repeat a command after a lost reply, up to ten times, and so store a message
more than once. This one sends once and says, when the connection breaks, whether the command may have run.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from redis.asyncio.client import Redis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from postino.errors import StoreAway

ANSWER_S = 1.5  # storage trouble must be an answer within two seconds, waiting in the queue and dialling included
CONNECT_S = 1.0
LEAST_S = 0.3  # a call with less time left is not sent: its outcome would be unknown for nothing
BATCH = 256  # calls per round trip: beyond this the gain is gone and the first caller waits for the last
OVERLAP = 16  # up to so many at once, and of more the half: the others are made ready while Valkey is at work

#: first words of replies after which nothing was stored: the server can not serve now, or not us
_NOT_NOW = frozenset({
    "LOADING", "BUSY", "MISCONF", "OOM", "READONLY", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN",
    "NOAUTH", "NOPERM", "WRONGPASS",
})  # fmt: skip

Command = Sequence[str | int | bytes]
_Call = tuple[bytes, "asyncio.Future[Any]", float]


def client(url: str, *, timeout_s: float | None) -> Redis:
    """Return a redis-py client for `url` without retries; `timeout_s` None lets a read block."""
    return Redis.from_url(
        url,
        decode_responses=True,
        encoding_errors="replace",
        socket_timeout=timeout_s,
        socket_connect_timeout=CONNECT_S,
        retry=Retry(NoBackoff(), 0),
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        health_check_interval=0,
    )


def away(error: Exception, *, outcome: str) -> StoreAway:
    """Return the refusal for a storage failure; `outcome` is none or unknown."""
    text = str(error) or type(error).__name__
    hint = "; the same id makes a retry safe" if outcome == "unknown" else ""
    return StoreAway(f"Valkey can not be used right now ({text}){hint}", outcome=outcome)


class Pipeline:
    """One connection shared by all callers; replies come back in order.

    `call` is safe from any number of tasks. Cancelling a caller does not disturb the others: its command
    runs or not, and its reply is dropped.
    """

    def __init__(self, url: str, *, changes: bool = True) -> None:
        #: what a broken round trip leaves open; where nothing is ever changed, nothing
        self._doubt = "unknown" if changes else "none"
        self._pool: ConnectionPool = client(url, timeout_s=None).connection_pool
        self._connection: AbstractConnection | None = None
        self._queue: deque[_Call] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._prelude: list[Command] = []

    def open(self, prelude: list[Command]) -> None:
        """Start serving; `prelude` is sent first on every new connection (script loading)."""
        self._prelude = prelude
        self._task = asyncio.create_task(self._serve(), name="valkey-pipeline")

    async def close(self) -> None:
        """End the connection; callers still waiting get StoreAway."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._fail(list(self._queue), away(ConnectionError("closing"), outcome="none"))
        self._queue.clear()
        await self._drop()
        await self._pool.disconnect()

    async def call(self, *command: str | int | bytes) -> Any:
        """Send `command` once and return its reply.

        Raises:
            StoreAway: no reply; `outcome` says whether the command may have run.
            ResponseError: Valkey refused it.
        """
        return await self.call_packed(_framed(command))

    async def call_packed(self, command: bytes) -> Any:
        """Send a command that is in wire form already; as `call`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._queue.append((command, future, loop.time() + ANSWER_S))
        self._wake.set()
        return await future

    async def _serve(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                calls = self._take()
                if calls:
                    await self._round_trip(calls)

    def _take(self) -> list[_Call]:
        now = asyncio.get_running_loop().time()
        calls: list[_Call] = []
        most = min(BATCH, max(OVERLAP, len(self._queue) // 2))
        while self._queue and len(calls) < most:
            each = self._queue.popleft()
            if each[1].done():  # the caller has gone
                continue
            if each[2] - now < LEAST_S:
                self._fail([each], away(TimeoutError("no answer in time"), outcome="none"))
            else:
                calls.append(each)
        return calls

    async def _round_trip(self, calls: list[_Call]) -> None:
        clock = asyncio.get_running_loop().time
        earliest = calls[0][2]  # the first to be queued is the first to be due
        try:
            async with asyncio.timeout_at(min(earliest, clock() + CONNECT_S)):
                connection = await self._connect()
        except Exception as error:  # whatever it was: who waits must hear of it, and the next call dials anew
            await self._broken(calls, error, outcome="none")
            return
        answered = 0
        try:
            async with asyncio.timeout_at(max(earliest, clock() + LEAST_S)):
                await connection.send_packed_command([each[0] for each in calls], check_health=False)
                for _, future, _ in calls:
                    try:
                        reply = await connection.read_response(disconnect_on_error=False, timeout=math.inf)
                    except (ResponseError, BusyLoadingError, AuthenticationError) as refusal:
                        reply = refusal
                    answered += 1
                    _settle(future, reply)
        except Exception as error:
            await self._broken(calls[answered:], error, outcome=self._doubt)
        except asyncio.CancelledError:
            self._fail(calls[answered:], away(ConnectionError("closing"), outcome=self._doubt))
            raise

    async def _connect(self) -> AbstractConnection:
        present = self._connection
        if present is not None and present.is_connected and not _closed(present):
            return present
        await self._drop()
        fresh: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        self._connection = fresh  # whoever meets a failure drops it
        await fresh.connect()  # type: ignore[no-untyped-call]
        # all at once: thirty scripts one by one would take a second over a line of 30 ms
        await fresh.send_packed_command([_framed(each) for each in self._prelude], check_health=False)
        for _ in self._prelude:
            await fresh.read_response(disconnect_on_error=False, timeout=math.inf)
        return fresh

    async def _broken(self, calls: list[_Call], error: Exception, *, outcome: str) -> None:
        await self._drop()
        self._fail(calls, away(error, outcome=outcome))
        # nothing of the queue was sent; answer at once instead of letting each wait in turn
        self._fail(list(self._queue), away(error, outcome="none"))
        self._queue.clear()

    def _fail(self, calls: list[_Call], error: StoreAway) -> None:
        for _, future, _ in calls:
            if not future.done():
                future.set_exception(error)

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await connection.disconnect(nowait=True)


def _framed(command: Command) -> bytes:
    return b"*%d\r\n" % len(command) + packed(command)


def packed(arguments: Iterable[str | int | bytes]) -> bytes:
    """Return `arguments` as they go over the wire, without the count in front.

    redis-py's own packing takes a third of a busy daemon's time.
    """
    parts: list[bytes] = []
    for argument in arguments:
        data = argument if isinstance(argument, bytes) else str(argument).encode()
        parts += (b"$%d\r\n" % len(data), data, b"\r\n")
    return b"".join(parts)


def _settle(future: asyncio.Future[Any], reply: Any) -> None:
    if future.done():
        return
    if not isinstance(reply, RedisError):
        future.set_result(reply)
    elif code_of(reply) in _NOT_NOW:
        future.set_exception(away(reply, outcome="none"))
    else:
        future.set_exception(reply)


def code_of(reply: RedisError) -> str:
    """Return the first word of an error reply, which redis-py keeps aside for the words it knows."""
    return getattr(reply, "status_code", None) or str(reply).partition(" ")[0]


def _closed(connection: AbstractConnection) -> bool:
    """Tell without a round trip whether the server has hung up: nothing was sent, so a new dial is safe."""
    reader = connection._reader
    return reader is None or reader.at_eof() or reader.exception() is not None
