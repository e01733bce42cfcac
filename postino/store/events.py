"""What happened, for SSE, waiting readers and wakes: the stream of events, and the history, whose entries are events.

A message or broadcast is told by its history entry, and has no entry in the stream of events. One to several agents has
one there for each of them, because each has its own number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from postino.event_place import EventPlace, event_id, message_event_id, stream_parts
from postino.model import Event
from postino.store.entries import pairs, sent_event, short_consumer
from postino.store.pipeline import REPLY_TIMEOUT_S, Pipeline
from postino.store.store import Store

_NUMBERS = frozenset({"seq", "count", "delay_ms", "redelivered", "retry_after_s"})

_decode_ids = msgspec.json.Decoder(list[str]).decode
_LAST_SEQ = (1 << 64) - 1  # of the entries of one ms

T = TypeVar("T")
Entries = list[tuple[str, list[str]]]


class Told(msgspec.Struct, frozen=True):
    """Events in order, the place after them, and whether there may be more."""

    events: list[Event]
    place: EventPlace
    more: bool


class EventStream:
    """What happened, without bodies."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._events, self._history = store.keys.shared("events"), store.keys.shared("history")

    async def now_ms(self) -> int:
        """Return Valkey's clock."""
        return await self._store.now_ms()

    async def note_too_fast(self, sender: str, to: str, reason: str, retry_after_s: int) -> None:
        """Tell that the loop guard has refused a message."""
        values: dict[str, str | int] = {"sender": sender, "to": to, "reason": reason, "retry_after_s": retry_after_s}
        await self._store.run("note_too_fast", "", values)

    async def last(self) -> EventPlace:
        """Return the place after the newest event, of `0-0` where there was none."""
        return (await self._bounds()).newest

    async def since(self, id: str) -> tuple[EventPlace, bool]:
        """Return the place after an event or a time, and whether events after it are no longer kept.

        Also if it is later than all that happened: a place in another store.
        """
        return (await self._bounds()).since(id)

    async def after(self, place: EventPlace, count: int) -> Told:
        """Return events after `place`, oldest first, at most `count` of each stream."""
        command = "XREAD", "COUNT", count, "STREAMS", self._events, self._history, *place
        return self._told(await self._store.query(*command), place, count)

    async def wait(self, reader: Pipeline, place: EventPlace, block_ms: int, count: int) -> Told:
        """Wait on `reader`, a connection of its own, up to `block_ms` for events after `place`; `count` as for `after`.

        Raises:
            StoreAway: the connection of `reader` broke.
        """
        command = "XREAD", "COUNT", count, "BLOCK", block_ms, "STREAMS", self._events, self._history, *place
        return self._told(await reader.call(*command, within_s=block_ms / 1000 + REPLY_TIMEOUT_S), place, count)

    def _told(self, reply: Any, place: EventPlace, count: int) -> Told:
        """Take a reply of XREAD, which is of one moment: no message is missing before what became of it."""
        found: dict[str, Entries] = dict(reply or ())
        return _told(found.get(self._events, []), found.get(self._history, []), place, count)

    async def _bounds(self) -> _Bounds:
        first, newest, lost, *history = await self._store.run("event_bounds", "", {})
        oldest, last, forgotten = history
        return _Bounds(EventPlace(first, oldest), EventPlace(newest, last), bool(lost), bool(forgotten))


