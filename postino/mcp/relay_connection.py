"""One relay on the wire: the lines of postino/wire.py on one side, the SDK's streams on the other."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from typing import Any

import anyio
import mcp_types as types
import msgspec
import structlog
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.dispatcher import as_request_id, coerce_request_id
from mcp.shared.message import SessionMessage

from postino import __version__
from postino.broker import Broker, Hello
from postino.errors import BadField, BadRequest, PostinoError, StoreAway
from postino.mcp.connected import ConnectedSession, ConnectedSessions
from postino.mcp.server import PostinoServer
from postino.mcp.session import LAST_WORDS, Session
from postino.model import check_id
from postino.relay.lines import CONTROL, LINE_LIMIT, Lines

HELLO_WITHIN = 5.0  # s; a relay sends it with the first bytes
AT_ONCE = 64  # requests of one client handled side by side; further ones wait on the wire
FAREWELL = 0.4  # s for what is under way when the daemon stops, and as much for giving back
SIGNS = frozenset({"tools/call", "resources/read", "prompts/get"})  # requests that come from a model or its user

log = structlog.get_logger()


async def serve_relay(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    broker: Broker,
    sessions: ConnectedSessions | None = None,
) -> None:
    """Serve one relay until either end closes.

    Cancelled, it says bye and is over within a second; what was under way has been answered or goes unanswered.
    """
    wire = Wire(reader, writer)
    try:
        session = await _welcome(wire, broker)
        if session is not None:
            await Connection(wire, session, ConnectedSessions() if sessions is None else sessions).serve()
    except ConnectionError:
        pass  # the relay has gone
    except Exception:
        log.exception("relay_failed")
    finally:
        wire.close()


async def _welcome(wire: Wire, broker: Broker) -> Session | None:
    """Return the session that the first line opens; None when nothing came or it was refused."""
    try:
        async with asyncio.timeout(HELLO_WITHIN):
            line = await wire.line()
    except TimeoutError:
        return None
    if line is None:
        return None
    agent = None
    try:
        session = Session(broker, parse_hello(line))
        agent = (await session.join()).agent
    except StoreAway:
        pass  # every call tries again and says what is wrong
    except PostinoError as error:
        wire.put({"postino": "refused", "error": error.message})
        await wire.flush()
        return None
    wire.put({"postino": "welcome", "agent": agent, "version": __version__})
    log.info("relay_joined", session=session.id, generation=session.hello.generation, agent=agent)
    return session


def parse_hello(line: bytes) -> Hello:
    """Return what the first line says.

    Raises:
        BadRequest: it is no hello, or a field is wrong.
    """
    try:
        said = msgspec.json.decode(line, type=_Hello)
    except msgspec.MsgspecError as error:
        raise BadRequest(f"the first line must be a relay's hello: {error}") from None
    if not check_id(said.session, "session").startswith("s-"):
        raise BadField("session must begin with s-", field="session")
    claude = said.claude or _Claude()
    return Hello(
        session=said.session,
        generation=said.generation,
        name=said.name,
        terminal=said.terminal,
        directory=said.directory,
        host=said.host,
        claude_pid=claude.pid,
        claude_start=None if claude.start is None else str(claude.start),
        claude_socket=claude.socket,
        claude_session_id=claude.session_id,
    )


class _Claude(msgspec.Struct):
    pid: int | None = None
    start: int | None = None
    socket: str | None = None
    session_id: str | None = None


class _Hello(msgspec.Struct, tag_field="postino", tag="hello"):
    session: str
    generation: int
    name: str | None = None
    terminal: str | None = None
    directory: str | None = None
    host: str | None = None
    claude: _Claude | None = None


class Wire:
    """Lines in, lines out."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._lines = Lines()
        self._ready: deque[bytes] = deque()

    async def line(self) -> bytes | None:
        """Return the next line, None at the end. A line over the limit is dropped: no relay sends one."""
        while not self._ready:
            chunk = await self._reader.read(1 << 16)
            if not chunk:
                return None
            self._ready += [line for line, cut in self._lines.feed(chunk) if cut is None]
        return self._ready.popleft()

    def put(self, message: dict[str, Any]) -> None:
        """Queue one line, escaped to ASCII: that carries any text, whatever it holds."""
        line = json.dumps(message, separators=(",", ":")).encode()
        if len(line) > LINE_LIMIT:  # no tool answers so much: an error that repeats the caller's words
            error = {"code": types.INTERNAL_ERROR, "message": "The answer is longer than a line may be"}
            line = json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "error": error}).encode()
        if not self._writer.is_closing():
            self._writer.write(line + b"\n")

    async def flush(self) -> None:
        """Wait until the relay takes more."""
        await self._writer.drain()

    def close(self) -> None:
        """Close once what is queued has left."""
        self._writer.close()


