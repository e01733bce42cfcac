"""Live events: one blocking read for all listeners, and a bounded queue for each."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import structlog

from postino.errors import StoreAway
from postino.event_place import EventPlace
from postino.model import Event
from postino.store.events import EventStream, Told
from postino.store.store import Store
from postino.tasks import cancelled

BLOCK_MS = 5_000  # of one blocking read: the longest that a dead connection goes unnoticed
GATHER_S = 0.005  # pause after a read, so that a busy second takes a few hundred reads, not thousands
RETRY_S = 0.2
LOG_EVERY_S = 5.0  # while the server is away: each try fails alike
REPLAY = 500  # events per page of a replay
READ = 250  # entries of each stream in one reply: messages come with their bodies, 33 MB of the longest

#: events after which a read of the inbox `to` may give messages
ARRIVALS = frozenset({"msg_send", "msg_release", "msg_nack", "msg_requeue"})

log = structlog.get_logger()


class Subscription:
    """The bounded queue of one listener. Once `lost` is true, events are missing and no more are queued.

    With `states` it gets `store_away` and `store_back` too, without an id, where events could not be followed.
    """

    def __init__(self, size: int, *, states: bool) -> None:
        self.states = states
        self._size = size
        self._events: deque[Event] = deque()
        self._ready = asyncio.Event()
        self.lost = False

    def put(self, event: Event) -> None:
        """Queue an event; a full queue ends the subscription."""
        if len(self._events) >= self._size:
            self.lost = True
        if not self.lost:
            self._events.append(event)
        self._ready.set()

    def end(self) -> None:
        """Deliver what is queued, and nothing after it."""
        self.lost = True
        self._ready.set()

    async def get(self) -> Event | None:
        """Return the next event; None once the subscription is lost."""
        while not self._events:
            if self.lost:
                return None
            self._ready.clear()
            await self._ready.wait()
        return self._events.popleft()


class Interruption:
    """What the log says of times in which events cannot be followed: a line every LOG_EVERY_S, and the end.

    A connection that breaks again and again is one such time for the log: what begins and ends between two lines is not
    said.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._logged_at: float | None = None

    @property
    def lasts(self) -> bool:
        """Whether events could not be followed at the last try."""
        return self._since is not None

    def note(self, error: str) -> None:
        """Note a try that has failed."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if self._logged_at is None or now - self._logged_at >= LOG_EVERY_S:
            self._logged_at = now
            log.warning("events_interrupted", error=error, seconds=round(now - self._since, 1))

    def end(self) -> None:
        """Note that events are followed again."""
        if self._since is not None and self._logged_at is not None and self._logged_at >= self._since:
            log.info("events_resumed", seconds=round(time.monotonic() - self._since, 1))
        self._since = None


class Events(EventStream):
    """Follows what happens from its end at the time of `open`."""

    def __init__(self, store: Store, repair: Callable[[], Awaitable[None]]) -> None:
        super().__init__(store)
        self._repair = repair
        self._subscriptions: set[Subscription] = set()
        self._waiters: dict[str, set[asyncio.Event]] = {}
        #: are given every event for as long as these are followed, and a `gap` where some are missing
        self.counters: list[Callable[[Event], object]] = []
        self.gaps = 0  # times that events were trimmed before they were read
        self._task: asyncio.Task[None] | None = None
        self._place = EventPlace("0-0", "0-0")

    async def open(self) -> None:
        """Start following."""
        self._place = await self.last()
        self._task = asyncio.create_task(self._follow(), name="events")

    async def close(self) -> None:
        """Stop following; every subscription ends."""
        await cancelled(self._task)
        for each in self._subscriptions:
            each.end()

    @contextlib.asynccontextmanager
    async def subscribe(self, size: int = 256, *, states: bool = False) -> AsyncIterator[Subscription]:
        """Yield a queue of at most `size` events, beginning with the next one; `states`: as of Subscription."""
        subscription = Subscription(size, states=states)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    @contextlib.contextmanager
    def counted_by(self, *counts: Callable[[Event], object]) -> Iterator[None]:
        """Let `counts` be counters: a queue for the events, and a task, would cost a send more."""
        self.counters += counts
        try:
            yield
        finally:
            for count in counts:
                self.counters.remove(count)

    @contextlib.contextmanager
    def arrival(self, agent: str) -> Iterator[asyncio.Event]:
        """Yield an asyncio.Event that is set when mail for `agent` may have arrived."""
        event = asyncio.Event()
        self._waiters.setdefault(agent, set()).add(event)
        try:
            yield event
        finally:
            waiters = self._waiters[agent]
            waiters.discard(event)
            if not waiters:
                del self._waiters[agent]

    async def replay(self, since: str, limit: int) -> tuple[list[Event], bool]:
        """Return up to `limit` events after the id `since`, oldest first, and whether some were trimmed already."""
        events: list[Event] = []
        place, gap = await self.since(since)
        while len(events) < limit:
            told = await self.after(place, min(READ, limit - len(events)))
            events += told.events
            place = told.place
            if not told.more:
                break
        return events[:limit], gap

    async def _follow(self) -> None:
        reader, interruption = self._store.blocking_reader(), Interruption()
        try:
            while True:
                try:
                    await self._resync()
                    while True:
                        block_ms = 1 if interruption.lasts else BLOCK_MS
                        told = await self.wait(reader, self._place, block_ms, READ)
                        if interruption.lasts:
                            self._tell_state("store_back")
                            interruption.end()
                        if told.more and await self._resync():
                            continue  # a full read: events before it may have been trimmed
                        self._deliver_all(told)
                        await asyncio.sleep(0 if told.more else GATHER_S)
                except StoreAway as error:
                    if not interruption.lasts:
                        self._tell_state("store_away")
                    interruption.note(error.message)
                    await self._repair()
                except Exception:  # the task must go on: its end would go unnoticed
                    log.exception("events_failed")
                await asyncio.sleep(RETRY_S)
        finally:
            await reader.close()

    async def _resync(self) -> bool:
        """If events were trimmed before they were read, end all subscriptions and continue with the newest."""
        since = self._place.id
        if not (await self.since(since))[1]:
            return False
        self._place = await self.last()
        self.gaps += 1
        log.warning("events_gap", since=since)
        for subscription in self._subscriptions:
            subscription.end()
        self._deliver_all(Told([Event(id=self._place.id, type="gap", data={})], self._place, more=True))
        return True

    def _tell_state(self, kind: str) -> None:
        for subscription in self._subscriptions:
            if subscription.states:
                subscription.put(Event(id="", type=kind, data={}))

    def _deliver_all(self, told: Told) -> None:
        for event in told.events:
            try:
                self._deliver(event)
            except Exception:  # of one that counts it: the others must be told once all the same
                log.exception("events_failed")
        self._place = told.place

    def _deliver(self, event: Event) -> None:
        for subscription in self._subscriptions:
            subscription.put(event)
        if event.type == "gap":  # what was missed may have been of mail for anybody
            if reason := event.data.get("reason"):  # of the stream itself: altered, or forgotten too soon
                log.error("events_missing", id=event.id, reason=reason)
            for agent in self._waiters:
                self._set_arrived(agent)
        elif event.type in ARRIVALS:
            self._set_arrived(str(event.data.get("to")))
        elif event.type == "agent_rename":
            # the mail is under the new name now; who waits under the old one has to check again
            self._set_arrived(str(event.data.get("old")))
            self._set_arrived(str(event.data.get("agent")))
        for count in self.counters:
            count(event)

    def _set_arrived(self, agent: str) -> None:
        for waiter in self._waiters.get(agent, ()):
            waiter.set()
