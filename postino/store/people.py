"""People: their inboxes, and what of them is open: seen, and neither answered nor done."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from postino.event_place import is_stream_id
from postino.model import Message, OpenMessage, Record, iso
from postino.store.entries import id_array, message, pairs, time_of, unpacked
from postino.store.parts import older
from postino.store.store import PART_BYTES, Store

_PART = 50  # entries of one round trip


class Taken(Record, frozen=True, kw_only=True):
    """A message to `human` that another person has opened."""

    id: str
    by: str


class OpenedMessage(msgspec.Struct, frozen=True):
    """A message that was opened, as lua/lib/open_message.lua writes it: its entry in the inbox, by whom and when."""

    entry: str = msgspec.field(name="s")
    reader: str = msgspec.field(name="r")
    opened_ms: int = msgspec.field(name="t")
    fields: list[str] = msgspec.field(name="f")


class PeopleTable:
    """The inboxes of people, and that of all people, `human`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def register(self, name: str, *, chosen: bool) -> str:
        """Make a name that of a person; return the present name.

        Raises:
            NameTaken: it is the name of an agent.
        """
        present, _ = await self._store.run_named("person", name, chosen="1" if chosen else "")
        return present

    async def note_act(self, name: str) -> None:
        """Note that a person has acted now; nothing is noted of an agent."""
        await self._store.run_named("note_act", name)

    async def seen(self, inbox: str, reader: str, ids: list[str]) -> tuple[list[str], list[Taken], list[str]]:
        """Open messages; return the ids of those opened by `reader`, those that others have taken, and the others.

        Raises:
            UnknownAgent: the inbox is no person's.
        """
        _, (seen, taken, unknown) = await self._store.run_named("seen", inbox, reader=reader, ids=id_array(ids))
        return seen, [Taken(id=id, by=by) for by, id in zip(taken[::2], taken[1::2], strict=True)], unknown

    async def done(self, inbox: str, reader: str, ids: list[str]) -> tuple[list[str], list[str]]:
        """Mark messages as done; return the ids of those that are, and of those not in the inbox.

        Raises:
            UnknownAgent: the inbox is no person's.
        """
        _, (done, unknown) = await self._store.run_named("done", inbox, reader=reader, ids=id_array(ids))
        return done, unknown

    async def lengths(self, inbox: str) -> tuple[int, int]:
        """Return how many messages nobody has opened, and how many are open since."""
        keys, query = self._store.keys, self._store.query
        found = await asyncio.gather(query("XLEN", keys.of("inbox", inbox)), query("HLEN", keys.of("open", inbox)))
        return int(found[0]), int(found[1])

    async def opened(self, inbox: str) -> list[OpenedMessage]:
        """Return what was opened and is neither answered nor done; what a disk has altered is left out."""
        flat = await self._store.query("HGETALL", self._store.keys.of("open", inbox))
        return [each for value in pairs(flat).values() if (each := opened_message(value))]

    async def opened_one(self, inboxes: Sequence[str], id: str) -> dict[str, str] | None:
        """Return the fields of a message that is open in one of these inboxes, None if it is in none."""
        found = [await self._store.call("HGET", self._store.keys.of("open", each), id) for each in inboxes]
        return next((unpacked(each.fields) for value in found if value and (each := opened_message(value))), None)

    async def restore(self, inbox: str, messages: dict[str, OpenedMessage]) -> int:
        """Store opened messages, by id, of an export; return how many were not there."""
        rows = [(id, msgspec.json.encode(each).decode()) for id, each in messages.items()]
        _, (added,) = await self._store.run_named("import_fields", inbox, fields=msgspec.json.encode(rows).decode())
        return int(added)

    async def unopened(self, inbox: str, limit: int, before: str | None) -> tuple[list[tuple[str, Message]], bool]:
        """Return entry and message of the newest `limit` before an entry that nobody has opened, newest first.

        They are fewer if they are long. Returns also whether there may be older ones.
        """
        found: list[tuple[str, list[str]]] = []
        size, end, more = 0, "+" if before is None else f"({before}", True
        while more and len(found) < limit and size < PART_BYTES:
            part = await older(self._store, self._store.keys.of("inbox", inbox), end, "-", _PART)
            found += part
            size += sum(len(text) for _, fields in part for text in fields)
            more = len(part) == _PART
            end = f"({part[-1][0]}" if part else end
        more = more or len(found) > limit
        return [(entry, message(inbox, unpacked(fields))) for entry, fields in found[:limit]], more


def opened_message(value: str) -> OpenedMessage | None:
    """Return a value of the hash of opened messages; None if a disk has altered it so that there is no message."""
    try:
        found = msgspec.json.decode(value, type=OpenedMessage)
        pairs(found.fields)
    except (msgspec.MsgspecError, ValueError):
        return None
    opened_ms = time_of(str(found.opened_ms)) or 0
    entry = found.entry if is_stream_id(found.entry) else f"{opened_ms}-0"
    return msgspec.structs.replace(found, entry=entry, opened_ms=opened_ms)


def open_message(whole: Message, opened: OpenedMessage | None = None, *, by: str | None = None) -> OpenMessage:
    """Return a message as a person's inbox shows it: `opened`, `by` whom."""
    known: dict[str, Any] = {name: getattr(whole, name) for name in whole.__struct_fields__}
    if opened is None:
        return OpenMessage(**known)
    return OpenMessage(**known, opened_at=iso(opened.opened_ms), opened_by=by)