class Connection:
    """A session being served: lines to the SDK, its answers to lines."""

    def __init__(self, wire: Wire, session: Session, sessions: ConnectedSessions) -> None:
        self._wire = wire
        self._session = session
        self._sessions = sessions
        self._tab = ConnectedSession(session, wire.put)
        self._unanswered: set[str | int] = set()
        self._answered = asyncio.Event()  # one of them just was
        self._taking: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Serve until the relay closes, then finish what is under way and leave."""
        serving = asyncio.create_task(self._serve())
        patience = LAST_WORDS
        self._sessions.add(self._tab)
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            patience = FAREWELL
            await self._part()
            raise
        finally:
            self._sessions.discard(self._tab)
            serving.cancel()
            await asyncio.wait([serving])
            await self._session.close(patience)
            log.info("relay_left", session=self._session.id, generation=self._session.hello.generation)

    async def _part(self) -> None:
        """Say bye, take nothing more, let the answers under way out."""
        self._wire.put({"postino": "bye"})
        if self._taking is not None:
            self._taking.cancel()
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(FAREWELL):
                while self._unanswered:
                    await self._next_answer()
                await self._wire.flush()
        self._wire.close()

    async def _serve(self) -> None:
        into, arriving = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        leaving, out = anyio.create_memory_object_stream[SessionMessage](0)
        server = PostinoServer(self._session)
        with into, out:  # also when the SDK never came to take or close them
            async with asyncio.TaskGroup() as group:
                self._taking = group.create_task(self._take(into))
                giving = group.create_task(self._give(out))
                keeping = group.create_task(self._session.keep())
                await server.run(arriving, leaving, server.create_initialization_options())
                for task in (self._taking, giving, keeping):
                    task.cancel()

    async def _take(self, into: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        """Hand what the relay sends to the SDK, in order; the session sees it first."""
        with contextlib.suppress(ConnectionError):
            while (line := await self._wire.line()) is not None:
                if line.startswith(CONTROL):
                    self._told(json.loads(line))
                elif (message := self._message(line)) is not None:
                    await self._note(message)
                    await into.send(SessionMessage(message))
        into.close()  # the end for the SDK too; cancelled, it goes on with what it has

    def _message(self, line: bytes) -> types.JSONRPCMessage | None:
        """Return the frame, lone surrogates and all: the tools name the field and place of what they refuse."""
        try:
            said = json.loads(line)
        except RecursionError:  # a relay lets none through; it would end the whole connection
            return None
        try:
            return types.jsonrpc_message_adapter.validate_python(said, by_name=False)
        except ValueError:
            if "id" in said and "method" in said:
                error = {"code": types.INVALID_REQUEST, "message": "Invalid request: this is no JSON-RPC 2.0 request"}
                self._wire.put({"jsonrpc": "2.0", "id": said["id"], "error": error})
            return None

    async def _note(self, message: types.JSONRPCMessage) -> None:
        if isinstance(message, types.JSONRPCRequest):
            while len(self._unanswered) >= AT_ONCE:
                await self._next_answer()
            request = coerce_request_id(message.id)
            self._unanswered.add(request)
            if message.method in SIGNS:
                self._session.arrived(request, proves=not self._tab.tells())
        elif isinstance(message, types.JSONRPCNotification) and message.method == "notifications/initialized":
            self._tab.initialized = True
            if self._session.hello.generation > 1:
                self._sessions.returned(self._tab)
        elif isinstance(message, types.JSONRPCNotification) and message.method == "notifications/cancelled":
            named = as_request_id((message.params or {}).get("requestId"))
            if named is not None:
                self._unanswered.discard(coerce_request_id(named))
                self._session.cancelled(coerce_request_id(named))

    def _told(self, control: dict[str, Any]) -> None:
        request = as_request_id(control.get("id"))
        if control["postino"] == "written" and request is not None:
            self._session.written(coerce_request_id(request))
        self._tab.told(control)

    async def _give(self, out: MemoryObjectReceiveStream[SessionMessage]) -> None:
        """Write what the SDK answers; when the relay has gone, go on taking it, so that nobody waits to be heard."""
        with out:
            async for item in out:
                frame = item.message.model_dump(by_alias=True, exclude_unset=True)
                self._wire.put(frame)
                with contextlib.suppress(ConnectionError):
                    await self._wire.flush()
                if "method" not in frame:
                    self._unanswered.discard(coerce_request_id(frame.get("id") or ""))
                    self._answered.set()

    async def _next_answer(self) -> None:
        self._answered.clear()
        await self._answered.wait()
