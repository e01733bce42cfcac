"""History: every message and broadcast once accepted, kept for one time to live.

An index per name tells which entries give that name as sender or recipient, so that the mail of one agent is found
behind any number of messages of others. Entries older than the index are found by looking at all of them. What a
search for a thread or an id looks at is noted, see `places`.
"""

from __future__ import annotations

import asyncio

import msgspec

from postino.event_place import stream_parts
from postino.store.entries import BLANK, of_history
from postino.store.marks import MARK_MS
from postino.store.parts import older
from postino.store.places import Places, Seen, id_at, place_of
from postino.store.store import Limits, Store, Table

NEWEST = f"{2**64 - 1}-{2**64 - 1}"  # the place before which every entry is
_MARKS = 10  # that are followed at once
_NEWER = 100  # entries of one round trip, since the last search for a thread
_MOST_NEWER = 5_000  # of one search: the rest is for the next one
_NEWER_S = 0.5  # of one search; long bodies take longer than short ones
_DENSE = 4  # entries that are looked at in the time in which one is asked for
_FEW = 1_000  # noted entries of a thread, which are looked at rather than what the index has of an agent
_SCRIPT_MS = 20  # longest time from when a script asks for it to its last command; 32 sends in one take 5
_INDEXED_AFTER = "indexed_after"  # in the hash meta: the newest entry that the index of its names may lack


class StreamEntry(msgspec.Struct, frozen=True):
    """An entry of the history stream: its stream ID, and the fields of a message or broadcast.

    Those that the disk has altered beyond recognition are blank; the entry then fits no digest.
    """

    id: str
    fields: dict[str, str]

    @property
    def recipients(self) -> list[str]:
        """The agents it was accepted for, as they were named then; `all` for a broadcast."""
        return self.fields["to"].split(" ")


class HistoryPart(msgspec.Struct, frozen=True):
    """Entries, newest first. The next part is the one before `before`; None: there are no older entries."""

    entries: list[StreamEntry]
    before: str | None


