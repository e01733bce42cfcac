"""Routes of broadcasts: list, send, clear, and read as an agent."""

from __future__ import annotations

import secrets

from postino.model import DEFAULT_PAGE, Broadcast, BroadcastDraft, BroadcastSent
from postino.rest.call import Call, merged
from postino.rest.records import (
    BroadcastBody,
    BroadcastReadQuery,
    Cleared,
    FeedPart,
    Nothing,
    Page,
    Paging,
)


async def listing(call: Call[Paging, Nothing]) -> Page[Broadcast]:
    """List them, oldest first; moves no cursor."""
    page = call.query
    items, total = await call.broker.broadcasts.page(page.limit, page.offset)
    return Page(items=items, total=total, limit=page.limit, offset=page.offset)


async def broadcast(call: Call[Nothing, BroadcastBody]) -> BroadcastSent:
    """Accept a message for all."""
    asked = call.body
    draft = BroadcastDraft(id=call.id(asked.id) or secrets.token_hex(16), body=asked.body)
    return await call.broker.broadcasts.broadcast(draft, call.sender(asked.from_))


async def read(call: Call[BroadcastReadQuery, BroadcastReadQuery]) -> FeedPart:
    """Return what an agent has not seen, and move its cursor behind it."""
    limit = merged(call.query, call.body).limit or DEFAULT_PAGE
    batch = await call.broker.broadcasts.read(call.agent(), limit)
    return FeedPart(items=batch.items, more=batch.more, missed=batch.missed, agent=batch.agent)


async def clear(call: Call[Nothing, Nothing]) -> Cleared:
    """Drop all broadcasts."""
    return Cleared(cleared=await call.broker.broadcasts.clear())
