"""Routes of broadcasts: list, send, read as an agent, clear."""

from __future__ import annotations

from postino.errors import naming
from postino.model import DEFAULT_PAGE, Broadcast, BroadcastDraft, BroadcastSent
from postino.rest.call import ApiCall, merged
from postino.rest.records import (
    BroadcastBody,
    BroadcastReadQuery,
    Cleared,
    Nothing,
    Page,
    Paging,
    UnseenBroadcasts,
)


async def listing(call: ApiCall[Paging, Nothing]) -> Page[Broadcast]:
    """List the broadcasts, oldest first; moves no cursor."""
    page = call.query
    items, total = await call.broker.broadcasts.page(page.limit, page.offset)
    return Page(items=items, total=total, limit=page.limit, offset=page.offset)


async def broadcast(call: ApiCall[Nothing, BroadcastBody]) -> BroadcastSent:
    """Accept a broadcast."""
    asked = call.body
    draft = BroadcastDraft(id=call.id(asked.id), body=asked.body)
    with naming(draft.id):
        return await call.broker.broadcasts.broadcast(draft, call.sender(asked.from_))


async def read(call: ApiCall[BroadcastReadQuery, BroadcastReadQuery]) -> UnseenBroadcasts:
    """Return the broadcasts that an agent has not seen, and move its cursor past them."""
    limit = merged(call.query, call.body).limit or DEFAULT_PAGE
    batch = await call.broker.broadcasts.read(call.agent(), limit)
    return UnseenBroadcasts(items=batch.items, more=batch.more, missed=batch.missed, agent=batch.agent)


async def clear(call: ApiCall[Nothing, Nothing]) -> Cleared:
    """Delete all broadcasts."""
    return Cleared(cleared=await call.broker.broadcasts.clear())
