"""The lines of an export, one JSON object each: a header, then typed lines, then the counts of them.

Each line checks itself when it is made, so that a file which was changed is refused before it reaches the store.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal

import msgspec

from postino.errors import BadField
from postino.model import Expects, Record, State, Via, iso
from postino.store.keys import ALL
from postino.values import (
    MAX_MEMBERS,
    check_any_name,
    check_choices,
    check_id,
    check_name,
    check_recipient,
    check_text,
)

FORMAT = 1  # of the file

_ENTRY = re.compile(r"([0-9]{1,15})-([0-9]{1,15})")  # the numbers of a stream ID are exact in Lua up to 15 digits
_DIGEST = re.compile(r"[0-9a-f]{32}|")
_LONGEST_LIST = 13_000  # of the recipients of a message, up to 200 names with a space between
_LONGEST_NOTE = 256  # characters of what is neither name, id nor body: threads, reasons, sessions
_MOST = 10**12  # for numbers
_MOST_MS = 10**14  # for times, in the year 5138: cjson writes no more than 14 digits
_MOST_ALIASES = 32
_MOST_CLEARED = 64


class Header(Record, frozen=True, kw_only=True):
    """The first line. `export` tells one export from another."""

    postino: str
    format: int
    export: str
    exported: str

    def __post_init__(self) -> None:
        check_text(self.postino, "postino", longest=_LONGEST_NOTE)
        check_id(self.export, "export")
        to_ms(self.exported, "exported")


class Line(Record, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="type"):
    """Base of the typed lines. Making one raises BadField or BadName, naming the field, if a member is not allowed."""


class Alias(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A former name of an agent, and since when it is one."""

    name: str
    since: str


