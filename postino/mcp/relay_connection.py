"""One relay's connection: lines of the unix socket on one side, the SDK's message streams on the other."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
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
from postino.broker.sessions import SESSION_PREFIX
from postino.errors import BadField, BadRequest, PostinoError, StoreAway
from postino.mcp.connected import ConnectedSession, ConnectedSessions
from postino.mcp.http_session import HttpSession
from postino.mcp.keepalive import Keepalive
from postino.mcp.server import PostinoServer
from postino.mcp.session import CLOSE_S, Session
from postino.mcp.updates import notify_of_mail
from postino.relay.lines import CONTROL, LINE_LIMIT, LineBuffer, parse
from postino.values import ID_PATTERN, check_id, visible

HELLO_S = 5.0  # for the first line, which a relay sends as soon as it is connected
MAX_IN_FLIGHT = 64  # requests of one client handled at the same time; further ones wait in the socket
STOP_S = 0.4  # for the answers under way when the daemon stops, and as much again to give reads back
LONGEST_CLIENT = 64  # characters of the name that a client gives itself
ACKNOWLEDGING = frozenset({"tools/call", "resources/read", "prompts/get"})  # methods a model or its user causes
_ID = re.compile(ID_PATTERN)

log = structlog.get_logger()


async def serve_relay(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    broker: Broker,
    sessions: ConnectedSessions | None = None,
) -> None:
    """Serve one relay until either end closes.

    When cancelled, it says bye and ends within a second; requests still in flight then are not answered.
    """
    lines = LineStream(reader, writer)
    try:
        session = await _welcome(lines, broker)
        if session is not None:
            await RelayConnection(lines, session, ConnectedSessions() if sessions is None else sessions).serve()
    except ConnectionError:
        pass  # the relay has gone
    except Exception:
        log.exception("relay_failed")
    finally:
        lines.close()


async def _welcome(lines: LineStream, broker: Broker) -> Session | None:
    """Return the session that the first line opens; None when no line came or the relay was refused."""
    try:
        async with asyncio.timeout(HELLO_S):
            line = await lines.next()
    except TimeoutError:
        return None
    if line is None:
        return None
    agent = None
    try:
        session = Session(broker, parse_hello(line))
        agent = (await session.join()).agent
    except StoreAway:
        pass  # each request tries again, and answers with the error
    except PostinoError as error:
        lines.put({"postino": "refused", "error": error.message})
        await lines.flush()
        return None
    lines.put({"postino": "welcome", "agent": agent, "version": __version__})
    hello = session.hello
    if hello.placeholders:
        log.warning("placeholders_not_expanded", session=session.id, variables=hello.placeholders)
    log.info("relay_joined", session=session.id, generation=hello.generation, agent=agent, version=hello.version)
    return session


def parse_hello(line: bytes) -> Hello:
    """Return the hello that a relay's first line holds.

    Raises:
        BadRequest: the line is not a hello, or a field has the wrong type. BadField: the session id is not a relay's.
    """
    try:
        given = msgspec.json.decode(line, type=_Hello)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadRequest(f"the first line must be a relay's hello: {error}") from None
    if not check_id(given.session, "session").startswith(SESSION_PREFIX):
        raise BadField(f"session must begin with {SESSION_PREFIX}", field="session")
    claude = given.claude or _Claude()
    return Hello(
        session=given.session,
        generation=given.generation,
        started_ms=given.started_ms,
        name=given.name,
        terminal=given.terminal,
        directory=given.directory,
        host=given.host,
        claude_pid=claude.pid,
        claude_start=None if claude.start is None else str(claude.start),
        claude_socket=claude.socket,
        claude_session_id=claude.session_id,
        plugin=given.plugin,
        version=None if given.version is None else visible(given.version)[:32],
        placeholders=[visible(each)[:64] for each in given.placeholders[:8]],
    )


class _Claude(msgspec.Struct):
    pid: int | None = None
    start: int | None = None
    socket: str | None = None
    session_id: str | None = None


class _Hello(msgspec.Struct, tag_field="postino", tag="hello"):
    session: str
    generation: int
    started_ms: int = 0
    version: str | None = None
    plugin: bool | None = None
    name: str | None = None
    terminal: str | None = None
    directory: str | None = None
    host: str | None = None
    claude: _Claude | None = None
    placeholders: list[str] = []


class LineStream:
    """Read and write lines on a stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._buffer = LineBuffer()
        self._complete: deque[bytes] = deque()

    async def next(self) -> bytes | None:
        """Return the next line, None at the end. A line over LINE_LIMIT is dropped: no relay sends one."""
        while not self._complete:
            chunk = await self._reader.read(1 << 16)
            if not chunk:
                return None
            self._complete += [line for line, end in self._buffer.feed(chunk) if end is None]
        return self._complete.popleft()

    def put(self, message: dict[str, Any]) -> bool:
        """Queue one line, escaped to ASCII because a text may hold lone surrogates; return whether it is `message`."""
        line = json.dumps(message, separators=(",", ":")).encode()
        fits = len(line) <= LINE_LIMIT
        if not fits:  # no tool answers so much; an error can that repeats the caller's words
            error = {"code": types.INTERNAL_ERROR, "message": "The answer exceeds the limit of a line"}
            line = json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "error": error}).encode()
        if not self._writer.is_closing():
            self._writer.write(line + b"\n")
        return fits

    async def flush(self) -> None:
        """Wait until the write buffer has room."""
        await self._writer.drain()

    def close(self) -> None:
        """Close once the queued lines have been written."""
        self._writer.close()

    def is_used(self) -> bool:
        """Return True: a relay that has gone closes its connection."""
        return True


