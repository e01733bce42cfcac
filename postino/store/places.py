"""Where in the history the messages of each thread and id are, as far as this daemon has looked at it.

Nothing is written for this: a search for a thread notes what it looks at, and later ones need not look at that again.
No entry is ever added before one that the history still has, whoever writes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from postino.event_place import stream_parts

MOST = 120_000  # entries, some 200 bytes each, however long ids and threads are
_SEQ_BITS = 64  # a stream ID is one number here, which is smaller and quicker to compare than a tuple


class Seen(NamedTuple):
    """An entry that was looked at; `accepted` is its time in ms, as text."""

    place: int
    id: str
    thread: str | None
    accepted: str


_NONE = Seen(0, "", None, "")


class Places:
    """The places of all entries from the place `first` to `newest`; both places are 0 while none are noted."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.first = self.count = 0
        self.newest = _NONE
        #: by the hash of a thread or id, in order; a list of one place would take twice as much
        self._of: dict[int, tuple[int, ...]] = {}

    def note_older(self, before: int | None, seen: Sequence[Seen]) -> None:
        """Note `seen`, which are in order all entries from its first to `before`, as far as they join those noted.

        None: to the end of the history.
        """
        if not self.first and seen and before is None:
            self.newest, self.first = seen[-1], seen[-1].place + 1
        if not self.first or (before is not None and before < self.first):
            return
        older = [each for each in seen if each.place < self.first]
        if self.count + len(older) > MOST:
            return
        self.first = older[0].place if older else self.first
        for key, places in self._by_key(older).items():
            self._of[key] = (*places, *self._of.get(key, ()))

    def note_newer(self, after: int, seen: Sequence[Seen]) -> None:
        """Note `seen`, which are in order all entries from `after` to its last, as far as they join those noted."""
        if not self.first or after > self.newest.place:
            return
        newer = [each for each in seen if each.place > self.newest.place]
        if self.count + len(newer) > MOST:
            self.forget()
        elif newer:
            self.newest = newer[-1]
            for key, places in self._by_key(newer).items():
                self._of[key] = (*self._of.get(key, ()), *places)

    def of(self, key: str, before: int, count: int) -> tuple[int, ...]:
        """Return the places of a thread or id before a place, newest first, at most `count`.

        There may be some of another one that has the same hash.
        """
        places = self._of.get(hash(key), ())
        end = bisect_left(places, before)
        return places[max(0, end - count) : end][::-1]

    def count_of(self, key: str) -> int:
        """Return how many entries of a thread or id are noted; `count`: how many in all."""
        return len(self._of.get(hash(key), ()))

    def _by_key(self, seen: Sequence[Seen]) -> dict[int, list[int]]:
        self.count += len(seen)
        found: dict[int, list[int]] = {}
        for place, id, thread, _ in seen:
            found.setdefault(hash(id), []).append(place)
            if thread and thread != id:
                found.setdefault(hash(thread), []).append(place)
        return found


def place_of(stream_id: str) -> int:
    """Return the place of a stream ID."""
    ms, seq = stream_parts(stream_id)
    return ms << _SEQ_BITS | seq


def id_at(place: int) -> str:
    """Return the stream ID of a place."""
    return f"{place >> _SEQ_BITS}-{place & (1 << _SEQ_BITS) - 1}"
