"""What an export reads and an import writes: every method is one page or one batch, atomic in itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import msgspec

from postino.errors import NotEmpty
from postino.event_place import stream_parts
from postino.model import Sender, digest
from postino.store import stored_lines
from postino.store.entries import Extras, alias_target, cursor_of, digested, encoded, number, packed, pairs
from postino.store.groups import GroupTable
from postino.store.index_entry import IndexEntry
from postino.store.keys import ALL
from postino.store.lines import (
    AgentLine,
    BroadcastLine,
    BroadcastNumbersLine,
    ClaudeLine,
    DamagedLine,
    DeadLine,
    GroupLine,
    HistoryLine,
    IdLine,
    Line,
    MessageLine,
    NoticeLine,
    OpenLine,
    to_ms,
)
from postino.store.names import AgentEntry
from postino.store.people import OpenedMessage, PeopleTable
from postino.store.spellings import present_names
from postino.store.store import Table

_PAGE = 100  # entries of one page
_PAGE_BYTES = 1_000_000  # bodies of one page: a few milliseconds for the store and for the daemon
_STREAM_PAGE = 32  # entries of a page that is not measured: 4 MB if all bodies are of the maximum length


class _Row(msgspec.Struct, omit_defaults=True):
    """One entry for the scripts import_entries and import_ids."""

    entry: str | None = None
    fields: list[str] | None = None
    id: str | None = None
    record: IndexEntry | None = None
    deliveries: int | None = None
    due: int | None = None


class TransferTable(Table):
    """The whole mailroom, page by page."""

    # reading

    async def agents(self) -> tuple[list[AgentLine], list[Line]]:
        """Return every agent, by name, without `seq`, and lines about what was altered of them and is left out."""
        shared, call = self._store.keys.shared, self._store.query
        values = pairs(await call("HGETALL", shared("agents")))
        cursors = pairs(await call("HGETALL", shared("cursors")))
        found: list[AgentLine] = []
        damaged: list[Line] = []
        for name in sorted(name for name, value in values.items() if not alias_target(value)):
            entry, place = AgentEntry.parse(values[name]), cursor_of(cursors.get(name))
            if place is None and cursors.get(name):
                damaged.append(DamagedLine(entry=name, why="its cursor cannot be read: it sees all broadcasts again"))
            made = [(alias, values.get(alias, "").rpartition(" ")[2]) for alias in entry.aliases]
            line = stored_lines.agent_line(name, entry, made, place)
            if isinstance(line, DamagedLine):
                damaged.append(line)
                line = stored_lines.agent_line(name, AgentEntry(since=1), [], place)
            if isinstance(line, AgentLine):
                found.append(line)
        return found, damaged

    async def last_seq(self, agent: str) -> int:
        """Return the number of the last message that an agent was sent."""
        return number(await self._store.query("HGET", self._store.keys.of("index", agent), "#seq"))

    async def entries(self, agent: str, kind: str, after: str) -> tuple[list[Line], str]:
        """Return a page of the `inbox` or of the `dead` letters after a stream ID, and the last one, else `after`."""
        _, (items,) = await self._store.run_named(
            "export_entries", agent, kinds={"inbox": kind}, reading=True, after=after, limit=_PAGE, bytes=_PAGE_BYTES
        )
        line_of = stored_lines.message_line if kind == "inbox" else stored_lines.dead_line
        lines = [line_of(entry, agent, *stored) for entry, *stored in items]
        return lines, items[-1][0] if items else after

    async def open(self, agent: str) -> list[Line]:
        """Return what a person has opened and neither answered nor marked as done."""
        found = await PeopleTable(self._store).opened(agent)
        return [stored_lines.open_line(each.entry, agent, each) for each in found]

    async def ids(self, agent: str) -> AsyncIterator[list[Line]]:
        """Yield the ended ids of an agent, or of broadcasts for `all`; one may come twice."""
        cursor = "0"
        while True:
            agent, (cursor, items) = await self._store.run_named(
                "export_ids", agent, reading=True, cursor=cursor, count=_PAGE
            )
            yield [stored_lines.id_line(id, agent, record) for id, record in items if stored_lines.has_ended(record)]
            if cursor == "0":
                return

    async def history(self) -> AsyncIterator[list[Line]]:
        """Yield the history, oldest first."""
        async for page in self._stream("history"):
            yield [stored_lines.history_line(entry, fields) for entry, fields in page]

    async def broadcasts(self) -> AsyncIterator[list[Line]]:
        """Yield the broadcasts that are stored, oldest first."""
        async for page in self._stream("broadcasts"):
            yield [stored_lines.broadcast_line(entry, fields) for entry, fields in page]

    async def _stream(self, name: str) -> AsyncIterator[list[Any]]:
        after = "-"
        while page := await self._store.query(
            "XRANGE", self._store.keys.shared(name), after, "+", "COUNT", _STREAM_PAGE
        ):
            yield page
            after = f"({page[-1][0]}"

    async def broadcast_numbers(self) -> list[Line]:
        """Return the line about the broadcasts' numbers; none if nothing was ever broadcast."""
        last, cleared = await self._store.query("HMGET", self._store.keys.shared("feed"), "last", "cleared")
        return [stored_lines.feed_line("feed", last, cleared)] if last else []

    async def groups(self) -> list[Line]:
        """Return every group."""
        found = pairs(await self._store.query("HGETALL", self._store.keys.shared("groups")))
        return [stored_lines.group_line(key, value) for key, value in found.items()]

    async def notices(self) -> list[Line]:
        """Return the dead letters whose senders have yet to be notified."""
        flat = await self._store.query("HGETALL", self._store.keys.shared("notices"))
        return [stored_lines.notice_line(key, value) for key, value in pairs(flat).items()]

    async def claude(self) -> AsyncIterator[list[Line]]:
        """Yield the agents that Claude Code sessions become when they are resumed."""
        cursor = "0"
        while True:
            cursor, flat = await self._store.query("HSCAN", self._store.keys.shared("sessions"), cursor, "COUNT", _PAGE)
            found = [(key, value) for key, value in pairs(flat).items() if key.startswith("claude:")]
            yield [stored_lines.claude_line(key, value) for key, value in found]
            if cursor == "0":
                return

    # writing

    async def begin(self, export: str) -> bool:
        """Reserve an empty mailroom for the import of one export; return whether that import was begun before.

        Until `end`, nothing else can store mail.

        Raises:
            NotEmpty: there is mail, history or a broadcast.
            Importing: another import has not finished.
        """
        # looked at before the reservation, which must not stay when a look fails: a repeat would continue the import.
        # What is sent between the look and the reservation is in the history, at which import_begin looks itself
        if not await self.is_importing():
            await self._check_empty()
        return bool(await self._store.run("import_begin", ALL, {"export": export}))

    async def _check_empty(self) -> None:
        """Raise NotEmpty if an agent has, or had, mail; the history may have given way."""
        keys = self._store.keys
        names = [line.name for line in (await self.agents())[0]]
        if names and await self._store.query("EXISTS", *(keys.of("index", name) for name in names)):
            raise NotEmpty(
                "this mailroom has had mail already; import into a new store, or under another POSTINO_KEY_PREFIX"
            )

    async def end(self) -> bool:
        """End an import, finished or not; return whether there was one. Repeating does nothing."""
        return bool(await self._store.run("import_end", ALL, {}))

    async def is_importing(self) -> bool:
        """Return whether an import was begun and not ended."""
        return bool(await self._store.query("HEXISTS", self._store.keys.shared("meta"), "imports4"))

    async def add(self, lines: Sequence[Any]) -> int:
        """Store lines of one type and one agent; return how many of them were not there yet.

        Raises:
            NameTaken: a name of an agent is a former name of another agent here.
        """
        match lines[0]:
            case AgentLine():
                for line in lines:
                    await self._add_agent(line)
                return len(lines)
            case MessageLine(to=agent):
                return await self._add_entries(agent, "inbox", map(_message_row, lines))
            case DeadLine(to=agent):
                return await self._add_entries(agent, "dead", map(_dead_row, lines))
            case HistoryLine():
                return await self._add_entries(ALL, "history", map(_history_row, lines))
            case BroadcastLine():
                return await self._add_entries(ALL, "broadcasts", map(_broadcast_row, lines))
            case OpenLine(to=agent):
                return await PeopleTable(self._store).restore(agent, {line.id: _opened(line) for line in lines})
            case IdLine(to=agent):
                rows = _json([*map(_id_row, lines)])
                _, (added,) = await self._store.run_named("import_ids", agent, rows=rows)
                return int(added)
            case NoticeLine():
                return await self._add_fields("notices", map(_notice, lines))
            case ClaudeLine():
                return await self._add_fields("sessions", map(_claude, lines))
            case GroupLine():  # those that lacked one of their members
                join = GroupTable(self._store, self._limits).join
                return sum([any([(await join(line.name, each)).changed for each in line.members]) for line in lines])
            case BroadcastNumbersLine(last=last, cleared=cleared):
                ranges = [("cleared", _json(cleared))] if cleared else []
                return min(1, await self._add_fields("feed", [*ranges, ("last", str(last))]))
        return 0

    async def _add_agent(self, line: AgentLine) -> None:
        values = {
            "since": to_ms(line.since) if line.since else 0 if line.only_reads else await self._store.now_ms(),
            "seen": to_ms(line.last_seen) if line.last_seen else 0,
            "reads": line.reads,
            "human": line.human,
            "aliases": [(each.name, to_ms(each.since)) for each in line.aliases],
            "seq": line.seq,
            "cursor": f"{line.cursor.entry} {line.cursor.seq}" if line.cursor else "",
        }
        twins = await self._twins([line.name, *(each.name for each in line.aliases)])
        given: dict[str, str | int] = {"agent": line.name, "line": _json(values), "twins": _json(twins)}
        await self._store.run("import_agent", line.name, given)

    async def _twins(self, names: list[str]) -> list[str]:
        """Return agents that have joined here under another case of these names. Those of older data have mail."""
        keys, call = self._store.keys, self._store.call
        present = await present_names(self._store.writes, keys.shared("agents"), names)
        twins = [
            each for each, name in zip(present, names, strict=True) if each != name and each.lower() == name.lower()
        ]
        return [each for each in twins if not await call("EXISTS", keys.of("index", each))]

    async def _add_entries(self, agent: str, kind: str, rows: Iterable[_Row]) -> int:
        rows_json = _json([*rows])
        _, (added,) = await self._store.run_named("import_entries", agent, kinds={"inbox": kind}, rows=rows_json)
        return int(added)

    async def _add_fields(self, kind: str, values: Iterable[tuple[str, str]]) -> int:
        fields = _json([*values])
        _, (added,) = await self._store.run_named("import_fields", "", kinds={"open": kind}, fields=fields)
        return int(added)


