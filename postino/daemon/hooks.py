"""POST /api/hooks/{event}: what a hook of Claude Code hands in, and what it must print.

The hook knows its process and its present session; the relay of the same process has the mailbox. Whatever is wrong
with an event, its hook prints nothing and succeeds: a session must not fail because of its mail.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
import structlog
from aiohttp import web

from postino.broker import Broker, Hello
from postino.broker.whereabouts import Waiting
from postino.daemon import hook_text
from postino.daemon.call import Call
from postino.daemon.connection import Connection
from postino.daemon.parse import BODY_S
from postino.daemon.records import Nothing
from postino.errors import BadName, Forbidden, PostinoError
from postino.lineage import started
from postino.mcp.tabs import Tab
from postino.model import ID_PATTERN, visible
from postino.wire import tail

LARGEST = 16 << 20  # bytes; PostToolBatch repeats what the tools answered, which may be whole files
MAILBOX = re.compile(r"mcp__.*postino__msg_\w+")  # a tool of ours, whatever the server is called in full
_SESSION = re.compile(ID_PATTERN)
_PID = re.compile(r"[1-9][0-9]{0,9}")

_log = structlog.get_logger()


class Event(msgspec.Struct, frozen=True):
    """What matters of any event."""

    session_id: str
    cwd: str | None = None
    source: str | None = None  # SessionStart
    reason: str | None = None  # SessionEnd
    prompt: str | None = None  # UserPromptSubmit
    stop_hook_active: bool = False  # Stop
    tool_name: str | None = None  # PostToolUse
    agent_id: str | None = None  # inside a subagent


@dataclass(slots=True)
class Caller:
    """The session that a hook speaks for. `tab` None: its relay is not connected here; `agent` None: unknown."""

    broker: Broker
    event: Event
    process: str
    tab: Tab | None
    session: str | None
    agent: str | None
    says: Waiting | None = None  # what the hook's answer is about
    greeting: bool = False  # and whether it says who the session is

    async def announce(self) -> Waiting:
        """Return what waits, and what of it is new to the session."""
        assert self.agent is not None
        self.says = await self.broker.announce(
            self.agent, self.process, self.event.session_id, session=self.session or ""
        )
        if self.tab is not None:
            self.tab.agent = self.says.agent
        return self.says

    async def tell(self, *, broadcasts: bool) -> None:
        """Note that the session has been told: none of it is new any more."""
        if self.says is not None:
            await self.broker.tell(
                self.says, self.process, self.event.session_id, broadcasts=broadcasts, greeted=self.greeting, how="hook"
            )

    async def greet(self, waiting: Waiting) -> str:
        """Return who this session is and what waits."""
        self.greeting = True
        online = await self.broker.online()
        return hook_text.greeting(waiting.agent, online, waiting.unread, waiting.unseen, waiting.senders)

    def heard(self, *, idle: bool | None) -> None:
        """Note what the event tells of the session."""
        if self.tab is not None:
            self.tab.heard(self.event.session_id, idle=idle)

    async def seen(self) -> None:
        """Settle what the session has been given: this event comes after it."""
        if self.tab is not None:
            await self.tab.session.seen()


async def hook(call: Call[Nothing, Nothing]) -> web.Response:
    """Take an event of a Claude Code session; answer what its hook must print, or nothing. On the unix socket only."""
    connection = call.request.protocol
    if not isinstance(connection, Connection) or connection.tcp:
        raise Forbidden("hooks are taken on the unix socket only")
    name = call.request.match_info["event"]
    text, caller = "", None
    try:
        event = await _event(call.request, name)
        if event is not None:
            text, caller = await _decide(call, name, event)
    except BadName as error:  # of POSTINO_AGENT_NAME: the user can mend it, and is told once
        _log.warning("hook_failed", hook=name, code=error.code)
        if name == "SessionStart":
            return web.Response(body=hook_text.warning(error.message), content_type="application/json")
    except PostinoError as error:
        _log.warning("hook_failed", hook=name, code=error.code)
    response = web.Response(body=hook_text.context(name, text), content_type="application/json")
    if text and caller is not None:
        await _hand_over(call.request, response, name, caller)
    return response


async def _hand_over(request: web.Request, response: web.Response, name: str, caller: Caller) -> None:
    """Answer, and only then remember it as told: a hook that has run out of time has told nothing."""
    try:
        await response.prepare(request)
        await response.write_eof()  # an error, when the hook has gone
        await caller.tell(broadcasts=name != "Stop")
    except ConnectionError:
        return
    except PostinoError as error:
        _log.warning("hook_not_noted", hook=name, code=error.code)


async def _event(request: web.Request, name: str) -> Event | None:
    """Return the event; None when it is nothing we can use, which the log tells."""
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
    """Return what was handed in, None if it is too much or too slow."""
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


async def _decide(call: Call[Nothing, Nothing], name: str, event: Event) -> tuple[str, Caller | None]:
    caller = await _caller(call, event, joins=name == "SessionStart")
    if caller is None or caller.agent is None:
        _log.info("hook_of_nobody", hook=name, claude=event.session_id)
        return "", None
    text = await EVENTS[name](caller)
    if caller.tab is not None and caller.tab.idle:
        call.shared.wakes.look(caller.tab)  # mail that came while nobody could tell it
    return text, caller


async def _caller(call: Call[Nothing, Nothing], event: Event, *, joins: bool) -> Caller | None:
    """Find who speaks; one that `joins` is registered if need be. None without a Claude process."""
    headers, broker = call.request.headers, call.broker
    found = _PID.fullmatch(headers.get("X-Claude-Pid", ""))
    pid = int(found.group()) if found else 0
    start = started(pid) if pid else None
    tab = call.shared.tabs.of(pid, None if start is None else str(start), headers.get("X-Claude-Socket", ""))
    if tab is None and not pid:
        return None
    hello = _hello(call, event, pid, start)
    process = (tab.session.hello.process if tab else None) or hello.process or ""
    session = tab.session.id if tab else await broker.session_of(process)
    caller = Caller(broker, event, process, tab, session, None)
    if session is None and not joins:
        return None
    if session is None:
        caller.session, caller.agent = await broker.stand_in(hello)
    elif joins or (tab is not None and tab.claude != event.session_id):
        before = None
        if tab is not None:
            before = await tab.session.name()  # joins again where the store has forgotten it
            await tab.session.seen()  # by the agent it may now cease to be
        caller.agent = await broker.meet(session, process, event.session_id)
        if tab is not None and caller.agent != before:
            tab.session.moved()
    else:
        caller.agent = (tab.agent or await tab.session.name()) if tab else await broker.agent_of(session)
    return caller


def _hello(call: Call[Nothing, Nothing], event: Event, pid: int, start: int | None) -> Hello:
    headers = call.request.headers
    return Hello(
        session="",
        generation=1,
        name=headers.get("X-Postino-Agent") or None,
        terminal=tail(headers.get("X-Postino-Terminal", "")),
        directory=event.cwd,
        host=os.uname().nodename,
        claude_pid=pid or None,
        claude_start=None if start is None else str(start),
        claude_session_id=event.session_id,
    )


async def _session_start(caller: Caller) -> str:
    """A session begins, goes on after a /clear, or has its context made anew: it knows nothing of us."""
    caller.heard(idle=None if caller.event.source == "compact" else True)
    return await caller.greet(await caller.announce())


async def _user_prompt_submit(caller: Caller) -> str:
    """A turn begins. The first prompt after a cold start says what SessionStart could not."""
    woken = caller.tab is not None and caller.event.prompt == caller.tab.woken_by
    caller.heard(idle=False)
    await caller.seen()
    waiting = await caller.announce()
    if not waiting.greeted:
        return await caller.greet(waiting)
    if woken:
        return ""  # the prompt itself is our line
    return hook_text.line(waiting.agent, waiting.unread, waiting.unseen, waiting.senders)


async def _post_tool_batch(caller: Caller) -> str:
    """A turn goes on: what came meanwhile is told, once. A subagent is not who the mail is for."""
    if caller.event.agent_id is not None:
        return ""
    caller.heard(idle=False)
    await caller.seen()
    waiting = await caller.announce()
    return hook_text.line(waiting.agent, waiting.new_unread, waiting.new_unseen, waiting.new_senders)


async def _post_tool_use(caller: Caller) -> str:
    """An answer of ours is with the session."""
    if caller.event.agent_id is None and MAILBOX.fullmatch(caller.event.tool_name or ""):
        await caller.seen()
    return ""


async def _stop(caller: Caller) -> str:
    """A turn ends. Mail that came during it and was not told continues it, but only once; then it wakes."""
    await caller.seen()
    waiting = None if caller.event.stop_hook_active else await caller.announce()
    if waiting is None or not waiting.new_unread:
        caller.heard(idle=True)
        return ""
    caller.heard(idle=False)
    return hook_text.line(waiting.agent, waiting.new_unread, 0, waiting.new_senders)


async def _idle(caller: Caller) -> str:
    """A turn ended in an error, or was interrupted a minute ago, which no other event tells."""
    caller.heard(idle=True)
    return ""


async def _session_end(caller: Caller) -> str:
    """The session ends, and with it the process, unless another session goes on in it."""
    if caller.event.reason in ("clear", "resume") or caller.session is None:
        return ""
    caller.heard(idle=False)
    generation = caller.tab.session.hello.generation if caller.tab else 1
    await caller.broker.leave(caller.session, generation)
    return ""


EVENTS: dict[str, Callable[[Caller], Awaitable[str]]] = {
    "SessionStart": _session_start,
    "UserPromptSubmit": _user_prompt_submit,
    "PostToolBatch": _post_tool_batch,
    "PostToolUse": _post_tool_use,
    "Stop": _stop,
    "StopFailure": _idle,
    "Notification": _idle,
    "SessionEnd": _session_end,
}
