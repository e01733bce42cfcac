"""GET /api/events: a stream of events (SSE) that can be resumed and is bounded in memory."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from aiohttp import web
from aiohttp_sse import EventSourceResponse

from postino import __version__
from postino.broker.events import REPLAY
from postino.errors import BadField, PostinoError, StoreAway, TooMany
from postino.event_place import EventPlace
from postino.model import EVENTS, STREAM_EVENTS, Event, iso
from postino.rest.call import ApiCall, AppState
from postino.rest.connection import is_disconnected
from postino.rest.parse import QUOTED, event_place
from postino.rest.records import EventsQuery, Nothing
from postino.schema import encode_visible
from postino.values import check_name, visible

if TYPE_CHECKING:
    from postino.broker import Broker
    from postino.broker.events import Subscription

PING_S = 15.0
SEND_S = 10.0  # without reading, after which a client is dropped; it can resume
QUEUE = 2_000  # events that wait for one client, about 1 MB; they are delivered 500 at a time
RETRY_MS = 1_000  # after which a client reconnects
HEARTBEAT_S = 10.0  # a third of the 30 s after which an agent is offline
MOST = 64  # streams
HEADERS = {"Server": "postino", "X-Accel-Buffering": "no"}  # no buffer of nginx holds an event back
MS_DIGITS = 15  # of an event's id: enough for 31,000 years

_log = structlog.get_logger()


class Filter(msgspec.Struct, frozen=True):
    """The events that one client wants: of an agent (None: of any) and of some types (empty: of all)."""

    agent: str | None
    types: frozenset[str]

    def matches(self, event: Event) -> bool:
        """Return whether the client wants this event. A broadcast is of every agent."""
        if self.types and event.type not in self.types:
            return False
        if self.agent is None or event.type.startswith("broadcast"):
            return True
        names = (event.data.get(role) for role in ("to", "from", "agent", "old", "reader"))
        return self.agent.lower() in [name.lower() for name in names if isinstance(name, str)]


class Start(msgspec.Struct, frozen=True):
    """The beginning of a stream: its position, the events to replay first, and whether some before them are gone."""

    since: str | None
    position: EventPlace
    backlog: list[Event]
    gap: bool
    now: str


async def events(call: ApiCall[EventsQuery, Nothing]) -> web.StreamResponse:
    """Stream the events as they happen; the header X-Postino-As keeps that agent online meanwhile.

    A token below admin gets the events of its own agent, and the stream ends when the token does.
    """
    asked, state = call.query, call.state
    name = call.request.headers.get("X-Postino-As")
    if name is not None:
        check_name(name, "X-Postino-As")
        await call.check_own(name, "X-Postino-As")
    wanted = Filter(await _agent(call), _types(asked.type or ""))
    since = _since(call.request.headers.get("Last-Event-ID") or asked.since)
    if call.request.method == "HEAD":
        return web.Response(headers=HEADERS | {"Content-Type": "text/event-stream"})
    with _counted(state):
        # subscribed first, so that no event is lost between the replay and the live events
        async with call.broker.events.subscribe(QUEUE, states=True) as live, _online(state, name):
            start = await _begin(call.broker, since)
            if is_disconnected(call.request):  # aiohttp_sse asserts that the client is still there
                return web.Response()
            return await _stream(call, live, wanted, start)


class FilteredStream(msgspec.Struct, frozen=True):
    """The stream of one client and its filter."""

    stream: EventSourceResponse
    wanted: Filter

    async def send(self, event: Event) -> None:
        """Send an event if the filter matches, and always one about the stream itself."""
        if event.type in STREAM_EVENTS:
            await self.send_own(event.type, event.id or None, **event.data, timestamp=iso(round(time.time() * 1000)))
        elif self.wanted.matches(event):
            data = {"type": event.type, "timestamp": iso(int(event.id.partition("-")[0]))} | event.data
            await self.stream.send(encode_visible(data).decode(), id=event.id, event="update")

    async def send_own(self, kind: str, id: str | None = None, **data: Any) -> None:
        """Send an event about the stream itself, whatever the filter is."""
        retry = RETRY_MS if kind == "connected" else None
        await self.stream.send(encode_visible({"type": kind} | data).decode(), id=id, event="update", retry=retry)


async def _stream(
    call: ApiCall[EventsQuery, Nothing], live: Subscription, wanted: Filter, start: Start
) -> EventSourceResponse:
    stream = EventSourceResponse(ping_interval=PING_S, send_timeout=SEND_S, headers=HEADERS)
    await stream.prepare(call.request)
    async with stream:
        filtered = FilteredStream(stream, wanted)
        follow = asyncio.ensure_future(_follow(call.broker, filtered, live, start))
        refusal = await until_ended(call, stream, follow)
        if refusal is not None:
            with contextlib.suppress(TimeoutError, ConnectionError):
                await filtered.send_own("dropped", reason=refusal)
    return stream


async def _follow(broker: Broker, stream: FilteredStream, live: Subscription, start: Start) -> None:
    position = start.position
    if start.since is None:  # with an id, so that a client can resume before the first event
        await stream.send_own("connected", position.id, version=__version__, timestamp=start.now)
    else:
        await stream.send_own("connected", version=__version__, since=start.since, timestamp=start.now)
    if start.gap:
        await stream.send_own("gap", reason="the events right after this id are no longer kept", timestamp=start.now)
    backlog = start.backlog
    while backlog:
        for event in backlog:
            await stream.send(event)
        position = EventPlace.after(backlog[-1].id)
        backlog = (await broker.events.replay(backlog[-1].id, REPLAY))[0] if len(backlog) == REPLAY else []
    while (new := await live.get()) is not None:
        if not new.id or not position.covers(new.id):
            await stream.send(new)
    await stream.send_own("dropped", reason=f"{QUEUE} events are waiting for this client; resume with Last-Event-ID")


async def until_ended(
    call: ApiCall[Any, Nothing], stream: EventSourceResponse, follow: asyncio.Future[None]
) -> str | None:
    """Return when the client does not read, its queue was full, it has gone, the daemon stops, or its token ends.

    Returns why the token is not valid any more, if that is the reason.
    """
    closed = asyncio.ensure_future(stream.wait())  # never cancelled: that would end the ping task and so the stream
    try:
        with call.ends() as ends:
            await asyncio.wait({follow, closed, *ends}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        follow.cancel()
        ended = (await asyncio.gather(follow, return_exceptions=True))[0]
    if isinstance(ended, Exception) and not isinstance(ended, (TimeoutError, ConnectionError, StoreAway)):
        _log.error("internal_error", path="/api/events", exc_info=ended)  # after the head no error can be sent
    return call.caller.refusal if call.caller is not None and not call.caller.is_valid else None


async def _begin(broker: Broker, since: str | None) -> Start:
    now = iso(await broker.events.now_ms())
    if since is None:
        return Start(None, await broker.events.last(), [], gap=False, now=now)
    backlog, gap = await broker.events.replay(since, REPLAY)
    return Start(since, EventPlace.after("0-0" if gap else since), backlog, gap, now)


async def _agent(call: ApiCall[EventsQuery, Nothing]) -> str | None:
    """Return the agent whose events are wanted; of a restricted token no other than its own."""
    if call.restricted is None:
        return call.query.agent
    if call.query.agent is None:
        return await call.broker.mail.present(call.restricted.name)
    await call.check_own(call.query.agent, "agent")
    return call.query.agent


def _types(given: str) -> frozenset[str]:
    found = frozenset(each.strip() for each in given.split(",") if each.strip())
    known = (*STREAM_EVENTS, *EVENTS)
    strange = sorted(found.difference(known))
    if strange:
        raise BadField(f"type: {visible(strange[0][:QUOTED])} is not one of {', '.join(known)}", field="type")
    return found


def _since(given: str | None) -> str | None:
    if given is None:
        return None
    found = event_place(given, digits=MS_DIGITS)
    if found is None:
        raise BadField("since (or Last-Event-ID) must be the id of an event, such as 1700000000000-0", field="since")
    return found


@contextlib.contextmanager
def _counted(state: AppState) -> Iterator[None]:
    if state.streams >= MOST:
        raise TooMany(f"{MOST} event streams are already open; close one")
    state.streams += 1
    try:
        yield
    finally:
        state.streams -= 1


@contextlib.asynccontextmanager
async def _online(state: AppState, name: str | None) -> AsyncIterator[None]:
    """Keep an agent online while it has a stream `as` itself, and make it offline after the last one."""
    if name is None:
        yield
        return
    await state.broker.agents.heartbeat(name)
    key = name.lower()
    state.streams_as[key] += 1
    heartbeats = asyncio.create_task(_send_heartbeats(state.broker, name))
    try:
        yield
    finally:
        heartbeats.cancel()
        state.streams_as[key] -= 1
        if not state.streams_as[key]:
            del state.streams_as[key]
            with contextlib.suppress(PostinoError):  # without Valkey the presence expires by itself
                await state.broker.agents.offline(name)


async def _send_heartbeats(broker: Broker, name: str) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_S)
        with contextlib.suppress(PostinoError):
            await broker.agents.heartbeat(name)