def _message_row(line: MessageLine) -> _Row:
    row = _row(line, _fields(line), state="queued")
    row.due = to_ms(line.delayed_until) if line.delayed_until else stream_parts(line.entry)[0]
    row.deliveries = line.remembered.deliveries
    return row


def _dead_row(line: DeadLine) -> _Row:
    died = to_ms(line.died_at)
    extra = ["reason", line.reason, "deliveries", str(line.remembered.deliveries), "died", str(died)]
    # as lua/lib/move_to_dead.lua has it
    state, why = ("expired", "ttl") if line.reason == "expired" else ("dead", line.reason)
    return _row(line, [*extra, *_fields(line)], state=state, ended=died, why=why)


def _id_row(line: IdLine) -> _Row:
    row = _row(line, None, state=line.state, ended=_ms_or_none(line.settled_at), why=line.reason)
    row.entry = None
    return row


def _row(
    line: MessageLine | DeadLine | IdLine,
    fields: list[str] | None,
    *,
    state: str,
    ended: int | None = None,
    why: str | None = None,
) -> _Row:
    known = line.remembered
    record = IndexEntry(
        s=line.entry,
        q=line.seq,
        st=state,
        t=to_ms(line.timestamp),
        f=line.from_,
        n=known.deliveries,
        r=_word(known.reader),
        l=_ms_or_none(known.leased_at),
        e=ended,
        w=_word(why),
        h=_word(known.notified),
        ht=_ms_or_none(known.notified_at),
        d=known.digest,
        x=known.deaths or None,
        a=known.requeued or None,
    )
    if not isinstance(line, IdLine) and not known.digest:
        record.d = digest(line.from_, line.body, line.thread, line.reply_to, digested(_extras(line)))
    return _Row(entry=line.entry, fields=fields, id=line.id, record=record)