class HistoryStream(Table):
    """The stream behind history."""

    def __init__(self, store: Store, limits: Limits) -> None:
        super().__init__(store, limits)
        self._places = Places()

    async def part(
        self, names: list[str], before: str, count: int, key: str | None = None, *, to_end: bool = False
    ) -> HistoryPart:
        """Return about `count` entries before the entry `before`, and where to go on.

        With `names` the entries that give none of them as sender or recipient are skipped as far as possible, with
        `key` those that have it neither as thread nor as id; `to_end` is what `note_newer` returned.
        """
        if key is not None and self._is_noted(before, to_end) and self._has_few(key, named=bool(names)):
            return await self._noted(key, before, count)
        meta = self._store.keys.shared("meta")
        after: str | None = await self._store.query("HGET", meta, _INDEXED_AFTER) if names else None
        if after is None or stream_parts(before) <= stream_parts(_next(after)):
            return await self._scanned(before, count, note=key is not None)
        return await self._indexed(names, before, after, count)

    async def note_newer(self) -> bool:
        """Note what was accepted since the last search for a thread or id; to be called before each.

        Return whether all is noted, up to what was the newest entry when it was asked for. If the newest entry noted is
        gone, others may be as well, and if its place has another entry, the history is another: then all is forgotten.
        """
        clock, history = asyncio.get_running_loop().time, self._store.keys.shared("history")
        until, newest, more = clock() + _NEWER_S, self._places.newest, 0
        while newest.place and more < _MOST_NEWER and clock() < until:
            found = await self._store.query("XRANGE", history, id_at(newest.place), "+", "COUNT", _NEWER + 1)
            seen = [_seen(_entry(id, fields)) for id, fields in found]
            if not seen or seen[0] != newest:
                self._places.forget()
                return False
            self._places.note_newer(newest.place, seen[1:])
            if len(seen) <= _NEWER:
                return True
            newest, more = seen[-1], more + len(seen)
        return False

    async def at(self, ms: int) -> list[StreamEntry]:
        """Return the entries that a script which began at `ms` may have written.

        Redis 7.0 takes the time of a stream ID when XADD runs, not when the script began.
        """
        entries = await self._store.query("XRANGE", self._store.keys.shared("history"), ms, ms + _SCRIPT_MS)
        return [_entry(id, fields) for id, fields in entries]

    async def begin_index(self) -> None:
        """Record, once per store, that every later entry is in the index. Repeating does nothing."""
        await self._store.run("index_history", "", {})

    async def trim(self) -> None:
        """Drop every entry older than one time to live. A send trims by whole stream nodes only."""
        oldest = await self._store.now_ms() - self._limits.ttl_ms
        await self._store.call("XTRIM", self._store.keys.shared("history"), "MINID", max(0, oldest))

    async def _scanned(self, before: str, count: int, *, note: bool) -> HistoryPart:
        found = await self._newest(self._store.keys.shared("history"), before, "-", count)
        rest = found[-1][0] if len(found) == count else None
        entries = [_entry(id, fields) for id, fields in found]
        if note:
            place = None if before == NEWEST else place_of(before)
            self._places.note_older(place, [_seen(each) for each in reversed(entries)])
        return HistoryPart(entries, rest)

    def _is_noted(self, before: str, to_end: bool) -> bool:
        first, newest = self._places.first, self._places.newest
        return 0 < first < place_of(before) and (to_end or place_of(before) <= newest.place + 1)

    def _has_few(self, key: str, *, named: bool) -> bool:
        """Return whether to ask for each entry noted costs less than to look at all, or at those of an agent."""
        count = self._places.count_of(key)
        return count * _DENSE <= self._places.count and not (named and count > _FEW)

    async def _noted(self, key: str, before: str, count: int) -> HistoryPart:
        history, places = self._store.keys.shared("history"), self._places.of(key, place_of(before), count)
        first = id_at(self._places.first)
        older, *found = await asyncio.gather(
            self._store.query("XRANGE", history, "-", f"({first}", "COUNT", 1),
            *(self._store.query("XRANGE", history, id, id) for id in map(id_at, places)),  # those that are not gone
        )
        rest = id_at(places[-1]) if len(places) == count else first if older else None
        return HistoryPart([_entry(id, fields) for each in found for id, fields in each], rest)

    async def _indexed(self, names: list[str], before: str, after: str, count: int) -> HistoryPart:
        keys = list(dict.fromkeys(key for name in names for key in self._store.keys.past_of(name)))
        first = stream_parts(_next(after))
        oldest = max(0, first[0] - MARK_MS)  # such a mark stands also for entries from `first` on
        found = await asyncio.gather(*(self._newest(key, before, str(oldest), _MARKS) for key in keys))
        marks = sorted({stream_parts(id) for each in found for id, _ in each}, reverse=True)[:_MARKS]
        each_count = max(_MARKS, count // max(1, len(marks)))
        limits = [stream_parts(before), *marks]
        spans = await asyncio.gather(
            *(self._span(max(mark, first), mark, limit, each_count) for mark, limit in zip(marks, limits, strict=False))
        )
        entries: list[StreamEntry] = []
        for span in spans:
            entries += span
            if len(span) == each_count:
                return HistoryPart(entries, span[-1].id)
        if len(marks) == _MARKS and marks[-1] > first:
            return HistoryPart(entries, f"{marks[-1][0]}-{marks[-1][1]}")
        return HistoryPart(entries, None if after == "0-0" else _next(after))  # what is older than the index

    async def _span(
        self, first: tuple[int, int], mark: tuple[int, int], limit: tuple[int, int], count: int
    ) -> list[StreamEntry]:
        """Return the newest entries that a mark stands for, from `first` on and before `limit`, at most `count`."""
        last = mark[0] + MARK_MS - 1
        newest = str(last) if limit[0] > last else f"({limit[0]}-{limit[1]}"
        found = await older(self._store, self._store.keys.shared("history"), newest, f"{first[0]}-{first[1]}", count)
        return [_entry(id, fields) for id, fields in found]

    async def _newest(self, key: str, before: str, oldest: str, count: int) -> list[tuple[str, list[str]]]:
        return await older(self._store, key, "+" if before == NEWEST else f"({before}", oldest, count)


def _entry(id: str, flat: list[str]) -> StreamEntry:
    return StreamEntry(id, BLANK | {"to": ""} | of_history(flat))


def _seen(entry: StreamEntry) -> Seen:
    return Seen(place_of(entry.id), entry.fields["id"], entry.fields.get("thread"), entry.fields["t"])


def _next(stream_id: str) -> str:
    """Return the least stream ID after `stream_id`."""
    ms, seq = stream_parts(stream_id)
    return f"{ms}-{seq + 1}"
