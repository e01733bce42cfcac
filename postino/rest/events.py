"""GET /api/events: what happens, as it happens, resumable and bounded."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from aiohttp_sse import EventSourceResponse

from postino import __version__
from postino.errors import BadField, PostinoError, StoreAway, TooMany
from postino.model import EVENTS, STREAM_EVENTS, Event, check_any_name, check_name, iso, visible
from postino.rest.call import Call, Shared
from postino.rest.connection import lost
from postino.rest.parse import QUOTED, stream_id
from postino.rest.records import EventsQuery, Nothing

if TYPE_CHECKING:
    from postino.broker import Broker
    from postino.broker.events import Subscription

PING_S = 15.0
SEND_S = 10.0  # a client that takes nothing for so long is dropped; it can resume
QUEUE = 2_000  # events waiting for one client, about 1 MB: the feed hands over 500 at a time
REPLAY = 500  # events per page of a replay
RETRY_MS = 1_000  # before a client dials again
HEARTBEAT_S = 10.0  # a third of the time after which silence means offline
MOST = 64  # streams
MS_DIGITS = 15  # of an event's id: enough for 31,000 years

_log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events one client wants: those that concern an agent (None: any), of some types (none: all)."""

    agent: str | None
    types: frozenset[str]

    def passes(self, event: Event) -> bool:
        """Return whether the client wants this event. A broadcast concerns every agent."""
        if self.types and event.type not in self.types:
            return False
        if self.agent is None or event.type.startswith("broadcast"):
            return True
        return any(event.data.get(role) == self.agent for role in ("to", "from", "agent", "old", "reader"))


@dataclass(frozen=True, slots=True)
class Start:
    """Where and when a stream begins: what is to be repeated first, and whether something before it is lost."""

    since: str | None
    place: tuple[int, int]
    backlog: list[Event]
    gap: bool
    now: str


async def events(call: Call[EventsQuery, Nothing]) -> EventSourceResponse:
    """Stream what happens; `as` keeps that agent online meanwhile."""
    asked, shared = call.query, call.shared
    wanted = Filter(
        None if asked.agent is None else check_any_name(asked.agent, "agent"),
        _types(asked.type or ""),
    )
    since = _since(call.request.headers.get("Last-Event-ID") or asked.since)
    name = None if asked.as_ is None else check_name(asked.as_, "as")
    with _one_more(shared):
        # subscribed first, so that nothing falls between what is repeated and what comes live
        async with call.broker.events.subscribe(QUEUE) as live, _present(shared, name):
            start = await _begin(call.broker, since)
            return await _stream(call, live, wanted, start)


class Outlet:
    """One client's stream and what it wants of all that happens."""

    def __init__(self, stream: EventSourceResponse, wanted: Filter) -> None:
        self._stream = stream
        self._wanted = wanted

    async def pass_on(self, event: Event) -> None:
        """Send an event, if it is wanted."""
        if self._wanted.passes(event):
            about = {"type": event.type, "timestamp": iso(_place(event.id)[0])} | event.data
            await self._stream.send(_encode(about).decode(), id=event.id, event="update")

    async def say(self, kind: str, id: str | None = None, **about: str) -> None:
        """Send what concerns the stream itself; no filter holds it back."""
        retry = RETRY_MS if kind == "connected" else None
        await self._stream.send(_encode({"type": kind} | about).decode(), id=id, event="update", retry=retry)


async def _stream(
    call: Call[EventsQuery, Nothing], live: Subscription, wanted: Filter, start: Start
) -> EventSourceResponse:
    stream = EventSourceResponse(ping_interval=PING_S, send_timeout=SEND_S, headers={"Server": "postino"})
    await stream.prepare(call.request)
    async with stream:
        follow = asyncio.ensure_future(_follow(call.broker, Outlet(stream, wanted), live, start))
        await _until_over(call, stream, follow)
    return stream


async def _follow(broker: Broker, outlet: Outlet, live: Subscription, start: Start) -> None:
    place = start.place
    if start.since is None:  # with an id, so that a client can resume before anything has happened
        await outlet.say("connected", f"{place[0]}-{place[1]}", version=__version__, timestamp=start.now)
    else:
        await outlet.say("connected", version=__version__, since=start.since, timestamp=start.now)
    if start.gap:
        await outlet.say("gap", reason="what came right after this id is not kept any more", timestamp=start.now)
    backlog = start.backlog
    while backlog:
        for event in backlog:
            await outlet.pass_on(event)
        place = _place(backlog[-1].id)
        backlog = (await broker.events.replay(backlog[-1].id, REPLAY))[0] if len(backlog) == REPLAY else []
    while (happened := await live.get()) is not None:
        if _place(happened.id) > place:
            await outlet.pass_on(happened)
    await outlet.say("dropped", reason=f"{QUEUE} events were waiting for this client; it can resume with Last-Event-ID")


async def _until_over(
    call: Call[EventsQuery, Nothing], stream: EventSourceResponse, follow: asyncio.Future[None]
) -> None:
    """Wait until the stream ends (it does not read, or the queue was full), its client has gone or the daemon stops."""
    stopping = asyncio.ensure_future(call.shared.stopping.wait())
    closed = asyncio.ensure_future(stream.wait())  # not to be cancelled: that would end the ping and so the stream
    try:
        ends: set[asyncio.Future[Any]] = {follow, stopping, closed, lost(call.request)}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        follow.cancel()
        ended = (await asyncio.gather(follow, return_exceptions=True))[0]
    if isinstance(ended, Exception) and not isinstance(ended, (TimeoutError, ConnectionError, StoreAway)):
        _log.error("bug", path="/api/events", exc_info=ended)  # the head is out: no refusal can be sent any more


async def _begin(broker: Broker, since: str | None) -> Start:
    now = iso(await broker.events.now_ms())
    if since is None:
        return Start(None, _place(await broker.events.last()), [], gap=False, now=now)
    backlog, gap = await broker.events.replay(since, REPLAY)
    return Start(since, (0, 0) if gap else _place(since), backlog, gap, now)


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
    found = stream_id(given, digits=MS_DIGITS)
    if found is None:
        raise BadField("since (or Last-Event-ID) must be the id of an event, such as 1700000000000-0", field="since")
    return found


def _place(id: str) -> tuple[int, int]:
    ms, _, seq = id.partition("-")
    return int(ms), int(seq)


@contextlib.contextmanager
def _one_more(shared: Shared) -> Iterator[None]:
    if shared.streams >= MOST:
        raise TooMany(f"{MOST} event streams are open already; close one")
    shared.streams += 1
    try:
        yield
    finally:
        shared.streams -= 1


@contextlib.asynccontextmanager
async def _present(shared: Shared, name: str | None) -> AsyncIterator[None]:
    """Keep an agent online as long as it holds a stream as itself, and take it offline after its last one."""
    if name is None:
        yield
        return
    await shared.broker.agents.heartbeat(name)
    shared.holding[name] += 1
    beat = asyncio.create_task(_beat(shared.broker, name))
    try:
        yield
    finally:
        beat.cancel()
        shared.holding[name] -= 1
        if not shared.holding[name]:
            del shared.holding[name]
            with contextlib.suppress(PostinoError):  # Valkey is away: presence ends by itself
                await shared.broker.agents.offline(name)


async def _beat(broker: Broker, name: str) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_S)
        with contextlib.suppress(PostinoError):
            await broker.agents.heartbeat(name)
