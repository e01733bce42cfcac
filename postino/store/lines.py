"""The lines of an export, one JSON object each: a header, then typed lines, then the counts of them.

Each line checks itself when it is made, so that a file which was changed is refused before it reaches the store.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from functools import cache, partial
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, field

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


def to_ms(value: str, field: str = "time") -> int:
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


def _check_entry(value: str, field: str) -> None:
    if not _ENTRY.fullmatch(value) or not value.replace("-", "").strip("0"):
        raise BadField(f"{field} must be a stream ID, such as 1700000000000-0", field=field)


def _check_number(value: int, field: str) -> None:
    if not 0 <= value < _MOST:
        raise BadField(f"{field} must be a number from 0 to {_MOST - 1}", field=field)


def _check_digest(value: str, field: str) -> None:
    if not _DIGEST.fullmatch(value):
        raise BadField(f"{field} must be 32 of 0-9 a-f", field=field)


def _check_cursor(value: Cursor, field: str) -> None:
    if value.entry != "0-0":  # of one who looked when no broadcast was stored
        _check_entry(value.entry, field)
    _check_number(value.seq, field)


def _check_aliases(values: list[Alias], field: str) -> None:
    if len(values) > _MOST_ALIASES:
        raise BadField(f"{field}: at most {_MOST_ALIASES} are allowed", field=field)
    for each in values:
        check_name(each.name, field)
        to_ms(each.since, field)


def _check_names(values: list[str], field: str) -> None:
    for each in values:
        check_any_name(each, field)


def _check_members(values: list[str], field: str) -> None:
    if not 1 <= len(values) <= MAX_MEMBERS:
        raise BadField(f"{field}: a group has 1 to {MAX_MEMBERS}", field=field)
    for each in values:
        check_name(each, field)


def _checked(check: Callable[[Any, str], object]) -> Meta:
    """Return what has `check` called with each value of a type that is not None, and the name of the member."""
    return Meta(extra={"check": check})


Entry = Annotated[str, _checked(_check_entry)]
Time = Annotated[str, _checked(to_ms)]
Number = Annotated[int, _checked(_check_number)]
Id = Annotated[str, _checked(check_id)]
Name = Annotated[str, _checked(check_name)]
AnyName = Annotated[str, _checked(check_any_name)]
Recipient = Annotated[str, _checked(check_recipient)]  # also the mailbox of all people
Text = Annotated[str, _checked(check_text)]
Note = Annotated[str, _checked(partial(check_text, longest=_LONGEST_NOTE))]


class _Checked(Record, frozen=True, kw_only=True):
    """Base of what checks its members by their types. Making one raises BadField or BadName, naming the field."""

    def __post_init__(self) -> None:
        for name, shown, check in _checks_of(type(self)):
            if (value := getattr(self, name)) is not None:
                check(value, shown)


@cache
def _checks_of(kind: type[_Checked]) -> list[tuple[str, str, Callable[[Any, str], object]]]:
    """Return attribute, name and check of each member that has one."""
    return [
        (member.name, member.encode_name, meta.extra["check"])
        for member in msgspec.structs.fields(kind)
        for part in (member.type, *get_args(member.type))  # `Time`, and the one of `Time | None`
        for meta in getattr(part, "__metadata__", ())
    ]


class Header(_Checked, frozen=True, kw_only=True):
    """The first line. `export` tells one export from another."""

    postino: Note
    format: int
    export: Id
    exported: Time


class Line(_Checked, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="type"):
    """Base of the typed lines."""


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

    name: Recipient
    since: Time | None = None
    last_seen: Time | None = None
    reads: bool = False
    human: bool = False
    aliases: Annotated[list[Alias], _checked(_check_aliases)] = []
    seq: Number = 0
    cursor: Annotated[Cursor, _checked(_check_cursor)] | None = None

    @property
    def only_reads(self) -> bool:
        """As `AgentEntry.only_reads`. Older exports may lack `since`."""
        return self.reads and not (self.since or self.last_seen or self.human)


class _Content(Line, frozen=True, kw_only=True):
    """Members of everything that has a body."""

    entry: Entry
    id: Id
    seq: Number
    from_: AnyName = field(name="from")
    verified: bool = False
    via: Via
    body: Text
    timestamp: Time


class _Letter(_Content, frozen=True, kw_only=True):
    """Members of every message, wherever it lies."""

    to: Annotated[str, _checked(partial(check_text, longest=_LONGEST_LIST))]
    thread: Note | None = None
    reply_to: Note | None = None
    expects: Expects | None = None
    group: Note | None = None
    choices: Annotated[list[str], _checked(check_choices)] | None = None
    sent_to: Annotated[list[str], _checked(_check_names)] | None = None
    sent_to_total: int | None = None


class Remembered(_Checked, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is remembered with an id. `forget_at` is of an earlier postino and means nothing."""

    digest: Annotated[str, _checked(_check_digest)] = ""
    deliveries: Number = 0
    reader: Note | None = None
    leased_at: Time | None = None
    notified: Note | None = None
    notified_at: Time | None = None
    deaths: Number = 0
    requeued: bool = False
    forget_at: Time | None = None


