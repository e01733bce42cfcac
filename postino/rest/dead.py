"""Routes of dead letters: list, requeue, clear."""

from __future__ import annotations

from postino.model import Dead
from postino.rest.call import ApiCall
from postino.rest.parts import PartPage, Parts, page_of
from postino.rest.records import Cleared, Nothing, RequeueBody, Requeued


async def listing(call: ApiCall[Parts, Nothing]) -> PartPage[Dead]:
    """List an agent's dead letters, oldest first."""
    asked = call.query
    return page_of(asked, await call.broker.dead.part(call.agent(), asked.limit, asked.place()))


async def requeue(call: ApiCall[Nothing, RequeueBody]) -> Requeued:
    """Move the named dead letters, or all of them, to the tail of the inbox."""
    return Requeued(requeued=await call.broker.dead.requeue(call.agent(), call.body.ids))


async def clear(call: ApiCall[Nothing, Nothing]) -> Cleared:
    """Delete an agent's dead letters."""
    return Cleared(cleared=await call.broker.dead.clear(call.agent()))
