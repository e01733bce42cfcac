"""Routes of broadcasts: list, send, clear, and read as an agent."""

from __future__ import annotations

import secrets

from postino.daemon.call import Call, merged
from postino.daemon.records import (
    Announcement,
    BroadcastBody,
    BroadcastReadQuery,
    Cleared,
    FeedPart,
    Nothing,
    Page,
    Paging,
    Published,
)
from postino.model import DEFAULT_PAGE, Broadcast, Draft, check_text


async def listing(call: Call[Paging, Nothing]) -> Page[Broadcast]:
    """List the feed, oldest first; moves no cursor."""
    page = call.query
    items, total = await call.broker.broadcasts(page.limit, page.offset)
    return Page(items=items, total=total, limit=page.limit, offset=page.offset)


async def broadcast(call: Call[Nothing, BroadcastBody]) -> Published:
    """Accept a message for all."""
    asked = call.body
    draft = Draft(id=call.id(asked.id) or secrets.token_hex(16), body=check_text(asked.body, "body"))
    said = await call.broker.broadcast(draft, call.sender(asked.from_))
    return Published(id=said.id, seq=said.seq, created=said.created, durability=said.durability)


async def read(call: Call[BroadcastReadQuery, BroadcastReadQuery]) -> FeedPart:
    """Return what an agent has not seen, and move its cursor behind it."""
    limit = merged(call.query, call.body).limit or DEFAULT_PAGE
    batch = await call.broker.read_broadcasts(call.agent(), limit)
    items = [_announcement(each) for each in batch.items]
    return FeedPart(items=items, more=batch.more, missed=batch.missed, agent=batch.agent)


def _announcement(found: Broadcast) -> Announcement:
    return Announcement(**{name: getattr(found, name) for name in Announcement.__struct_fields__})


async def clear(call: Call[Nothing, Nothing]) -> Cleared:
    """Drop the whole feed."""
    return Cleared(cleared=await call.broker.clear_broadcasts())
