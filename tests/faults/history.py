"""What happened in a run: every try, every answer that a client had, every fault. One JSON line each in a file.

Times are seconds of the monotonic clock since the run began.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

ACCEPTED, NONE, UNKNOWN, UNSENT = "accepted", "none", "unknown", "unsent"  # outcomes of a try


class Entry(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """Base of what stands in a history."""


class Try(Entry, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """One call that sends. A message may need several, until its outcome is known or its sender gives up.

    `outcome`: accepted; none (postino said that nothing was stored); unknown; unsent (no daemon was reached).
    """

    face: str  # http or mcp
    end: str  # the caller's connection, e.g. the daemon it speaks to
    sender: str
    to: str  # "" for a broadcast
    number: int
    id: str
    started: float
    ended: float
    outcome: str
    code: str = ""
    seq: int = 0
    created: bool = True


class Shown(Entry, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """One message in a successful answer that a client had; `answer` counts the answers of a run."""

    face: str
    session: str
    inbox: str
    answer: int
    at: float
    id: str
    seq: int
    sender: str  # as the body says
    number: int
    sound: bool  # the body is as it was sent
    delivery: int = 1
    redelivered: bool = False
    resumed: bool = False  # the read asked for what its session held already
    crossed: bool = False  # the client had cancelled the call; the answer came all the same
    broadcast: bool = False


class Opened(Entry, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """A reading session began; sessions of one inbox never overlap."""

    session: str
    inbox: str
    at: float


class Call(Entry, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """One call as its client saw it; `code` is empty when it succeeded. Face `log`: a traceback in a daemon's log."""

    face: str
    tool: str
    started: float
    ended: float
    code: str = ""
    outcome: str = ""


class Fault(Entry, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """A fault from its beginning to its end; `recovered` is when each sender had a new message accepted after it."""

    kind: str
    started: float
    ended: float
    recovered: float | None = None
    stops: bool = True  # service for all, so that there is something to recover


class State(Entry, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """What postino says at the end of a message that nobody was shown: acked, dead, queued, ... or unknown_message."""

    inbox: str
    id: str
    state: str


class Stuck(Entry, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """An inbox that its live session could not read to its end, long after the last fault."""

    inbox: str
    left: int


class Unread(Entry, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """A broadcast reader that read the feed to its end."""

    reader: str
    missed: int


Any_ = Try | Shown | Opened | Call | Fault | State | Stuck | Unread
Kind = TypeVar("Kind", bound=Entry)


class History:
    """The entries of a run in the order in which they were noted."""

    def __init__(self, entries: Iterable[Any_] = ()) -> None:
        self.entries: list[Any_] = list(entries)
        self._began = time.monotonic()
        self._listeners: list[Callable[[Any_], None]] = []

    def now(self) -> float:
        """Return the seconds since the run began."""
        return round(time.monotonic() - self._began, 4)

    def note(self, entry: Any_) -> None:
        """Append an entry."""
        self.entries.append(entry)
        for listener in list(self._listeners):
            listener(entry)

    def listen(self, listener: Callable[[Any_], None]) -> Callable[[], None]:
        """Call `listener` with each further entry until what is returned is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def of(self, kind: type[Kind]) -> list[Kind]:
        """Return the entries of one kind."""
        return [entry for entry in self.entries if isinstance(entry, kind)]

    def write(self, path: Path) -> None:
        """Write one JSON line for each entry."""
        path.write_bytes(b"".join(msgspec.json.encode(entry) + b"\n" for entry in self.entries))

    @classmethod
    def load(cls, path: Path) -> History:
        """Return the history in a file."""
        decoder = msgspec.json.Decoder(Any_)
        return cls(decoder.decode(line) for line in path.read_bytes().splitlines())
