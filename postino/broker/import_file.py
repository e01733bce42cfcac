"""Reads the lines of an export and refuses a file that was damaged or changed, naming the line. Stores nothing."""

from __future__ import annotations

from collections import Counter
from functools import cache

import msgspec

from postino.errors import BadField, PostinoError
from postino.event_place import stream_parts
from postino.store.keys import ALL
from postino.store.lines import (
    FORMAT,
    AgentLine,
    AnyLine,
    BroadcastLine,
    DeadLine,
    EndLine,
    Header,
    HistoryLine,
    IdLine,
    Line,
    MessageLine,
    OpenLine,
    type_of,
)
from postino.wording import worded

LONGEST_LINE = 1 << 20  # bytes; the longest body has 384 KiB if every character of it is escaped
CLOCK_MS = 3_600_000  # by which another server's clock may be ahead; an entry of the future would stop a stream's clock
_QUOTED = 300  # characters of an error about a line


@cache  # made on use: it takes 2 ms, and few daemons import anything
def _header() -> msgspec.json.Decoder[Header]:
    return msgspec.json.Decoder(Header)


@cache
def _line() -> msgspec.json.Decoder[AnyLine]:
    return msgspec.json.Decoder(AnyLine)


class ImportFile:
    """One file, read line by line in order. Every refusal is a BadField with `line`."""

    def __init__(self, now_ms: int) -> None:
        self.number = 0  # of the last line
        self.ended = False
        self.counts: Counter[str] = Counter()
        self._latest = now_ms + CLOCK_MS
        self._agent = ""  # whose section it is
        self._names: set[str] = set()
        self._ids: set[str] = set()  # of the messages and dead letters of the section
        self._entries: dict[str, tuple[int, int]] = {}  # type -> position of its last line

    def read_header(self, raw: bytes) -> Header:
        """Return the first line."""
        self.number = 1
        try:
            header = _header().decode(raw)
        except (PostinoError, msgspec.MsgspecError, UnicodeError, RecursionError):
            raise self._refused("this is not the first line of an export of postino") from None
        if header.format > FORMAT:
            raise self._refused(
                f"the file has format {header.format}, which postino {header.postino} wrote; update this postino"
            )
        return header

    def read(self, raw: bytes) -> Line:
        """Return a further line."""
        self.number += 1
        if self.ended:
            raise self._refused("there is a line after the end of the export")
        if len(raw) > LONGEST_LINE:
            raise self._refused(f"the line has more than {LONGEST_LINE} bytes")
        try:
            line = _line().decode(raw)
            self._check(line)
        except PostinoError as error:
            raise self._refused(error.message, **error.detail) from None
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise self._refused(_sentence(error)) from None
        self.counts[type_of(line)] += 1
        return line

    def finish(self) -> None:
        """Refuse a file that ended early."""
        if not self.ended:
            raise self._refused("the file ends here, before the end of the export; it was cut off")

    def _check(self, line: Line) -> None:
        match line:
            case AgentLine():
                self._begin_section(line)
            case MessageLine() | DeadLine() | OpenLine() | IdLine():
                self._check_section(line)
            case EndLine():
                self._check_counts(line)
        if isinstance(line, (MessageLine, DeadLine, HistoryLine, BroadcastLine)):
            self._check_order(line)

    def _begin_section(self, line: AgentLine) -> None:
        for name in (line.name, *(each.name for each in line.aliases)):
            if name in self._names:
                raise BadField(f"the name {name} is in the file before", field="name")
            self._names.add(name)
        self._agent = line.name
        self._ids.clear()
        for each in ("message", "dead"):
            self._entries.pop(each, None)

    def _check_section(self, line: MessageLine | DeadLine | OpenLine | IdLine) -> None:
        if isinstance(line, IdLine):
            if line.to not in (ALL, self._agent):
                raise BadField("to must be the agent whose section this is, or all", field="to")
            return
        if line.to != self._agent:
            raise BadField("to must be the agent whose section this is", field="to")
        if isinstance(line, OpenLine):
            return
        if line.id in self._ids:
            raise BadField(f"the id {line.id} is in the section before", field="id")
        self._ids.add(line.id)

    def _check_order(self, line: MessageLine | DeadLine | HistoryLine | BroadcastLine) -> None:
        kind, place = type_of(line), stream_parts(line.entry)
        if place <= self._entries.get(kind, (0, 0)):
            raise BadField(f"entry {line.entry} must be greater than that of the {kind} before", field="entry")
        if place[0] > self._latest:
            raise BadField(f"entry {line.entry} is in the future; check the clocks of both servers", field="entry")
        self._entries[kind] = place

    def _check_counts(self, line: EndLine) -> None:
        if line.counts != self.counts:
            kinds = sorted({*line.counts, *self.counts})
            wrong = next(each for each in kinds if line.counts.get(each, 0) != self.counts[each])
            raise BadField(
                f"the file should have {line.counts.get(wrong, 0)} lines of type {wrong} and has {self.counts[wrong]}",
                field="counts",
            )
        self.ended = True

    def _refused(self, problem: str, **detail: object) -> BadField:
        return BadField(f"line {self.number}: {problem[:_QUOTED]}", **(detail | {"line": self.number}))


def _sentence(error: Exception) -> str:
    problem, _, path = str(error).partition(" - at `$.")
    return f"{path.rstrip('`')}: {worded(problem)}" if path else worded(problem)