class Cursor(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The last broadcast that an agent has seen, by its stream ID and number."""

    entry: str
    seq: int


class AgentLine(Line, frozen=True, kw_only=True, tag="agent"):
    """An agent. It begins the section of its dead letters, messages and ids. `seq` numbered its last message."""

    name: str
    since: str | None = None
    last_seen: str | None = None
    reads: bool = False
    human: bool = False
    aliases: list[Alias] = []
    seq: int = 0
    cursor: Cursor | None = None

    @property
    def only_reads(self) -> bool:
        """As `AgentEntry.only_reads`. Older exports may lack `since`."""
        return self.reads and not (self.since or self.last_seen or self.human)

    def __post_init__(self) -> None:
        check_recipient(self.name, "name")  # the mailbox of all people is exported as well
        if len(self.aliases) > _MOST_ALIASES:
            raise BadField(f"aliases: at most {_MOST_ALIASES} are allowed", field="aliases")
        for each in self.aliases:
            check_name(each.name, "aliases")
            to_ms(each.since, "aliases")
        _check_times(self, "since", "last_seen")
        _check_number(self.seq, "seq")
        if self.cursor is not None:
            if self.cursor.entry != "0-0":  # of one who looked when no broadcast was stored
                check_entry(self.cursor.entry, "cursor")
            _check_number(self.cursor.seq, "cursor")


class _Content(Line, frozen=True, kw_only=True):
    """Members of everything that has a body."""

    entry: str
    id: str
    seq: int
    from_: str = msgspec.field(name="from")
    verified: bool = False
    via: Via
    body: str
    timestamp: str

    def __post_init__(self) -> None:
        check_entry(self.entry)
        check_id(self.id)
        _check_number(self.seq, "seq")
        check_any_name(self.from_, "from")
        check_text(self.body, "body")
        _check_times(self, "timestamp")
        _check_notes(self, "to", longest=_LONGEST_LIST)
        _check_notes(self, "thread", "reply_to", "group")


class _Letter(_Content, frozen=True, kw_only=True):
    """Members of every message, wherever it lies."""

    to: str
    thread: str | None = None
    reply_to: str | None = None
    expects: Expects | None = None
    group: str | None = None
    choices: list[str] | None = None
    sent_to: list[str] | None = None
    sent_to_total: int | None = None

    def __post_init__(self) -> None:
        _Content.__post_init__(self)
        if self.choices is not None:
            check_choices(self.choices)
        for each in self.sent_to or ():
            check_any_name(each, "sent_to")


class Remembered(Record, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is remembered with an id. `forget_at` is of an earlier postino and means nothing."""

    digest: str = ""
    deliveries: int = 0
    reader: str | None = None
    leased_at: str | None = None
    notified: str | None = None
    notified_at: str | None = None
    deaths: int = 0
    requeued: bool = False
    forget_at: str | None = None

    def __post_init__(self) -> None:
        if not _DIGEST.fullmatch(self.digest):
            raise BadField("digest must be 32 of 0-9 a-f", field="digest")
        _check_number(self.deliveries, "deliveries")
        _check_number(self.deaths, "deaths")
        _check_notes(self, "reader", "notified")
        _check_times(self, "leased_at", "notified_at", "forget_at")


class MessageLine(_Letter, frozen=True, kw_only=True, tag="message"):
    """A message that was not acknowledged. A leased one is exported as queued, with its deliveries so far."""

    delayed_until: str | None = None
    remembered: Remembered

    def __post_init__(self) -> None:
        _Letter.__post_init__(self)
        _check_times(self, "delayed_until")


class DeadLine(_Letter, frozen=True, kw_only=True, tag="dead"):
    """A dead letter."""

    reason: str
    died_at: str
    remembered: Remembered

    def __post_init__(self) -> None:
        _Letter.__post_init__(self)
        _check_notes(self, "reason")
        _check_times(self, "died_at")


class OpenLine(_Letter, frozen=True, kw_only=True, tag="open"):
    """A message that a person has opened and neither answered nor marked as done."""

    opened_by: str
    opened_at: str

    def __post_init__(self) -> None:
        _Letter.__post_init__(self)
        check_name(self.opened_by, "opened_by")
        _check_times(self, "opened_at")


class IdLine(Line, frozen=True, kw_only=True, tag="id"):
    """The id of a message that has ended, or (`to` is `all`) of a broadcast: a retry of it is still recognised."""

    to: str
    id: str
    entry: str
    seq: int
    from_: str = msgspec.field(name="from")
    state: State
    timestamp: str
    settled_at: str | None = None
    reason: str | None = None
    remembered: Remembered

    def __post_init__(self) -> None:
        check_id(self.id)
        check_entry(self.entry)
        _check_number(self.seq, "seq")
        check_any_name(self.from_, "from")
        if self.state not in ("acked", "expired", "cleared"):
            raise BadField(f"state: {self.state} is not that of a message that has ended", field="state")
        if self.settled_at is None and (self.to != ALL or self.state != "acked"):  # a broadcast has no end
            raise BadField("settled_at is missing; a message that has ended has it", field="settled_at")
        _check_notes(self, "reason")
        _check_times(self, "timestamp", "settled_at")


class NoticeLine(Line, frozen=True, kw_only=True, tag="notice"):
    """A dead letter whose sender has yet to be notified; `death` counts how often it died, `reason` may say why."""

    agent: str
    id: str
    death: int
    sender: str
    reason: str | None = None

    def __post_init__(self) -> None:
        check_recipient(self.agent, "agent")
        check_id(self.id)
        _check_number(self.death, "death")
        check_any_name(self.sender, "sender")
        if self.reason is not None:
            check_id(self.reason, "reason")


class ClaudeLine(Line, frozen=True, kw_only=True, tag="claude"):
    """The agent that a Claude Code session becomes when it is resumed."""

    session: str
    agent: str
    at: str

    def __post_init__(self) -> None:
        check_id(self.session, "session")
        check_name(self.agent, "agent")
        _check_times(self, "at")


class HistoryLine(_Letter, frozen=True, kw_only=True, tag="history"):
    """A message or broadcast that was once accepted. `to` may be several agents, members of `group` if it is given."""

    kind: Literal["message", "broadcast"]


class GroupLine(Line, frozen=True, kw_only=True, tag="group"):
    """A group and its members."""

    name: str
    members: list[str]

    def __post_init__(self) -> None:
        check_name(self.name)
        if not 1 <= len(self.members) <= MAX_MEMBERS:
            raise BadField(f"members: a group has 1 to {MAX_MEMBERS}", field="members")
        for each in self.members:
            check_name(each, "members")


class BroadcastLine(_Content, frozen=True, kw_only=True, tag="broadcast"):
    """A broadcast that is still stored."""


class BroadcastNumbersLine(Line, frozen=True, kw_only=True, tag="feed"):
    """The number of the last broadcast ever sent, and the first and last number of each range that was cleared."""

    last: int
    cleared: list[tuple[int, int]] = []

    def __post_init__(self) -> None:
        _check_number(self.last, "last")
        if len(self.cleared) > _MOST_CLEARED or any(not 0 < first <= last <= self.last for first, last in self.cleared):
            raise BadField(f"cleared must be up to {_MOST_CLEARED} ranges of numbers up to last", field="cleared")


class DamagedLine(Line, frozen=True, kw_only=True, tag="damaged"):
    """Something that was left out of the export, because it was altered in the store and would not be accepted."""

    entry: str
    why: str


class EndLine(Line, frozen=True, kw_only=True, tag="end"):
    """The last line: how many lines of each type precede it."""

    counts: dict[str, int]


AnyLine = (
    AgentLine
    | MessageLine
    | DeadLine
    | OpenLine
    | IdLine
    | NoticeLine
    | ClaudeLine
    | HistoryLine
    | BroadcastLine
    | BroadcastNumbersLine
    | GroupLine
    | DamagedLine
    | EndLine
)


def type_of(line: Line) -> str:
    """Return the `type` of a line, e.g. `message`."""
    return str(type(line).__struct_config__.tag)


def check_entry(value: str, field: str = "entry") -> str:
    """Return `value`, or raise BadField if it is not a stream ID."""
    if not _ENTRY.fullmatch(value) or not value.replace("-", "").strip("0"):
        raise BadField(f"{field} must be a stream ID, such as 1700000000000-0", field=field)
    return value


def to_ms(value: str, field: str) -> int:
    """Return a time as milliseconds since 1970, or raise BadField."""
    try:
        ms = round(datetime.fromisoformat(value).timestamp() * 1000)
    except (ValueError, OverflowError):
        ms = -1
    if not 0 <= ms < _MOST_MS or not value.isascii():
        raise BadField(f"{field} must be a time, such as 2026-11-27T21:14:34.961Z", field=field)
    return ms


def to_time(ms: float | str | None) -> str | None:
    """Return milliseconds as a time; None for 0, None and ''."""
    return iso(int(float(ms))) if ms and float(ms) > 0 else None


def _check_notes(line: Record, *names: str, longest: int = _LONGEST_NOTE) -> None:
    for name in names:
        if (value := getattr(line, name, None)) is not None:
            check_text(value, name, longest=longest)


def _check_times(line: Record, *names: str) -> None:
    for name in names:
        if (value := getattr(line, name)) is not None:
            to_ms(value, name)


def _check_number(value: int, field: str) -> None:
    if not 0 <= value < _MOST:
        raise BadField(f"{field} must be a number from 0 to {_MOST - 1}", field=field)
