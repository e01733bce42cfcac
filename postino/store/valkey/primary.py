"""Finds the server that takes writes: the one that is named, the primary that Sentinels name, or a slot's owner.

Each new connection asks anew, all Sentinels or nodes side by side, and nothing that was true a moment ago is kept:
the primary may have changed. redis-py's own clients of Sentinels and clusters would repeat a write.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec
import redis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.driver_info import DriverInfo
from redis.exceptions import RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from postino.store.wire import Command, encode
from postino.store_address import parse
from postino.tasks import cancelled

CONNECT_TIMEOUT_S = 1.0
ASK_S = 0.5  # for one Sentinel or node to answer; all are asked at once, and a majority is enough
LOOK_S = 0.1  # between two questions whether a server that does not answer is still the primary
HINT_S = 5.0  # that a redirection is followed without asking: nodes that were not told yet would name the former owner
DRIVER = DriverInfo(lib_version=redis.__version__)  # by default it is read from disk, once for every connection

Where = tuple[str, int]


class Named(msgspec.Struct, frozen=True):
    """What one Sentinel or node says: where the primary is, and how many replicas may take its place."""

    where: Where
    replicas: int


def pool(url: str, *, timeout_s: float | None) -> ConnectionPool:
    """Return redis-py's connections to `url`, without retries; with `timeout_s` None a read may block for ever."""
    return ConnectionPool.from_url(
        url,
        decode_responses=True,
        encoding_errors="replace",
        socket_timeout=timeout_s,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        protocol=2,  # every server answers it in the same shapes
        retry=Retry(NoBackoff(), 0),
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        health_check_interval=0,
        driver_info=DRIVER,
    )


class Moved(ConnectionError):
    """Another server has become the primary while a connection to the former one was made."""


