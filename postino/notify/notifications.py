"""Decides when people are notified: gathered, at most PER_HOUR an hour, by one of several daemons.

Mail, dead letters and refusals wait for a notification until the store says that there was one, so a restart, a
failure or another daemon's turn costs nothing and repeats nothing; only a daemon that dies between a notification and
its record leaves it to be sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime

import msgspec
import structlog

from postino.broker import Broker
from postino.errors import StoreAway, UnknownAgent
from postino.event_place import EventPlace, event_id, stream_parts
from postino.model import Event, OpenMessage
from postino.notify.messenger import Messenger
from postino.notify.occasions import Occasions, Stuck, Unseen
from postino.store.notifier import Failure, Notified
from postino.values import HUMAN

MOST_EVENTS = 10_000  # that wait for a notification: as many as the store keeps
MOST_STUCK = 200  # agents that are asked for in one look
MOST_PEOPLE = 200
MOST_UNSEEN = 200  # messages of one person that are counted

log = structlog.get_logger()


class Pace(msgspec.Struct, frozen=True):
    """When people are notified; seconds, where it says nothing else."""

    look: float = 5.0
    gather: float = 30.0  # after the first occasion, for what follows it
    per_hour: int = 6
    hour: float = 3600.0
    unseen: float = 60.0  # that a person's message was not opened
    stuck: float = 600.0  # that an agent's message was not read
    retry: float = 60.0  # after a failure, then twice as long each time
    longest_retry: float = 900.0
    hold_ms: int = 60_000  # that the place of the notifier is taken: a send may take 16 s of them


class Notifications:
    """The periodic work of one daemon. `url` gives the address of the page."""

    def __init__(
        self, broker: Broker, messenger: Messenger, url: Callable[[], str | None], pace: Pace | None = None
    ) -> None:
        self._broker = broker
        self._messenger = messenger
        self.service = messenger.service  # the names of those that are used
        self._url = url
        self._pace = pace or Pace()
        self._events: deque[Event] = deque(maxlen=MOST_EVENTS)
        self._replayed = False
        self._gathering_since: int | None = None  # ms; None: nothing waits for a notification
        self._failures = 0
        self._not_before = 0.0  # time.monotonic()
        self._unsaved: Notified | None = None  # the record that could not be stored yet
        self.failure: Failure | None = None  # of the daemon that has the place, as of the last look

    def note(self, event: Event) -> None:
        """Keep an event that people are notified of. Called with every event."""
        if is_notable(event):
            self._events.append(event)

    async def test(self) -> str | None:
        """Send a notification now, which says that it is a test; return why that failed, or None.

        What waits for another try is then sent at the next look, or is known to fail.
        """
        failed = await self._messenger.send("postino: a test", "\n".join(filter(None, ["It arrived.", self._url()])))
        why = failed and failed.why
        mine, notified, now = await self._broker.notifier.take(self._pace.hold_ms)
        self.failure = notified.failure = _failure(why, notified, now)
        if mine:
            await self._broker.notifier.save(notified, self._pace.hold_ms)
        if why is None:
            self._failures, self._not_before = 0, 0.0
        return why

    async def run(self) -> None:
        """Look every few seconds, until cancelled."""
        while True:
            try:
                await self.look()
            except StoreAway:
                pass
            except Exception:  # one failure must not end the task
                log.exception("notifications_failed")
            await asyncio.sleep(self._pace.look)

    async def look(self) -> None:
        """Notify people of what has gathered, if it is this daemon's turn and the time for it."""
        if self._unsaved is not None:
            await self._broker.notifier.save(self._unsaved, self._pace.hold_ms)
            self._unsaved = None
        hold_ms = 0 if time.monotonic() < self._not_before else self._pace.hold_ms
        mine, notified, now = await self._broker.notifier.take(hold_ms)
        self.failure = notified.failure
        if mine and not self._replayed:
            notified = await self._replay(notified)
        while self._events and stream_parts(_place(self._events[0])) <= stream_parts(notified.after):
            self._events.popleft()
        if not mine:
            self._gathering_since = None
            return
        overdue = self._overdue(now)
        if any(name not in overdue for name in notified.stuck):  # they have read
            notified.stuck = [name for name in notified.stuck if name in overdue]
            await self._broker.notifier.save(notified, self._pace.hold_ms)
        occasions, after = await self._outstanding(notified, overdue, now)
        if not occasions:
            self._gathering_since = None
            return
        if self._gathering_since is None:
            self._gathering_since = now
        if now - self._gathering_since >= self._pace.gather * 1000 and len(after.sent) <= self._pace.per_hour:
            await self._notify(occasions, notified, after)

    async def _replay(self, notified: Notified) -> Notified:
        """Find the events since the last notification, which no daemon may have seen; without one begin now."""
        last = await self._broker.events.last()
        if not notified.after:
            notified.after = last.events
            await self._broker.notifier.save(notified, self._pace.hold_ms)
        # of no message: nobody is notified of those by their events, and they may be many
        missed, _ = await self._broker.events.replay(event_id(notified.after, last.history), MOST_EVENTS)
        found = {_place(each): each for each in (*missed, *self._events) if is_notable(each)}
        self._events = deque(sorted(found.values(), key=lambda each: stream_parts(_place(each))), maxlen=MOST_EVENTS)
        self._replayed = True
        return notified

    def _overdue(self, now: int) -> dict[str, int]:
        """Return for how long the oldest message of each agent waits that has waited too long, at the last sweep."""
        unread = self._broker.housekeeping.unread
        ages = {name: now - oldest_ms for name, oldest_ms in unread.oldest_of.items()} if unread else {}
        return {name: age for name, age in ages.items() if age >= self._pace.stuck * 1000}

    async def _outstanding(self, notified: Notified, overdue: dict[str, int], now: int) -> tuple[Occasions, Notified]:
        """Return what people were not notified of yet, and the record of notifications once they are."""
        sent = [each for each in notified.sent if now - self._pace.hour * 1000 < each <= now]
        after = Notified(after=notified.after, sent=[*sent, now], mail=notified.mail, stuck=notified.stuck)
        found = Occasions()
        people = {*await self._broker.people.names(), HUMAN}
        for event in self._events:
            after.after = _place(event)
            if event.type != "too_fast" and event.data.get("to") in people:
                continue  # people have no dead letters
            counted = found.too_fast if event.type == "too_fast" else found.dead
            counted[str(event.data.get("from" if event.type == "too_fast" else "to"))] += 1
        found.unseen, after.mail = await self._unseen(notified.mail, now)
        for name in [name for name in overdue if name not in notified.stuck][:MOST_STUCK]:
            with contextlib.suppress(UnknownAgent):
                agent = await self._broker.agents.one(name)
                if agent.unread and agent.kind != "human":
                    found.stuck[name] = Stuck(agent.unread, overdue[name])
                    after.stuck = [*after.stuck, name]
        return found, after

    async def _unseen(self, notified: dict[str, int], now: int) -> tuple[dict[str, Unseen], dict[str, int]]:
        """Return what waits unopened for people who look at no page and no terminal, and when the newest of it came."""
        people, _ = await self._broker.people.page(MOST_PEOPLE, 0)
        away = [each.name for each in people if not each.online and each.unread]
        reached = {each.name for each in people if each.online} | ({HUMAN} if len(away) < len(people) else set())
        waiting: dict[str, list[OpenMessage]] = {}
        for person in away:
            inbox = await self._broker.people.inbox(person, MOST_UNSEEN)
            for each in inbox.items:
                if not each.opened_by and each.to not in reached and now - _ms(each) >= self._pace.unseen * 1000:
                    waiting.setdefault(each.to, []).append(each)
            reached.add(HUMAN)  # everybody's inbox has it
        found: dict[str, Unseen] = {}
        with_mail = (HUMAN, *(each.name for each in people if each.unread))
        marks = {name: notified[name] for name in with_mail if name in notified}
        for name, messages in waiting.items():
            marks[name] = max(marks.get(name, 0), *map(_ms, messages))
            new = [each for each in messages if _ms(each) > notified.get(name, 0)]
            if new:
                senders = [each.from_ if each.verified else f"{each.from_}?" for each in new]
                found[name] = Unseen(len(new), list(dict.fromkeys(senders)))
        return found, marks

    async def _notify(self, occasions: Occasions, notified: Notified, after: Notified) -> None:
        failed = await self._messenger.send(occasions.title, occasions.body(self._url()))
        if failed is None or failed.partly:  # a service that took it is not sent it again because of another one
            self._failures, self._gathering_since = 0, None
            after.failure = _failure(failed and failed.why, notified, after.sent[-1])
            log.info("notified", service=self.service, failed=failed and failed.why)
            self._unsaved = after
            await self._broker.notifier.save(after, self._pace.hold_ms)
            self._unsaved = None
        else:
            notified.failure = _failure(failed.why, notified, after.sent[-1])
            if failed.perhaps:  # it counts among those of this hour
                notified.sent = after.sent
            wait_s = min(self._pace.retry * 2**self._failures, self._pace.longest_retry)
            self._failures, self._not_before = self._failures + 1, time.monotonic() + wait_s
            log.warning("notification_failed", service=self.service, why=failed.why, again_in_s=wait_s)
            await self._broker.notifier.save(notified, 0)  # another daemon may reach the service
        self.failure = notified.failure if failed and not failed.partly else after.failure


def _failure(why: str | None, notified: Notified, now: int) -> Failure | None:
    return Failure(why, notified.failure.since_ms if notified.failure else now) if why else None


def is_notable(event: Event) -> bool:
    """Return whether people are notified of `event`: a new dead letter, or a refusal of the loop guard."""
    return event.type in ("msg_dead", "too_fast") or (
        event.type == "msg_expired" and event.data.get("reason") != "dead_letters_full"
    )


def _ms(message: OpenMessage) -> int:
    return round(datetime.fromisoformat(message.timestamp).timestamp() * 1000)


def _place(event: Event) -> str:
    """Return the ID of an event in the stream of events, in which all are that people are notified of."""
    return EventPlace.after(event.id).events
