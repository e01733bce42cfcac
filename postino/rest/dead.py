"""Routes of dead letters: list, requeue, clear."""

from __future__ import annotations

from postino.model import Dead, check_id
from postino.rest.call import Call
from postino.rest.records import Cleared, Nothing, Page, Paging, RequeueBody, Requeued


async def listing(call: Call[Paging, Nothing]) -> Page[Dead]:
    """List an agent's dead letters, oldest first."""
    page = call.query
    items, total = await call.broker.dead.page(call.agent(), page.limit, page.offset)
    return Page(items=items, total=total, limit=page.limit, offset=page.offset)


async def requeue(call: Call[Nothing, RequeueBody]) -> Requeued:
    """Put dead letters, or all of them, back at the tail of the inbox."""
    ids = None if call.body.ids is None else [check_id(each, "ids") for each in call.body.ids]
    return Requeued(requeued=await call.broker.dead.requeue(call.agent(), ids))


async def clear(call: Call[Nothing, Nothing]) -> Cleared:
    """Drop an agent's dead letters."""
    return Cleared(cleared=await call.broker.dead.clear(call.agent()))