class MessageLine(_Letter, frozen=True, kw_only=True, tag="message"):
    """A message that was not acknowledged. A leased one is exported as queued, with its deliveries so far."""

    delayed_until: Time | None = None
    remembered: Remembered


class DeadLine(_Letter, frozen=True, kw_only=True, tag="dead"):
    """A dead letter."""

    reason: Note
    died_at: Time
    remembered: Remembered


class OpenLine(_Letter, frozen=True, kw_only=True, tag="open"):
    """A message that a person has opened and neither answered nor marked as done."""

    opened_by: Name
    opened_at: Time


class IdLine(Line, frozen=True, kw_only=True, tag="id"):
    """The id of a message that has ended, or (`to` is `all`) of a broadcast: a retry of it is still recognised."""

    to: str
    id: Id
    entry: Entry
    seq: Number
    from_: AnyName = field(name="from")
    state: State
    timestamp: Time
    settled_at: Time | None = None
    reason: Note | None = None
    remembered: Remembered

    def __post_init__(self) -> None:
        Line.__post_init__(self)
        if self.state not in ("acked", "expired", "cleared"):
            raise BadField(f"state: {self.state} is not that of a message that has ended", field="state")
        if self.settled_at is None and (self.to != ALL or self.state != "acked"):  # a broadcast has no end
            raise BadField("settled_at is missing; a message that has ended has it", field="settled_at")


class NoticeLine(Line, frozen=True, kw_only=True, tag="notice"):
    """A dead letter whose sender has yet to be notified; `death` counts how often it died, `reason` may say why."""

    agent: Recipient
    id: Id
    death: Number
    sender: AnyName
    reason: Id | None = None


class ClaudeLine(Line, frozen=True, kw_only=True, tag="claude"):
    """The agent that a Claude Code session becomes when it is resumed."""

    session: Id
    agent: Name
    at: Time


class HistoryLine(_Letter, frozen=True, kw_only=True, tag="history"):
    """A message or broadcast that was once accepted. `to` may be several agents, members of `group` if it is given."""

    kind: Literal["message", "broadcast"]


class GroupLine(Line, frozen=True, kw_only=True, tag="group"):
    """A group and its members."""

    name: Name
    members: Annotated[list[str], _checked(_check_members)]


class BroadcastLine(_Content, frozen=True, kw_only=True, tag="broadcast"):
    """A broadcast that is still stored."""


class BroadcastNumbersLine(Line, frozen=True, kw_only=True, tag="feed"):
    """The number of the last broadcast ever sent, and the first and last number of each range that was cleared."""

    last: Number
    cleared: list[tuple[int, int]] = []

    def __post_init__(self) -> None:
        Line.__post_init__(self)
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