#: what carries a session's lines: a relay's connection, or the requests of a client that speaks HTTP
Lines = LineStream | HttpSession


class RelayConnection:
    """Carries one session's lines to the SDK's server, and its answers back.

    `modern`: the client speaks a protocol of 2026-07-28 or later, whose requests stand alone.
    """

    def __init__(self, lines: Lines, session: Session, sessions: ConnectedSessions, *, modern: bool = False) -> None:
        self._lines = lines
        self._modern = modern
        self._session = session
        self._sessions = sessions
        self._connected = ConnectedSession(session, lines.put)
        self._in_flight: set[str | int] = set()
        self._answered = asyncio.Event()  # set by each answer
        self._receiving: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Serve until the relay closes, then finish what is under way and leave."""
        serving = asyncio.create_task(self._serve())
        timeout = CLOSE_S
        self._sessions.add(self._connected)
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            timeout = STOP_S
            await self._say_bye()
            raise
        finally:
            self._sessions.discard(self._connected)
            serving.cancel()
            await asyncio.wait([serving])
            await self._session.close(timeout)
            log.info("relay_left", session=self._session.id, generation=self._session.hello.generation)

    async def _say_bye(self) -> None:
        """Say bye, receive nothing more, and send the answers that are ready within STOP_S."""
        self._lines.put({"postino": "bye"})
        if self._receiving is not None:
            self._receiving.cancel()
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(STOP_S):
                while self._in_flight:
                    await self._next_answer()
                await self._lines.flush()
        self._lines.close()

    async def _serve(self) -> None:
        to_server, server_reads = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        server_writes, from_server = anyio.create_memory_object_stream[SessionMessage](0)
        with to_server, from_server:  # closes them also when the SDK fails before it takes them over
            async with asyncio.TaskGroup() as group:
                self._receiving = group.create_task(self._receive(to_server))
                sending = group.create_task(self._send(from_server))
                keepalive = group.create_task(Keepalive(self._session).run(self._lines.is_used))
                updates = group.create_task(notify_of_mail(self._session, self._lines.put))
                await PostinoServer(self._session).serve(server_reads, server_writes, modern=self._modern)
                for task in (self._receiving, sending, keepalive, updates):
                    task.cancel()

    async def _receive(self, to_server: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        """Pass the relay's frames to the SDK in order, each after the session has noted it."""
        with contextlib.suppress(ConnectionError):
            while (line := await self._lines.next()) is not None:
                frame = self._frame(line)
                if frame is None:
                    continue
                if line.startswith(CONTROL):
                    self._control(frame)
                elif (message := self._message(frame)) is not None:
                    await self._note(message)
                    await to_server.send(SessionMessage(message))
        to_server.close()  # ends the SDK's server; when this task is cancelled, the server goes on with what it has

    def _frame(self, line: bytes) -> dict[str, Any] | None:
        """Return the object of a line, or answer that it is none: no relay sends such a line, but any program may.

        Lone surrogates are included: the tools then name the field and position they refuse.
        """
        try:
            frame = parse(line)
        except (ValueError, RecursionError):
            self._refuse(None, types.PARSE_ERROR, "Parse error: this line is not JSON, or nested too deeply")
            return None
        if isinstance(frame, dict):
            return frame
        self._refuse(None, types.INVALID_REQUEST, "Invalid request: each line is one JSON-RPC object")
        return None

    def _message(self, frame: dict[str, Any]) -> types.JSONRPCMessage | None:
        """Return the JSON-RPC message of a frame; answer a request that is not valid, drop anything else."""
        try:
            return types.jsonrpc_message_adapter.validate_python(frame, by_name=False)
        except ValueError:
            if "id" in frame and "method" in frame:
                self._refuse(frame["id"], types.INVALID_REQUEST, "Invalid request: not a JSON-RPC 2.0 request")
            return None

    def _refuse(self, request_id: object, code: int, text: str) -> None:
        named = request_id if isinstance(request_id, (str, int)) and not isinstance(request_id, bool) else None
        self._lines.put({"jsonrpc": "2.0", "id": named, "error": {"code": code, "message": text}})

    async def _note(self, message: types.JSONRPCMessage) -> None:
        if isinstance(message, types.JSONRPCRequest):
            while len(self._in_flight) >= MAX_IN_FLIGHT:
                await self._next_answer()
            request = coerce_request_id(message.id)
            self._in_flight.add(request)
            if message.method == "initialize" and (client := _client(message)):
                self._session.client_named(client)
            if message.method in ACKNOWLEDGING:
                acknowledges = not self._connected.hooks_active()
                self._session.request_arrived(request, acknowledges=acknowledges, tool_use=self._tool_use(message))
        elif isinstance(message, types.JSONRPCNotification) and message.method == "notifications/initialized":
            self._connected.initialized = True
            if self._session.hello.generation > 1:
                self._sessions.on_reconnect(self._connected)
        elif isinstance(message, types.JSONRPCNotification) and message.method == "notifications/cancelled":
            cancelled = as_request_id((message.params or {}).get("requestId"))
            if cancelled is not None:
                self._in_flight.discard(coerce_request_id(cancelled))
                self._session.request_cancelled(coerce_request_id(cancelled))

    def _tool_use(self, request: types.JSONRPCRequest) -> str | None:
        """Return the id under which the client's hooks name this call; neither client documents it.

        Codex names its session, too: many of them run in one process, so nothing else tells whose connection this is.
        """
        meta = _meta(request)
        codex = _text(meta.get("sessionId"))
        if codex and "x-codex-turn-metadata" in meta and _ID.fullmatch(codex):
            self._connected.client = "codex"
            self._sessions.serves(self._connected, codex)
        named = _text(meta.get("claudecode/toolUseId")) or _text(meta.get("callId"))
        return self._connected.tool_use_of(str((request.params or {}).get("name")), named)

    def _control(self, control: dict[str, Any]) -> None:
        kind, request = control["postino"], as_request_id(control.get("id"))
        if kind == "written" and request is not None:
            self._session.answer_written(coerce_request_id(request))
        elif kind == "lost" and request is not None:
            self._session.answer_lost(coerce_request_id(request))
        else:
            self._connected.answered(control)

    async def _send(self, from_server: MemoryObjectReceiveStream[SessionMessage]) -> None:
        """Write the SDK's frames. Once the relay has gone, go on receiving them, so that the SDK does not block."""
        with from_server:
            async for item in from_server:
                frame = item.message.model_dump(by_alias=True, exclude_unset=True)
                if "method" in frame:
                    self._lines.put(frame)
                else:
                    self._answer(frame)
                with contextlib.suppress(ConnectionError):
                    await self._lines.flush()

    def _answer(self, frame: dict[str, Any]) -> None:
        """Send the answer of a request, unless the client has cancelled it; tell the session whether it is an error."""
        request = coerce_request_id(frame["id"])
        if request not in self._in_flight:
            return
        result = frame.get("result")
        failed = not self._lines.put(frame) or result is None or result.get("isError") is True
        self._session.answer_sent(request, failed=failed)
        self._in_flight.discard(request)
        self._answered.set()

    async def _next_answer(self) -> None:
        self._answered.clear()
        await self._answered.wait()


def _client(request: types.JSONRPCRequest) -> str:
    """Return the name that the client gives itself in its handshake, "" if it gives none."""
    info = (request.params or {}).get("clientInfo")
    found = info.get("name") if isinstance(info, dict) else None
    return visible(found)[:LONGEST_CLIENT] if isinstance(found, str) else ""


def _meta(request: types.JSONRPCRequest) -> dict[str, Any]:
    found = (request.params or {}).get("_meta")
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
