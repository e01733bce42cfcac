"""Routes of broadcasts: list, send, read as an agent, clear."""

from __future__ import annotations

from postino.errors import naming
from postino.model import Broadcast, BroadcastDraft, BroadcastSent
from postino.rest.call import ApiCall, merged
from postino.rest.parts import PartPage, RenderedParts, page_of, rendered
from postino.rest.records import (
    BroadcastBody,
    BroadcastReadQuery,
    Cleared,
    Nothing,
    Seen,
    SeenBody,
    UnseenBroadcasts,
)
from postino.values import DEFAULT_PAGE


async def listing(call: ApiCall[RenderedParts, Nothing]) -> PartPage[Broadcast]:
    """List the broadcasts, oldest first; moves no cursor."""
    asked = call.query
    return await rendered(call, page_of(asked, await call.broker.broadcasts.part(asked.limit, asked.place())))


async def broadcast(call: ApiCall[Nothing, BroadcastBody]) -> BroadcastSent:
    """Accept a broadcast."""
    asked = call.body
    draft = BroadcastDraft(id=call.id(asked.id), body=asked.body)
    sender = await call.sender(asked.from_)
    with naming(draft.id):
        sent = await call.broker.broadcasts.broadcast(draft, sender)
    await call.note_act(sender)
    return sent


async def read(call: ApiCall[BroadcastReadQuery, BroadcastReadQuery]) -> UnseenBroadcasts:
    """Return the broadcasts that an agent has not seen. With `ack: lease` its cursor moves only by a later `seen`."""
    asked = merged(call.query, call.body)
    broadcasts, lease = call.broker.broadcasts, asked.ack == "lease"
    batch = await broadcasts.read(call.agent(), asked.limit or DEFAULT_PAGE, lease=lease)
    if lease and batch.items:
        await broadcasts.mark_given(batch.agent, batch.cursor)
    elif lease and batch.missed:  # nothing is given whose id the reader could call seen: it is told this once
        await broadcasts.move_cursor(batch.agent, batch.cursor)
    return UnseenBroadcasts(items=batch.items, more=batch.more, missed=batch.missed, agent=batch.agent)


async def seen(call: ApiCall[Nothing, SeenBody]) -> Seen:
    """Move an agent's cursor past a broadcast that it was given; never back."""
    return Seen(agent=await call.broker.broadcasts.seen(call.agent(), call.body.id))


async def clear(call: ApiCall[Nothing, Nothing]) -> Cleared:
    """Delete all broadcasts."""
    return Cleared(cleared=await call.broker.broadcasts.clear())
