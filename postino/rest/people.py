"""Routes of people: list, register, inbox, seen, done."""

from __future__ import annotations

from postino.broker.people import Ended, Opened, Person, PersonInbox
from postino.rest.call import ApiCall
from postino.rest.history_records import InboxQuery
from postino.rest.parse import entry_of
from postino.rest.parts import rendered
from postino.rest.records import MessageIds, Nothing, Page, Paging


async def listing(call: ApiCall[Paging, Nothing]) -> Page[Person]:
    """List the people that agents can write to."""
    asked = call.query
    return asked.page(*await call.broker.people.page(asked.limit, asked.offset))


async def register(call: ApiCall[Nothing, Nothing]) -> Person:
    """Make a name that of a person; repeating changes nothing."""
    return await call.broker.people.register(call.agent())


async def inbox(call: ApiCall[InboxQuery, Nothing]) -> PersonInbox:
    """Return what is open in a person's inbox and in that of all people, newest first."""
    before = entry_of(call.query.before, "before")
    return await rendered(call, await call.broker.people.inbox(call.agent(), call.query.limit, before))


async def seen(call: ApiCall[Nothing, MessageIds]) -> Opened:
    """Note that a person has seen messages: read and acknowledged, they stay open until answered or done."""
    return await call.broker.people.seen(call.agent(), call.body.ids)


async def done(call: ApiCall[Nothing, MessageIds]) -> Ended:
    """Mark messages of a person as done, seen or not."""
    return await call.broker.people.done(call.agent(), call.body.ids)
