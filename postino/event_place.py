"""Places between events, which are the entries of two streams: of events, and of history."""

from __future__ import annotations

import re
from typing import NamedTuple


class EventPlace(NamedTuple):
    """How far somebody knows what happened: the stream IDs of the last event and of the last history entry."""

    events: str
    history: str

    @classmethod
    def after(cls, id: str) -> EventPlace:
        """Return the place right after an event; a plain stream ID stands for that time in both streams."""
        own, letter, other = id.partition("h")
        if letter:
            return cls(other, own)
        own, letter, other = id.partition("e")
        return cls(own, other if letter else own)

    @property
    def id(self) -> str:
        """The place as the id of an event that it is right after."""
        return event_id(self.events, self.history)

    def covers(self, id: str) -> bool:
        """Return whether the event `id` is before this place."""
        own, letter, _ = id.partition("h")
        if letter:
            return stream_parts(own) <= stream_parts(self.history)
        return stream_parts(own.partition("e")[0]) <= stream_parts(self.events)


def event_id(events: str, history: str) -> str:
    """Return the id of an entry of the stream of events, told when the history was told up to the entry `history`."""
    return f"{events}e{history}"


def message_event_id(history: str, events: str) -> str:
    """Return the id of the event that a history entry is, told when the events were told up to `events`."""
    return f"{history}h{events}"


def is_stream_id(text: str) -> bool:
    """Return whether a text is a stream ID, as lua/lib/stream.lua has it."""
    return re.fullmatch(r"[0-9]{1,18}-[0-9]{1,18}", text) is not None


def stream_parts(stream_id: str) -> tuple[int, int]:
    """Return milliseconds and number of a stream ID, by which IDs are ordered."""
    ms, _, seq = stream_id.partition("-")
    return int(ms or 0), int(seq or 0)