class Primary:
    """The server that an address means for keys with the hash tag of `key`; one object for all connections to it."""

    def __init__(self, url: str, key: str = "") -> None:
        self.address = parse(url)
        self.known_replicas: int | None = None  # that may be promoted, by the last answer; None: nobody was asked
        self.where: Where | None = None  # of the last connection
        #: called when a connection finds the primary elsewhere than the one before
        self.on_move: list[Callable[[Where], object]] = []
        self._slot = key_slot(key.encode())
        self._hint: tuple[Where, float] | None = None
        first = url if self.address.kind == "unix" else self.address.of(*self.address.servers[0])
        self._pool = pool(first, timeout_s=None)
        self._peers: Sequence[Where] = self.address.servers

    @property
    def moves(self) -> bool:
        """Whether the address names Sentinels or a cluster, so that the primary may change."""
        return self.address.kind in ("sentinel", "cluster")

    async def connection(self) -> AbstractConnection:
        """Return an object for one connection to the present primary, which is not open yet.

        Raises:
            ConnectionError: Sentinels or nodes do not name one. Takes about ASK_S at most.
        """
        if not self.moves:
            return self._pool.connection_class(**self._pool.connection_kwargs)
        where = await self.find()
        self._note(where)
        options = {**self._pool.connection_kwargs, "host": where[0], "port": where[1]}
        return self._pool.connection_class(**options)

    async def find(self) -> Where:
        """Return host and port of the primary as they are now.

        Raises:
            ConnectionError: no majority of the Sentinels names one, or no node of the cluster answers.
        """
        if self._hint is not None and time.monotonic() < self._hint[1]:
            return self._hint[0]
        return await (self._of_sentinels() if self.address.kind == "sentinel" else self._of_cluster())

    async def while_named(self, connection: AbstractConnection, handshake: Coroutine[Any, Any, None]) -> None:
        """Run the handshake on a new connection; give it up when another server is named: a frozen one never answers.

        Raises:
            Moved: another server is the primary; whatever `handshake` raises otherwise.
        """
        if not self.moves:
            return await handshake
        task = asyncio.create_task(handshake, name="valkey-handshake")
        where = _where(connection)
        try:
            now = where
            while now == where and not (await asyncio.wait([task], timeout=LOOK_S))[0]:
                with contextlib.suppress(RedisError, OSError):
                    now = await self.find()
            if now != where:
                self._note(now)
            else:
                await task
            if self.where != where:  # also when another connection has found it out meanwhile
                raise Moved("another server has become the primary")
        finally:
            await cancelled(task)

    def redirected(self, reply: str) -> None:
        """Take the owner from a reply `MOVED slot host:port`, for the next connection."""
        where = reply.split(" ")[2] if reply.startswith("MOVED ") and self.moves else ""
        host, _, port = where.rpartition(":")
        if port.isdecimal():
            self._hint = (host or (self.where or ("", 0))[0], int(port)), time.monotonic() + HINT_S

    def failed(self, connection: AbstractConnection) -> None:
        """Note that a connection could not be used: a redirection may have named a server that is gone."""
        if self._hint is not None and self._hint[0] == _where(connection):
            self._hint = None

    async def look(self) -> None:
        """Ask the Sentinels, if any, where the primary is, and let every connection to another server end.

        The nodes of a cluster need not be asked: a former owner redirects.
        """
        with contextlib.suppress(RedisError, OSError):
            if self.address.kind == "sentinel":
                self._note(await self.find())

    def _note(self, where: Where) -> None:
        if where == self.where:
            return
        self.where = where
        for each in list(self.on_move):
            each(where)

    async def _of_sentinels(self) -> Where:
        name, needed = self.address.name, len(self.address.servers) // 2 + 1
        question: list[Command] = [("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name), ("SENTINEL", "REPLICAS", name)]
        answers, errors = await self._ask(self.address.servers, question, needed)
        named = Counter(each.where for each in answers).most_common(1)
        if not named or named[0][1] < needed:
            raise ConnectionError(_no_majority(name, len(self.address.servers), needed, answers, errors))
        return self._found(named[0][0], answers)

    async def _of_cluster(self) -> Where:
        peers = tuple(dict.fromkeys((*self._peers, *self.address.servers)))
        answers, errors = await self._ask(peers, [("CLUSTER", "SLOTS")], len(peers) // 2 + 1)
        named = Counter(each.where for each in answers).most_common(1)
        if not named:
            raise ConnectionError(
                f"no node of the cluster names an owner of slot {self._slot}: {'; '.join(map(str, errors)) or 'none'}"
            )
        return self._found(named[0][0], answers)

    def _found(self, where: Where, answers: list[Named]) -> Where:
        self.known_replicas = max(each.replicas for each in answers if each.where == where)
        return where

    async def _ask(
        self, servers: Sequence[Where], questions: list[Command], needed: int
    ) -> tuple[list[Named], list[Exception]]:
        """Ask all `servers` at once, until `needed` of them say the same; return what was said, and what failed."""
        tasks = [asyncio.create_task(self._ask_one(each, questions)) for each in servers]
        answers: list[Named] = []
        errors: list[Exception] = []
        try:
            for done in asyncio.as_completed(tasks):
                try:
                    answers.append(await done)
                except (RedisError, OSError, EOFError, ValueError, LookupError, TypeError) as error:
                    errors.append(error)
                if answers and sum(each.where == answers[-1].where for each in answers) >= needed:
                    break
        finally:
            await cancelled(*tasks)
        return answers, errors

    async def _ask_one(self, server: Where, questions: list[Command]) -> Named:
        options = {**self._pool.connection_kwargs, "host": server[0], "port": server[1]}
        if self.address.kind == "sentinel":
            options |= {"username": self.address.sentinel_user, "password": self.address.sentinel_password, "db": 0}
        connection: AbstractConnection = self._pool.connection_class(**options)
        try:
            async with asyncio.timeout(ASK_S):
                replies = await ask(connection, questions)
        except TimeoutError:
            raise ConnectionError(f"{shown(server)} does not answer") from None
        if self.address.kind == "sentinel":
            return _by_sentinel(server, replies)
        return self._by_node(server, replies[0])

    def _by_node(self, server: Where, reply: Any) -> Named:
        _raise(reply)
        for first, last, owner, *replicas in reply:
            if int(first) <= self._slot <= int(last):
                self._peers = [(_host(each[0], server), int(each[1])) for entry in reply for each in entry[2:]]
                return Named((_host(owner[0], server), int(owner[1])), len(replicas))
        raise ValueError(f"{shown(server)} says that no node owns slot {self._slot}")


async def ask(connection: AbstractConnection, questions: Sequence[Command]) -> list[Any]:
    """Connect, ask all `questions` in one write, close; return the replies, errors among them."""
    try:
        await connection.connect()  # type: ignore[no-untyped-call]
        await connection.send_packed_command([encode(each) for each in questions], check_health=False)
        replies: list[Any] = []
        for _ in questions:
            try:
                replies.append(await connection.read_response(disconnect_on_error=False))
            except ResponseError as error:
                replies.append(error)
        return replies
    finally:
        with contextlib.suppress(Exception):
            await connection.disconnect(nowait=True)


def shown(where: Where) -> str:
    """Return host and port in one word."""
    return f"[{where[0]}]:{where[1]}" if ":" in where[0] else f"{where[0]}:{where[1]}"


def _where(connection: AbstractConnection) -> Where:
    return getattr(connection, "host", ""), getattr(connection, "port", 0)


def _by_sentinel(server: Where, replies: list[Any]) -> Named:
    named, replicas = replies
    _raise(named)
    if not named:
        raise ValueError(f"the Sentinel {shown(server)} does not know that name")
    counted = 0
    for each in replicas if isinstance(replicas, list) else ():
        facts = dict(zip(each[::2], each[1::2], strict=False)) if isinstance(each, list) else each
        counted += facts.get("slave-priority") not in ("0", 0)  # 0: it is never promoted
    return Named((str(named[0]), int(named[1])), counted)


def _host(said: Any, server: Where) -> str:
    """Return a node's host; one that does not know its own is the one that was asked."""
    return str(said) if said not in (None, "", "?") else server[0]


def _raise(reply: Any) -> None:
    if isinstance(reply, Exception):
        raise reply


def _no_majority(name: str, asked: int, needed: int, answers: list[Named], errors: list[Exception]) -> str:
    said = ", ".join(sorted({shown(each.where) for each in answers}))
    wrong = "; ".join(sorted({str(each) or type(each).__name__ for each in errors}))
    return (
        f"no {needed} of {asked} Sentinels agree on the primary of {name}"
        f"{f'; named: {said}' if said else ''}{f'; {wrong}' if wrong else ''}"
    )
