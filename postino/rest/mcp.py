"""/mcp: MCP over streamable HTTP, for clients that cannot start a process.

An answer is JSON, unless something is sent before it or the client takes a stream only. Whether the answer was written
is reported to the session: one that was not acknowledges nothing.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import web
from aiohttp_sse import EventSourceResponse
from msgspec.structs import replace

from postino.errors import BadField, BadRequest, NotAllowed
from postino.mcp.caller import Caller
from postino.mcp.http_session import Exchange, Frame, HttpSession, is_answer, parse_message
from postino.model import Done
from postino.rest import parse
from postino.rest.answers import encoded
from postino.rest.call import ApiCall
from postino.rest.connection import connection_of, is_disconnected
from postino.rest.events import PING_S, SEND_S, until_ended
from postino.rest.records import Nothing
from postino.tasks import first_of
from postino.values import check_name

if TYPE_CHECKING:
    from postino.mcp.http_sessions import Client, HttpSessions

SESSION, VERSION = "Mcp-Session-Id", "Mcp-Protocol-Version"
NAME, KEY = "X-Postino-Agent", "X-Postino-Session"
LONGEST_KEY = 256  # characters
UNNAMED = Caller(has_hooks=False, setting=f"the header {NAME}")
CLAIMING = replace(UNNAMED, named=f"{UNNAMED.setting}, so others see you marked as not verified", verified=False)
ADMIN_TOOLS = frozenset({"msg_rename", "msg_cleanup"})  # as their routes
PLACEHOLDER = ("$", "{env:")  # a client that did not expand a variable

_log = structlog.get_logger()


async def post(call: ApiCall[Nothing, Nothing]) -> web.StreamResponse:
    """Take one JSON-RPC message; answer a request with JSON or a stream."""
    from postino.mcp import http_sessions

    largest = call.state.settings.max_body_bytes
    message = parse_message(await parse.body(call.request, largest))
    takes_json, takes_stream = _accepts(call.request)
    if call.caller is not None:
        call.caller.check_valid()  # the body may have taken seconds
    try:
        session = await _session_of(call, await call.state.mcp.http(), message)
    except http_sessions.Refused as refused:
        return _json(refused.frame, refused.status)
    if session is None:
        return _nothing()
    if "method" not in message or "id" not in message:
        session.tell(message)
        return _nothing()
    exchange = session.ask(message)
    try:
        return await _answer(call, exchange, takes_json=takes_json, takes_stream=takes_stream)
    finally:
        exchange.abandon()  # does nothing if it has been answered
        if message.get("method") == "initialize" and not exchange.succeeded:
            session.close()  # the client does not know it


async def stream(call: ApiCall[Nothing, Nothing]) -> web.StreamResponse:
    """Stream a session's notifications, until it ends or another stream takes this one's place."""
    if not _accepts(call.request)[1]:
        raise BadRequest("Accept must include text/event-stream")
    session = await _named(call, await call.state.mcp.http())
    if call.request.method == "HEAD":
        return web.Response(headers={"Content-Type": "text/event-stream"})
    response = _stream()
    await response.prepare(call.request)
    async with response:
        follow = asyncio.ensure_future(_follow(session, response))
        await until_ended(call, response, follow)
    return response


async def end(call: ApiCall[Nothing, Nothing]) -> Done:
    """End a session; what it has read and not acknowledged is given back."""
    front = await call.state.mcp.http()
    await front.end(await _named(call, front))
    return Done()


# the session


async def _session_of(call: ApiCall[Any, Any], front: HttpSessions, message: Frame) -> HttpSession | None:
    """Return the session of a message, opened by it if need be; None if it is of none and may be dropped."""
    if call.request.headers.get(SESSION) is not None:
        return await _named(call, front)
    client = await _client(call)
    if message.get("method") == "initialize":
        return await front.open(client)
    if "id" not in message and call.request.headers.get(VERSION) is not None:
        return None  # in the protocol of 2026-07-28 a notification has no effect
    return await front.modern(client, message, {name.lower(): value for name, value in call.request.headers.items()})


async def _named(call: ApiCall[Any, Any], front: HttpSessions) -> HttpSession:
    id = call.request.headers.get(SESSION)
    if id is None:
        raise BadRequest(f"the header {SESSION} is missing")
    owner = "" if call.caller is None else call.caller.token.id
    return front.find(id, owner, call.request.headers.get(VERSION))


async def _client(call: ApiCall[Any, Any]) -> Client:
    """Return who opens a session: the holder of a named token under its name, or else under a name that is claimed."""
    from postino.mcp.http_sessions import Client

    claimed, key = _header(call.request, NAME), _header(call.request, KEY)
    if claimed is not None:
        check_name(claimed, NAME)
    if key is not None and (len(key) > LONGEST_KEY or not (key.isascii() and key.isprintable())):
        raise BadField(f"{KEY} must be at most {LONGEST_KEY} printable characters of ASCII", field=KEY)
    holder = call.caller
    if holder is None:
        return Client(name=claimed, key=key, caller=UNNAMED if claimed is None else CLAIMING)
    if claimed is not None and not await call.is_own(claimed):
        raise NotAllowed(
            f"{NAME}: this token acts as {holder.name}, not as {claimed}; leave the header out", field=NAME
        )
    rate = call.state.settings.send_rate
    refused = frozenset() if holder.is_admin else ADMIN_TOOLS
    caller = replace(
        UNNAMED, named="the name of the token", count_send=lambda: holder.count_send(rate), refused_tools=refused
    )
    return Client(owner=holder.token.id, name=holder.name, key=key, caller=caller)


def _header(request: web.Request, name: str) -> str | None:
    """Return a header that names something; None if it is absent, empty or still a placeholder."""
    found = request.headers.get(name, "").strip()
    if found.startswith(PLACEHOLDER):
        _log.warning("placeholder", header=name, value=found[:64])
        return None
    return found or None


# the wire


def _accepts(request: web.Request) -> tuple[bool, bool]:
    """Return whether the client takes JSON, and whether it takes a stream.

    Raises:
        BadRequest: it takes neither.
    """
    kinds = [each.partition(";")[0].strip().lower() for each in request.headers.get("Accept", "*/*").split(",")]
    json, stream = (
        any(kind in kinds for kind in ("*/*", f"{wanted.partition('/')[0]}/*", wanted))
        for wanted in ("application/json", "text/event-stream")
    )
    if not (json or stream):
        raise BadRequest("Accept must include application/json and text/event-stream")
    return json, stream


def _nothing() -> web.Response:
    return web.Response(status=202)


def _json(frame: Frame, status: int) -> web.Response:
    return encoded(_encode(frame).encode(), status)


def _encode(frame: Frame) -> str:
    return json.dumps(frame, separators=(",", ":"))  # escaped to ASCII: a text may hold lone surrogates


def _stream() -> EventSourceResponse:
    return EventSourceResponse(
        ping_interval=PING_S, send_timeout=SEND_S, headers={"Server": "postino"}, allow_all_methods=True
    )


# answers


async def _answer(
    call: ApiCall[Any, Any], exchange: Exchange, *, takes_json: bool, takes_stream: bool
) -> web.StreamResponse:
    from postino.mcp.http_sessions import http_status

    gone = connection_of(call.request).disconnected()
    frame = await first_of(exchange.next(), [gone], PING_S if takes_stream else None)
    if frame is None and gone.done():
        return _nothing()
    response: web.StreamResponse
    done = False
    try:
        if takes_json and frame is not None and (is_answer(frame) or not takes_stream):
            while not is_answer(frame):  # notifications that no stream carries
                frame = await first_of(exchange.next(), [gone])
                if frame is None:
                    return _nothing()
            response = _json(frame, http_status(frame) if exchange.session.modern else 200)
        else:
            response = _stream()
        if not exchange.session.modern:
            response.headers[SESSION] = exchange.session.id
        await response.prepare(call.request)
        if isinstance(response, EventSourceResponse) and not await _send_all(exchange, response, frame, gone):
            return response
        await response.write_eof()
        done = not is_disconnected(call.request)
    except (ConnectionError, TimeoutError):
        return _nothing()
    finally:
        if exchange.answered:
            (exchange.written if done else exchange.lost)()
    connection_of(call.request).when_unread(exchange.lost)
    return response


async def _send_all(
    exchange: Exchange, response: EventSourceResponse, frame: Frame | None, gone: asyncio.Future[None]
) -> bool:
    """Send frames, the first of which is `frame` if there is one already; return whether the answer was sent."""
    async with response:
        while frame := frame or await first_of(exchange.next(), [gone]):
            await response.send(_encode(frame), event="message")
            if is_answer(frame):
                return True
            frame = None
    return False


async def _follow(session: HttpSession, response: EventSourceResponse) -> None:
    async for frame in session.notifications():
        await response.send(_encode(frame), event="message")
