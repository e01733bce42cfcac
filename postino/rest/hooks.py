"""POST /api/hooks/{event}: take an event from a client's hook and answer what the hook prints.

The header X-Postino-Client names the client; without it, it is Claude Code.

If anything is wrong with an event, the hook prints nothing and succeeds: mail must not make a session fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container
from typing import TypeVar

import msgspec
import structlog
from aiohttp import web

from postino.claude import notice, permission
from postino.claude.hook_events import EVENTS, Event, HookProcess, Turn
from postino.clients.events import CLIENTS, ClientEvent
from postino.errors import BadName, PostinoError
from postino.rest.call import ApiCall
from postino.rest.client_process import SESSION_ID, client_process
from postino.rest.parse import BODY_S
from postino.rest.records import Nothing
from postino.tasks import first_of
from postino.values import visible

LARGEST = 16 << 20  # bytes; PostToolBatch repeats the answers of tools, which may be whole files
AWAIT_WAKE_S = 50.0  # a request of opencode's plugin waits for a line; then the plugin asks again

E = TypeVar("E", bound=Event)

_log = structlog.get_logger()


async def hook(call: ApiCall[Nothing, Nothing]) -> web.Response:
    """Take a hook event of a session; answer what its hook prints, or nothing. On the unix socket only."""
    call.check_unix("hooks are accepted on the unix socket only")
    name, client = call.path["event"], call.request.headers.get("X-Postino-Client", "claude")
    if client != "claude":
        return await _hook_of(call, client, name)
    text, turn, decision = "", None, b""
    try:
        event = await _event(call.request, name, EVENTS, Event)
        if event is not None:
            process = client_process(call.request)
            decision = permission.decide(event, ask=process.ask) if name == "PreToolUse" else b""
            text, turn = await call.state.turns.handle(name, event, process)
    except BadName as error:  # in POSTINO_AGENT_NAME: show it to the user, who can correct it
        _log.warning("hook_failed", hook=name, code=error.code)
        if name == "SessionStart":
            return web.Response(body=notice.hook_warning(error.message), content_type="application/json")
    except PostinoError as error:
        _log.warning("hook_failed", hook=name, code=error.code)
    body = decision or notice.hook_context(name, text, *((turn.warning, turn.mail) if turn else ()))
    response = web.Response(body=body, content_type="application/json")
    if text and turn is not None:
        await _deliver(call.request, response, name, turn, goes_on=name == "Stop")
    return response


async def _hook_of(call: ApiCall[Nothing, Nothing], client: str, name: str) -> web.Response:
    """Take a hook event of another client than Claude Code."""
    known = CLIENTS.get(client)
    event = await _event(call.request, name, known.events if known else {}, ClientEvent)
    response = web.Response(content_type="application/json")
    if known is None or event is None:
        return response
    process, text, turn = client_process(call.request), "", None
    try:
        if name == "AwaitWake":
            response.body = await _await_wake(call, event, process)
            return response
        text, turn = await call.state.clients.handle(client, name, event, process)
    except PostinoError as error:
        _log.warning("hook_failed", client=client, hook=name, code=error.code)
    response.body = known.refusal(name, event) or known.output(name, text, turn.mail if turn else "")
    if text and turn is not None:
        await _deliver(call.request, response, name, turn, goes_on=name == known.end)
    return response


async def _await_wake(call: ApiCall[Nothing, Nothing], event: ClientEvent, process: HookProcess) -> bytes:
    """Wait for a line to start a turn with, until the time is up or either side goes away."""
    with call.ends() as ends:
        return await first_of(call.state.clients.await_wake(event, process, AWAIT_WAKE_S), ends) or b""


async def _deliver(request: web.Request, response: web.Response, name: str, turn: Turn, *, goes_on: bool) -> None:
    """Send the answer, and only then record it as notified: a hook that has timed out has printed nothing."""
    try:
        await response.prepare(request)
        await response.write_eof()  # raises if the hook has gone
        await turn.mark_notified(broadcasts=not goes_on)
    except ConnectionError:
        return
    except PostinoError as error:
        _log.warning("hook_notified_unrecorded", hook=name, code=error.code)


async def _event(request: web.Request, name: str, known: Container[str], kind: type[E]) -> E | None:
    """Return the event; None, with a line in the log, if it is unusable."""
    data = await _body(request)
    if data is None:
        _log.warning("hook_too_large", hook=visible(name)[:64])
        return None
    if name not in known:
        _log.warning("hook_unknown", hook=visible(name)[:64])
        return None
    try:
        event = msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        _log.warning("hook_unreadable", hook=name, bytes=len(data))
        return None
    if not SESSION_ID.fullmatch(event.session_id):
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