class _Bounds(msgspec.Struct, frozen=True):
    """What is kept of both streams: '' for the oldest entry where there is none, and whether older ones are gone."""

    oldest: EventPlace
    newest: EventPlace
    lost_events: bool
    lost_history: bool

    def since(self, id: str) -> tuple[EventPlace, bool]:
        """Return the place after which to tell what is kept after `id`, and whether some after `id` is not kept."""
        place = EventPlace.after(id)
        gap = id != "0-0" and (self._time_lost(stream_parts(id)) if id == place.events else self._place_lost(place))
        events, history = place
        if self.lost_events and stream_parts(events) < stream_parts(self._floor.events):
            events = self._floor.events
            first_ms = stream_parts(self.oldest.events or self.newest.events)[0]
            history = max(history, f"{first_ms - 1}-0", key=stream_parts)  # a history may be of days
        if self.lost_history:
            history = max(history, self._floor.history, key=stream_parts)
        return EventPlace(events, history), gap

    def _time_lost(self, time: tuple[int, int]) -> bool:
        """Return whether events after a time may be gone; also an event of when all were in one stream is a time."""
        events, history = map(stream_parts, self.oldest)
        first = min((each for each in (events, history) if each > (0, 0)), default=(0, 0))
        lost = (self.lost_events and time < events) or (self.lost_history and time < self._oldest_message)
        return lost or not first <= time <= max(map(stream_parts, self.newest))

    def _place_lost(self, place: EventPlace) -> bool:
        events, history = map(stream_parts, place)
        if events > stream_parts(self.newest.events) or history > stream_parts(self.newest.history):
            return True
        lost_events = events < stream_parts(self._floor.events) and (self.lost_events or events > (0, 0))
        # what the history has lost is older than its oldest entry: who knows a later event has seen it
        lost_history = history < stream_parts(self._floor.history) and events[0] < self._oldest_message[0]
        return lost_events or (lost_history and (self.lost_history or history > (0, 0)))

    @property
    def _oldest_message(self) -> tuple[int, int]:
        return stream_parts(self.oldest.history or self.newest.history)

    @property
    def _floor(self) -> EventPlace:
        """The place right before the oldest entries kept: of what is before it some may be gone."""
        return EventPlace(*map(_floor, self.oldest, self.newest))


def _floor(oldest: str, newest: str) -> str:
    if not oldest:
        return newest
    ms, seq = stream_parts(oldest)
    return f"{ms}-{seq - 1}" if seq else f"{max(ms - 1, 0)}-{_LAST_SEQ if ms else 0}"


def _told(events: Entries, history: Entries, place: EventPlace, count: int) -> Told:
    """Put the entries of both streams in order: by their ms, messages first, because what becomes of them comes later.

    What is behind the end of a reply of `count` entries is left for the next one: its stream may have more before that.
    """
    ordered = [(True, entry) for entry in history] + [(False, entry) for entry in events]
    if events and history:
        ordered.sort(key=lambda each: stream_parts(each[1][0])[0])
    ends = [(told, entries[-1]) for told, entries in ((True, history), (False, events)) if len(entries) == count]
    found: list[Event] = []
    events_to, history_to = place
    for each in ordered:
        is_message, (id, fields) = each
        if is_message:
            history_to = id
            if (sent := _or_gap(sent_event, fields)) is not None:
                found.append(Event(id=message_event_id(id, events_to), type=sent[0], data=sent[1]))
        else:
            events_to = id
            kind, data = _or_gap(_noted, fields)
            found.append(Event(id=event_id(id, history_to), type=kind, data=data))
        if each in ends:
            break
    return Told(found, EventPlace(events_to, history_to), bool(ends))


def _or_gap(read: Callable[[list[str]], T], fields: list[str]) -> T | tuple[str, dict[str, Any]]:
    """Return what `read` makes of an entry; of one that a disk has altered a gap, so that it costs only itself."""
    try:
        return read(fields)
    except (ValueError, LookupError, msgspec.MsgspecError):
        return "gap", {"reason": "an event was altered on disk and cannot be read"}


def _noted(flat: list[str]) -> tuple[str, dict[str, Any]]:
    if flat[0] == "e":
        kind, *flat = flat[1].split("\n")
        data: dict[str, Any] = pairs(flat)
    else:  # in format 2 each is a field
        data = pairs(flat)
        kind = data.pop("type")
    if "ids" in data:
        data["ids"] = _decode_ids(data["ids"])
    if "reader" in data and kind.startswith("msg_"):  # the reader of broadcasts is an agent
        data["reader"] = short_consumer(data["reader"])
    if not _NUMBERS.isdisjoint(data):
        data |= {name: int(data[name]) for name in _NUMBERS & data.keys()}
    return kind, data
