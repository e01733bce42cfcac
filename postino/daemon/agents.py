"""Routes of agents: who there is, heartbeat, rename, forget."""

from __future__ import annotations

from postino.daemon.call import Call
from postino.daemon.records import Done, Forgotten, NameChanged, Nothing, Page, Paging, RenameBody
from postino.model import Agent, check_name


async def listing(call: Call[Paging, Nothing]) -> Page[Agent]:
    """List the known agents."""
    page = call.query
    items, total = await call.broker.agents(page.limit, page.offset)
    return Page(items=items, total=total, limit=page.limit, offset=page.offset)


async def one(call: Call[Nothing, Nothing]) -> Agent:
    """Return one agent."""
    return await call.broker.agent(call.agent())


async def forget(call: Call[Nothing, Nothing]) -> Done:
    """Forget an agent that is offline and has no mail."""
    await call.broker.forget(call.agent())
    return Done()


async def heartbeat(call: Call[Nothing, Nothing]) -> Agent:
    """Keep an agent online for 30 s."""
    return await call.broker.heartbeat(call.agent())


async def rename(call: Call[Nothing, RenameBody]) -> NameChanged:
    """Give an agent another name; mail to the old one keeps arriving."""
    renamed = await call.broker.rename(call.agent(), check_name(call.body.name))
    return NameChanged(name=renamed.name, old=renamed.old, aliases=renamed.aliases)


async def cleanup(call: Call[Nothing, Nothing]) -> Forgotten:
    """Forget every agent that is offline and has no mail."""
    return Forgotten(forgotten=await call.broker.cleanup())
