"""POST /api/hooks/{event}: take an event from a Claude Code hook and answer what the hook prints.

If anything is wrong with an event, the hook prints nothing and succeeds: mail must not make a session fail.
"""

from __future__ import annotations

import asyncio
import re

import msgspec
import structlog
from aiohttp import web

from postino.claude import notice, permission
from postino.claude.hook_events import EVENTS, Event, HookProcess, Turn
from postino.errors import BadName, Forbidden, PostinoError
from postino.home import is_placeholder
from postino.rest.call import ApiCall
from postino.rest.connection import is_unix
from postino.rest.parse import BODY_S
from postino.rest.records import Nothing
from postino.values import ID_PATTERN, visible

LARGEST = 16 << 20  # bytes; PostToolBatch repeats the answers of tools, which may be whole files
_SESSION = re.compile(ID_PATTERN)
_PID = re.compile(r"[1-9][0-9]{0,9}")

_log = structlog.get_logger()


async def hook(call: ApiCall[Nothing, Nothing]) -> web.Response:
    """Take an event of a Claude Code session; answer what its hook prints, or nothing. On the unix socket only."""
    if not is_unix(call.request):
        raise Forbidden("hooks are accepted on the unix socket only")
    name = call.request.match_info["event"]
    text, turn, decision = "", None, b""
    try:
        event = await _event(call.request, name)
        if event is not None:
            decision = permission.decide(event) if name == "PreToolUse" else b""
            text, turn = await call.state.turns.handle(name, event, _process(call.request))
    except BadName as error:  # in POSTINO_AGENT_NAME: show it to the user, who can correct it
        _log.warning("hook_failed", hook=name, code=error.code)
        if name == "SessionStart":
            return web.Response(body=notice.hook_warning(error.message), content_type="application/json")
    except PostinoError as error:
        _log.warning("hook_failed", hook=name, code=error.code)
    body = decision or notice.hook_context(name, text)
    response = web.Response(body=body, content_type="application/json")
    if text and turn is not None:
        await _deliver(call.request, response, name, turn)
    return response


async def _deliver(request: web.Request, response: web.Response, name: str, turn: Turn) -> None:
    """Send the answer, and only then record it as notified: a hook that has timed out has printed nothing."""
    try:
        await response.prepare(request)
        await response.write_eof()  # raises if the hook has gone
        await turn.mark_notified(broadcasts=name != "Stop")
    except ConnectionError:
        return
    except PostinoError as error:
        _log.warning("hook_notified_unrecorded", hook=name, code=error.code)


async def _event(request: web.Request, name: str) -> Event | None:
    """Return the event; None, with a line in the log, if it is unusable."""
    data = await _body(request)
    if data is None:
        _log.warning("hook_too_large", hook=visible(name)[:64])
        return None
    if name not in EVENTS:
        _log.warning("hook_unknown", hook=visible(name)[:64])
        return None
    try:
        event = msgspec.json.decode(data, type=Event)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        _log.warning("hook_unreadable", hook=name, bytes=len(data))
        return None
    if not _SESSION.fullmatch(event.session_id):
        _log.warning("hook_without_session", hook=name)
        return None
    return event


async def _body(request: web.Request) -> bytearray | None:
    """Return the body; None if it is too large or too slow."""
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.content.iter_chunked(1 << 16):
                data += chunk
                if len(data) > LARGEST:
                    return None
    except (TimeoutError, web.RequestPayloadError, ConnectionError):
        return None
    return data


def _process(request: web.Request) -> HookProcess:
    """Return the Claude process that runs the hook, as the request's headers describe it."""
    headers = request.headers
    found, name = _PID.fullmatch(headers.get("X-Claude-Pid", "")), headers.get("X-Postino-Agent", "")
    return HookProcess(
        pid=int(found.group()) if found else 0,
        socket=headers.get("X-Claude-Socket", ""),
        name=None if is_placeholder(name) else name or None,
        terminal=headers.get("X-Postino-Terminal", ""),
    )