def _opened(line: OpenLine) -> OpenedMessage:
    return OpenedMessage(line.entry, line.opened_by, to_ms(line.opened_at), _fields(line))


def _fields(line: MessageLine | DeadLine | OpenLine | BroadcastLine | HistoryLine) -> list[str]:
    """Return the flat fields of a stream entry, as the scripts write them."""
    sender = Sender(name=line.from_, via=line.via, verified=line.verified)
    letters = () if isinstance(line, BroadcastLine) else (line.thread, line.reply_to, encoded(_extras(line)))
    return ["m", f"{line.seq} {to_ms(line.timestamp)} {packed(line.id, sender, line.body, *letters)}"]


def _extras(line: MessageLine | DeadLine | OpenLine | HistoryLine) -> Extras:
    return Extras(*(getattr(line, name) for name in Extras.__struct_fields__))


def _history_row(line: HistoryLine) -> _Row:
    """Return an entry in the form of an older format, which is no event: it was one elsewhere."""
    return _Row(entry=line.entry, fields=["kind", line.kind, "to", line.to, *_fields(line)])


def _broadcast_row(line: BroadcastLine) -> _Row:
    return _Row(entry=line.entry, fields=_fields(line))


def _notice(line: NoticeLine) -> tuple[str, str]:
    key = f"{line.agent} {line.id}" + (f" {line.death}" if line.death > 1 else "")
    return key, line.sender + (f" {line.reason}" if line.reason else "")


def _claude(line: ClaudeLine) -> tuple[str, str]:
    return f"claude:{line.session}", _json({"agent": line.agent, "at": to_ms(line.at)})


def _word(note: str | None) -> str | None:
    """Return a note of a file as a record of the index can hold it: without spaces."""
    return note.replace(" ", "_") if note else None


def _ms_or_none(time: str | None) -> int | None:
    return to_ms(time) if time else None


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
