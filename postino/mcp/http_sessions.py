"""All sessions over HTTP: open, find and end them, within limits.

In the protocols up to 2025-11-25 a handshake opens a session and the client repeats its id with each request. Since
2026-07-28 requests stand alone: then the client names its session by a key of its own, and without one it is refused,
because nothing would tell whose next call acknowledges what.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

import mcp_types as types
import structlog
from mcp.shared.inbound import (
    ERROR_CODE_HTTP_STATUS,
    MCP_PROTOCOL_VERSION_HEADER,
    InboundLadderRejection,
    classify_inbound_request,
)
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from postino.broker import Broker, Hello
from postino.broker.sessions import SESSION_PREFIX
from postino.errors import BadRequest, StoreAway, TooMany, UnknownSession
from postino.mcp.caller import Caller
from postino.mcp.connected import ConnectedSessions
from postino.mcp.http_session import Frame, HttpSession
from postino.mcp.relay_connection import RelayConnection
from postino.mcp.session import Session
from postino.values import visible

MOST = 64  # sessions; each has at most one stream
MOST_PER_TOKEN = 16
RECENT_S = 30.0  # of use, in which no other session may take a session's place
IDLE_S = 1800.0  # without a request or an open stream, after which a session ends
SWEEP_S = 5.0
END_S = 3.0  # for a session that ends to finish what it does; then it answers what is ready
FAREWELL_S = 1.2  # for sessions to answer what is in progress and release what they hold
KEY_HEADER = "X-Postino-Session"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Client:
    """Who sends a request. `owner`: the id of a named token, or "" for all without one. `key`: its own session key."""

    owner: str = ""
    name: str | None = None
    key: str | None = None
    caller: Caller = field(default_factory=Caller)


class Refused(Exception):
    """A request is refused with a JSON-RPC error and an HTTP status."""

    def __init__(self, request: Frame, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        error = {"code": code, "message": message} | ({} if data is None else {"data": data})
        self.frame: Frame = {"jsonrpc": "2.0", "id": request.get("id"), "error": error}
        self.status = http_status(self.frame)


class HttpSessions:
    """The open sessions of one daemon. The owner awaits `close`."""

    def __init__(self, broker: Broker, connected: ConnectedSessions) -> None:
        self._broker = broker
        self._connected = connected
        self._open: dict[str, HttpSession] = {}
        self._serving: dict[str, asyncio.Task[None]] = {}
        #: a store that hangs holds up each client for itself, not those that come after it
        self._opening: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._leaving: set[asyncio.Task[None]] = set()
        self._sweeping = asyncio.create_task(self._sweep(), name="idle MCP sessions")

    def __len__(self) -> int:
        return len(self._open)

    async def open(self, client: Client, *, modern: bool = False) -> HttpSession:
        """Open a session; one of the same key ends, and what it held comes again.

        Raises:
            BadName: the name cannot name an agent.
            TooMany: MOST sessions are open, or MOST_PER_TOKEN of this token, and none of them is idle.
        """
        consumer = _consumer(client)
        async with self._lock(consumer):
            return await self._open_one(client, consumer, modern)

    def _lock(self, consumer: str) -> asyncio.Lock:
        return self._opening.setdefault(consumer, asyncio.Lock())

    async def _open_one(self, client: Client, consumer: str, modern: bool) -> HttpSession:
        for each in [each for each in self._open.values() if each.session.id == consumer]:
            await self.end(each)
        self._make_room(client.owner)
        # a key may have been used with an earlier daemon: the clock makes this connection the later one
        generation = time.time_ns() // 1_000_000 if client.key else 1
        hello = Hello(session=consumer, generation=generation, name=client.name, host=os.uname().nodename)
        session = HttpSession(
            secrets.token_hex(16), client.owner, Session(self._broker, hello, client.caller), modern=modern
        )
        self._open[session.id] = session  # counts from now on
        joining = asyncio.ensure_future(session.session.join())
        try:
            with contextlib.suppress(StoreAway):  # each request tries again, and answers with the error
                await asyncio.shield(joining)
            self._serving[session.id] = asyncio.create_task(self._serve(session), name="mcp over http")
        finally:
            if session.id not in self._serving:
                self._open.pop(session.id, None)
                self._leave(session, joining)
        log.info("http_session_opened", session=session.session.id, agent=session.session.agent, modern=modern)
        return session

    def _leave(self, session: HttpSession, joining: asyncio.Future[Any]) -> None:
        """Let a session leave that has joined, or still does, for a client that has gone."""

        async def leave() -> None:
            await asyncio.wait([joining])
            if not joining.cancelled() and joining.exception() is None:
                await session.session.close()

        leaving = asyncio.create_task(leave(), name="leave")
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    def find(self, id: str, owner: str, version: str | None) -> HttpSession:
        """Return the session that a client names.

        Raises:
            UnknownSession: there is none of `owner`: it has ended, or an earlier daemon had it.
            BadRequest: the session does not speak the protocol `version`.
        """
        session = self._open.get(id)
        if session is None or session.ended.is_set() or session.modern or session.owner != owner:
            raise UnknownSession("there is no such MCP session, or no more; open another one by `initialize`")
        if version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS:
            known = ", ".join(HANDSHAKE_PROTOCOL_VERSIONS)
            raise BadRequest(f"{MCP_PROTOCOL_VERSION_HEADER} must be one of {known}, not {visible(version)[:64]}")
        return session

    async def modern(self, client: Client, request: Frame, headers: Mapping[str, str]) -> HttpSession:
        """Return the session for a request without a handshake; `headers` have lower-case names.

        Raises:
            Refused: the request is not of 2026-07-28 or later, it contradicts its headers, or it has no session key.
        """
        if headers.get(MCP_PROTOCOL_VERSION_HEADER) in (None, *HANDSHAKE_PROTOCOL_VERSIONS):
            raise Refused(
                request,
                types.INVALID_REQUEST,
                "the header Mcp-Session-Id is missing: open a session by `initialize`, or name one by the id it gave",
            )
        if client.key is None:  # most clients then try the handshake
            discovers = request.get("method") == "server/discover"
            raise Refused(
                request,
                types.METHOD_NOT_FOUND if discovers else types.INVALID_REQUEST,
                f"without the header {KEY_HEADER} only sessions opened by `initialize` are served: requests of "
                "2026-07-28 do not tell which of them belong to one reader",
            )
        found = classify_inbound_request(request, headers=headers)
        if isinstance(found, InboundLadderRejection):
            raise Refused(request, found.code, found.message, found.data)
        consumer = _consumer(client)
        async with self._lock(consumer):
            for each in self._open.values():
                if each.modern and each.session.id == consumer and not each.ended.is_set():
                    return each
            return await self._open_one(client, consumer, True)

    async def end(self, session: HttpSession) -> None:
        """End a session and return once what it held is given back, or after END_S and FAREWELL_S: a store may hang."""
        session.close()
        if (serving := self._serving.get(session.id)) is None:
            return
        await asyncio.wait([serving], timeout=END_S)
        serving.cancel()
        await asyncio.wait([serving], timeout=FAREWELL_S)

    async def close(self) -> None:
        """End all sessions."""
        self._sweeping.cancel()
        tasks = list(self._serving.values())
        for task in tasks:
            task.cancel()  # makes it answer what is ready
        tasks += self._leaving
        if tasks:
            await asyncio.wait(tasks, timeout=FAREWELL_S)

    def _make_room(self, owner: str) -> None:
        """End the session that has been idle for longest, where there are as many as may be."""
        own = [each for each in self._open.values() if each.owner == owner]
        if owner and len(own) >= MOST_PER_TOKEN:
            among, most = own, f"{MOST_PER_TOKEN} MCP sessions of this token"
        elif len(self._open) >= MOST:
            among, most = list(self._open.values()), f"{MOST} MCP sessions"
        else:
            return
        latest = asyncio.get_running_loop().time() - RECENT_S
        idle = [each for each in among if not each.is_used() and each.last_used <= latest]
        if not idle:
            raise TooMany(f"{most} are already open; end one by DELETE /mcp")
        self._end_idle(min(idle, key=lambda each: each.last_used))

    def _end_idle(self, session: HttpSession) -> None:
        log.info("http_session_idle", session=session.session.id)
        self._open.pop(session.id, None)
        session.close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(SWEEP_S, IDLE_S))
            latest = asyncio.get_running_loop().time() - IDLE_S
            for each in [each for each in self._open.values() if not each.is_used() and each.last_used <= latest]:
                self._end_idle(each)

    async def _serve(self, session: HttpSession) -> None:
        try:
            await RelayConnection(session, session.session, self._connected, modern=session.modern).serve()
        except Exception:
            log.exception("http_session_failed", session=session.session.id)
        finally:
            session.close()
            self._open.pop(session.id, None)
            self._serving.pop(session.id, None)


def http_status(answer: Frame) -> int:
    """Return the HTTP status that a protocol of 2026-07-28 or later asks for."""
    return ERROR_CODE_HTTP_STATUS.get(answer["error"]["code"], 200) if "error" in answer else 200


def _consumer(client: Client) -> str:
    """Return the session id for the store: always the same for a key, so that a later daemon knows the session."""
    if client.key is None:
        return f"{SESSION_PREFIX}{secrets.token_hex(16)}"
    whose = f"{client.owner}\n{client.key}".encode()
    return f"{SESSION_PREFIX}{hashlib.blake2b(whose, digest_size=16).hexdigest()}"
