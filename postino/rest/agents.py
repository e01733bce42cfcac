"""Routes of agents: who there is, heartbeat, rename, forget."""

from __future__ import annotations

from postino.model import Agent, Renamed, check_name
from postino.rest.call import Call
from postino.rest.records import Done, Forgotten, Nothing, Page, Paging, RenameBody


async def listing(call: Call[Paging, Nothing]) -> Page[Agent]:
    """List the known agents."""
    page = call.query
    items, total = await call.broker.agents.page(page.limit, page.offset)
    return Page(items=items, total=total, limit=page.limit, offset=page.offset)


async def one(call: Call[Nothing, Nothing]) -> Agent:
    """Return one agent."""
    return await call.broker.agents.one(call.agent())


async def forget(call: Call[Nothing, Nothing]) -> Done:
    """Forget an agent that is offline and has no mail."""
    await call.broker.agents.forget(call.agent())
    return Done()


async def heartbeat(call: Call[Nothing, Nothing]) -> Agent:
    """Keep an agent online for 30 s."""
    return await call.broker.agents.heartbeat(call.agent())


async def rename(call: Call[Nothing, RenameBody]) -> Renamed:
    """Give an agent another name; mail to the old one keeps arriving."""
    return await call.broker.agents.rename(call.agent(), check_name(call.body.name))


async def cleanup(call: Call[Nothing, Nothing]) -> Forgotten:
    """Forget every agent that is offline and has no mail."""
    return Forgotten(forgotten=await call.broker.agents.cleanup())
