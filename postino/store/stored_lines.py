"""Makes the lines of an export from what Valkey stores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec

import msgspec

from postino.errors import PostinoError
from postino.event_place import stream_parts
from postino.model import digest
from postino.store.entries import Extras, digested, extras_of, members, of_history, unpacked
from postino.store.groups import GroupEntry
from postino.store.index_entry import IndexEntry
from postino.store.lines import (
    AgentLine,
    Alias,
    BroadcastLine,
    BroadcastNumbersLine,
    ClaudeLine,
    Cursor,
    DamagedLine,
    DeadLine,
    GroupLine,
    HistoryLine,
    IdLine,
    Line,
    MessageLine,
    NoticeLine,
    OpenLine,
    Remembered,
    to_time,
)
from postino.store.names import AgentEntry
from postino.store.people import OpenedMessage

Given = ParamSpec("Given")


def _or_damaged(make: Callable[Concatenate[str, Given], Line]) -> Callable[Concatenate[str, Given], Line]:
    """Let what makes the line of an entry return, for one that cannot be read, a line that says so."""

    def made(entry: str, /, *given: Given.args, **named: Given.kwargs) -> Line:
        try:
            return make(entry, *given, **named)
        except (PostinoError, msgspec.MsgspecError, KeyError, ValueError, OverflowError, OSError) as error:
            return DamagedLine(entry=entry, why=str(error))

    return made


def _stored(fields: dict[str, str]) -> dict[str, Any]:
    letters = {name: fields[name] or None for name in ("thread", "reply_to") if name in fields}
    return members(fields) | letters | extras_of(fields)


def _remembered(record: str, deliveries: int, fallback: str) -> Remembered:
    """Return what is remembered, from the record of the index; `fallback` is the digest if there is none."""
    index = IndexEntry.parse(record) if record else IndexEntry(s="", d="", q=0, st="", t=0, f="")
    return Remembered(
        digest=index.d or fallback,
        deliveries=deliveries,
        reader=index.r,
        leased_at=to_time(index.l),
        notified=index.h,
        notified_at=to_time(index.ht),
        deaths=index.x or 0,
        requeued=bool(index.a),
    )


@_or_damaged
def agent_line(name: str, entry: AgentEntry, made: list[tuple[str, str]], cursor: tuple[str, int] | None) -> Line:
    """Return the line of an agent without `seq`; `made` are its former names with the times of their renames."""
    return AgentLine(
        name=name,
        since=to_time(entry.since),
        last_seen=to_time(entry.seen),
        reads=entry.reads,
        human=entry.human,
        aliases=[Alias(name=alias, since=to_time(ms) or "") for alias, ms in made if ms],
        cursor=Cursor(entry=cursor[0], seq=cursor[1]) if cursor else None,
    )


@_or_damaged
def feed_line(_: str, last: str, cleared: str | None) -> Line:
    """Return the line about the broadcasts' numbers."""
    return BroadcastNumbersLine(
        last=int(last), cleared=msgspec.json.decode(cleared or "[]", type=list[tuple[int, int]])
    )


@_or_damaged
def message_line(entry: str, agent: str, flat: list[str], record: str, deliveries: int, due: str) -> Line:
    """Return the line of an inbox entry, with what the index and the leases hold about it."""
    stored = _stored(unpacked(flat))
    known = _remembered(record, deliveries, _digest(stored))
    is_leased = bool(record) and IndexEntry.parse(record).st == "leased"
    returned = due and not is_leased and float(due) > stream_parts(entry)[0]
    return MessageLine(
        entry=entry, to=agent, **stored, remembered=known, delayed_until=to_time(due) if returned else None
    )


@_or_damaged
def dead_line(entry: str, agent: str, flat: list[str], record: str, *_: object) -> Line:
    """Return the line of a dead letter."""
    fields = unpacked(flat)
    stored = _stored(fields)
    if record and IndexEntry.parse(record).s != entry:
        record = ""  # the id stands for a later message
    known = _remembered(record, int(fields["deliveries"]), _digest(stored))
    return DeadLine(
        entry=entry,
        to=agent,
        **stored,
        remembered=known,
        reason=fields["reason"],
        died_at=to_time(fields["died"]) or "",
    )


@_or_damaged
def open_line(entry: str, agent: str, opened: OpenedMessage) -> Line:
    """Return the line of a message that a person has opened."""
    stored = _stored(unpacked(opened.fields))
    return OpenLine(entry=entry, to=agent, **stored, opened_by=opened.reader, opened_at=to_time(opened.opened_ms) or "")


@_or_damaged
def id_line(id: str, agent: str, record: str) -> Line:
    """Return the line of an id whose message has ended."""
    index = IndexEntry.parse(record)
    return IdLine(
        to=agent,
        id=id,
        entry=index.s,
        seq=index.q,
        from_=index.f,
        state=index.st,  # type: ignore[arg-type]  # written by our own scripts
        timestamp=to_time(index.t) or "",
        settled_at=to_time(index.e),
        reason=index.w,
        remembered=_remembered(record, index.n, ""),
    )


def has_ended(record: str) -> bool:
    """Return whether a record is exported by itself: until its end it comes with its message.

    One that cannot be read is, so that the export tells of it.
    """
    try:
        return IndexEntry.parse(record).st not in ("queued", "leased", "dead")
    except (msgspec.MsgspecError, ValueError):
        return True


@_or_damaged
def history_line(entry: str, flat: list[str]) -> Line:
    """Return the line of a history entry."""
    fields = of_history(flat)
    return HistoryLine(entry=entry, kind=fields["kind"], to=fields["to"], **_stored(fields))  # type: ignore[arg-type]


@_or_damaged
def broadcast_line(entry: str, flat: list[str]) -> Line:
    """Return the line of a broadcast."""
    return BroadcastLine(entry=entry, **members(unpacked(flat)))


@_or_damaged
def group_line(_: str, value: str) -> Line:
    """Return the line of a group."""
    entry = msgspec.json.decode(value, type=GroupEntry)
    return GroupLine(name=entry.name, members=entry.members)


@_or_damaged
def notice_line(key: str, value: str) -> Line:
    """Return the line of a notice that is yet to be sent."""
    agent, id, *death = key.split(" ")
    sender, _, reason = value.partition(" ")
    return NoticeLine(agent=agent, id=id, death=int(death[0]) if death else 1, sender=sender, reason=reason or None)


@_or_damaged
def claude_line(key: str, value: str) -> Line:
    """Return the line of a Claude session and the agent it was."""
    record = msgspec.json.decode(value, type=dict[str, Any])
    return ClaudeLine(session=key.removeprefix("claude:"), agent=record["agent"], at=to_time(record["at"]) or "")


def _digest(stored: dict[str, Any]) -> str:
    extras = digested(Extras(*(stored.get(name) for name in Extras.__struct_fields__)))
    return digest(stored["from_"], stored["body"], stored["thread"], stored["reply_to"], extras)
