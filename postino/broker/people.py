"""People: agents who read by eye. Each has an inbox, and all of them share that of `human`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import re
from collections.abc import Callable

import msgspec
import structlog

from postino.errors import NameTaken, PostinoError, StoreAway, UnknownAgent
from postino.event_place import stream_parts
from postino.model import Done, Message, OpenMessage, Record, iso
from postino.store.agents import AgentTable
from postino.store.entries import message, unpacked
from postino.store.names import AgentEntry, Names
from postino.store.people import OpenedMessage, PeopleTable, Taken, open_message
from postino.store.sessions import SessionTable
from postino.values import HUMAN, RESERVED

LONGEST_NAME = 64
FIRST = (0, 0)  # before each entry
MOST_OPEN = 200  # messages of one inbox; of more, those that were opened first are done

Place = tuple[int, int]  # an entry of a stream, in its order

log = structlog.get_logger()


class Person(Record, frozen=True, kw_only=True):
    """A person. `unread` counts the messages that nobody has opened, `open` also those neither answered nor done.

    Both are of the person's own mail and of that to `human`, without what others have opened. `here`: this daemon is
    that person's.
    """

    name: str
    online: bool
    last_seen: str | None = msgspec.field(name="lastSeen")
    unread: int
    open: int
    here: bool


class PersonInbox(Record, frozen=True, kw_only=True):
    """A person and what is open in their inbox and in that of `human`, newest first.

    `more`: there is older mail, which a call with this `before` returns.
    """

    person: Person
    items: list[OpenMessage]
    more: bool
    before: str | None


class Opened(Done, frozen=True, kw_only=True):
    """The answer to opening messages: those `seen`, those that others have taken, and those not in the inbox."""

    seen: list[str]
    taken: list[Taken]
    unknown: list[str]


class Ended(Done, frozen=True, kw_only=True):
    """The answer to marking messages as done."""

    done: list[str]
    unknown: list[str]


class People:
    """The people of one store, and the one whose daemon this is."""

    def __init__(self, table: PeopleTable, agents: AgentTable, sessions: SessionTable) -> None:
        #: is given the names of all people, in lower case, whenever they are read
        self.on_names: Callable[[frozenset[str]], object] = lambda _: None
        self._table = table
        self._agents = agents
        self._sessions = sessions
        self.here: str | None = None  # the person whose daemon this is, by the name of its start
        self._again = False  # the store was away when `settle` was called
        self._chosen: str | None = None

    async def settle(self, chosen: str | None) -> None:
        """Make the user of this daemon a person: under the name that was `chosen`, else under that of the login.

        Where an agent has the name, `.human` is added to it. A failure is logged: it must not keep a daemon from
        starting. If the store was away, `own` tries again.
        """
        name = chosen or login_name()
        self._chosen, self._again = chosen, False
        for each in (name, f"{name[: LONGEST_NAME - 6]}.human"):
            try:
                present, entry = await self._agents.entry(each)
                if entry is None or not entry.human:  # else nothing is written, for which replicas would be needed
                    present = await self._table.register(each, chosen=chosen is not None)
                self.here = present
                self._noted(await self._agents.names())
                break
            except NameTaken as error:
                log.warning("person_name_taken", name=each, error=error.message)
            except PostinoError as error:
                self._again = isinstance(error, StoreAway)
                log.error("person_not_registered", name=each, error=error.message)
                break

    async def own(self) -> str | None:
        """Return the present name of the person whose daemon this is."""
        if self.here is None and self._again:
            await self.settle(self._chosen)
        if self.here is None:
            return None
        present, entry = await self._agents.entry(self.here)
        if entry is None or not entry.human:  # forgotten, or the store was emptied
            with contextlib.suppress(NameTaken, StoreAway):
                return await self._table.register(self.here, chosen=True)
            return None
        return present

    async def register(self, name: str) -> Person:
        """Make a name that of a person. Repeating changes nothing.

        Raises:
            NameTaken: it is the name of an agent that has ever acted, other than by sending over HTTP.
        """
        present = await self._table.register(name, chosen=False)
        self._noted(await self._agents.names())
        return await self.one(present)

    async def names(self) -> list[str]:
        """Return the names of all people, sorted."""
        return self._noted(await self._agents.names())

    def _noted(self, names: Names) -> list[str]:
        people = names.people
        self.on_names(frozenset(name.lower() for each in people for name in names.all_of(each)))
        return people

    async def page(self, limit: int, offset: int) -> tuple[list[Person], int]:
        """Return people in the order of their names, and how many there are."""
        await self.own()
        shared = await self._table.opened(HUMAN)
        names = await self._agents.names()  # last: another call may change what it returns
        people = self._noted(names)
        wanted = people[offset : offset + limit]
        found = [self._describe(name, names.agents[name], shared) for name in wanted]
        return list(await asyncio.gather(*found)), len(people)

    async def one(self, name: str) -> Person:
        """Return a person.

        Raises:
            UnknownAgent: there is none of that name.
        """
        present, entry = await self._entry(name)
        return await self._describe(present, entry, await self._table.opened(HUMAN))

    async def inbox(self, name: str, limit: int, before: str | None = None) -> PersonInbox:
        """Return a person and what is open in their inbox and in that of `human`, newest first, before an entry.

        What has the same entry in both inboxes is not parted: there may be one message more than `limit`.

        Raises:
            UnknownAgent: there is none of that name.
        """
        person = await self.one(name)
        parts = await asyncio.gather(*(self._open(each, limit + 1, before) for each in (person.name, HUMAN)))
        found = sorted((each for part, _ in parts for each in part), key=lambda each: each[0], reverse=True)
        end = max(end for _, end in parts)  # what is older than it was not looked for in both
        shown = [
            each for at, each in enumerate(found) if each[0] >= end and (at < limit or each[0] == found[limit - 1][0])
        ]
        more = len(shown) < len(found) or end > FIRST
        return PersonInbox(
            person=person,
            items=[each for _, each in shown],
            more=more,
            before="-".join(map(str, shown[-1][0] if shown else end)) if more else None,
        )

    async def _open(self, inbox: str, limit: int, before: str | None) -> tuple[list[tuple[Place, OpenMessage]], Place]:
        """Return what is open before an entry, and back to which entry nothing is left out."""
        (waiting, more), opened = await asyncio.gather(
            self._table.unopened(inbox, limit, before), self._table.opened(inbox)
        )
        names = {reader: (await self._agents.entry(reader))[0] for reader in {each.reader for each in opened}}
        found = [(stream_parts(entry), open_message(each)) for entry, each in waiting]
        end = found[-1][0] if more and found else FIRST
        found += [
            (stream_parts(each.entry), open_message(_whole(inbox, each), each, by=names[each.reader]))
            for each in opened
            if before is None or stream_parts(each.entry) < stream_parts(before)
        ]
        return found, end

    async def seen(self, name: str, ids: list[str]) -> Opened:
        """Open messages of a person's inbox or of that of `human`, which the others then see as taken.

        Raises:
            UnknownAgent: there is no person of that name.
        """
        reader, _ = await self._entry(name)
        own, own_taken, left = await self._table.seen(reader, reader, ids)
        shared, taken, unknown = await self._table.seen(HUMAN, reader, left) if left else ([], [], [])
        for inbox, opened in ((reader, own), (HUMAN, shared)):
            if opened:
                await self._bound(inbox, reader)
        await self.acted(reader)
        return Opened(seen=[*own, *shared], taken=[*own_taken, *taken], unknown=unknown)

    async def _bound(self, inbox: str, reader: str) -> None:
        """Mark as done what was opened first, if too much is open."""
        if (await self._table.lengths(inbox))[1] > MOST_OPEN:
            opened = sorted(await self._table.opened(inbox), key=_age, reverse=True)
            ids = [unpacked(each.fields).get("id", "") for each in opened[MOST_OPEN:]]
            await self._table.done(inbox, reader, ids)

    async def done(self, name: str, ids: list[str]) -> Ended:
        """Mark messages of a person's inbox or of that of `human` as done, seen or not.

        Raises:
            UnknownAgent: there is no person of that name.
        """
        reader, _ = await self._entry(name)
        own, left = await self._table.done(reader, reader, ids)
        shared, unknown = await self._table.done(HUMAN, reader, left) if left else ([], [])
        await self.acted(reader)
        return Ended(done=[*own, *shared], unknown=unknown)

    async def acted(self, name: str) -> None:
        """Note that a person was there, who may have no page open. What they did is done: a failure is only logged."""
        try:
            _, entry = await self._agents.entry(name)
            if entry is not None and entry.human:
                await self._table.note_act(name)
        except PostinoError as error:
            log.warning("act_not_noted", person=name, error=error.message)

    async def answered(self, name: str, id: str) -> None:
        """Mark the message as done that a person has answered. The answer is sent already: a failure is only logged."""
        try:
            _, entry = await self._agents.entry(name)
            if entry is not None and entry.human:
                await self.done(name, [id])
        except PostinoError as error:
            log.warning("answered_not_done", id=id, error=error.message)

    async def _entry(self, name: str) -> tuple[str, AgentEntry]:
        present, entry = await self._agents.entry(name)
        if entry is None or not entry.human or present == HUMAN:
            people = await self.names()
            raise UnknownAgent(f"there is no person named {name}; people: {', '.join(people) or 'none'}", names=people)
        return present, entry

    async def _describe(self, name: str, entry: AgentEntry, shared: list[OpenedMessage]) -> Person:
        live, own, all_people = await asyncio.gather(
            self._sessions.live_of(entry.sessions), self._table.lengths(name), self._table.lengths(HUMAN)
        )
        taken = sum(1 for each in shared if each.reader in (name, *entry.aliases))
        return Person(
            name=name,
            online=bool(live),
            last_seen=iso(entry.seen) if entry.seen else None,
            unread=own[0] + all_people[0],
            open=sum(own) + all_people[0] + taken,
            here=self.here in (name, *entry.aliases),
        )


def login_name() -> str:
    """Return the name of this process's user as that of an agent."""
    try:
        login = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # as in a container that runs under any number
        login = ""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", login).lstrip("-._")[:LONGEST_NAME]
    return f"{name}.human" if name.lower() in RESERVED else name or "person"


def _age(opened: OpenedMessage) -> tuple[int, tuple[int, int]]:
    return opened.opened_ms, stream_parts(opened.entry)


def _whole(inbox: str, opened: OpenedMessage) -> Message:
    return message(inbox, unpacked(opened.fields), delivery=1)
