"""Routes of dead letters: list, requeue, clear."""

from __future__ import annotations

from postino.model import Dead
from postino.rest.call import ApiCall
from postino.rest.records import Cleared, Nothing, Page, Paging, RequeueBody, Requeued


async def listing(call: ApiCall[Paging, Nothing]) -> Page[Dead]:
    """List an agent's dead letters, oldest first."""
    page = call.query
    items, total = await call.broker.dead.page(call.agent(), page.limit, page.offset)
    return Page(items=items, total=total, limit=page.limit, offset=page.offset)


async def requeue(call: ApiCall[Nothing, RequeueBody]) -> Requeued:
    """Move the named dead letters, or all of them, to the tail of the inbox."""
    return Requeued(requeued=await call.broker.dead.requeue(call.agent(), call.body.ids))


async def clear(call: ApiCall[Nothing, Nothing]) -> Cleared:
    """Delete an agent's dead letters."""
    return Cleared(cleared=await call.broker.dead.clear(call.agent()))
