"""Routes of agents: list, one, heartbeat, rename, forget."""

from __future__ import annotations

from postino.model import Agent, Done, Renamed, WhoAmI
from postino.rest.call import ApiCall
from postino.rest.records import AgentsQuery, Forgotten, Nothing, Page, RenameBody


async def whoami(call: ApiCall[Nothing, Nothing]) -> WhoAmI:
    """Return who the caller is: the agent of its named token or of the session in which it runs, or a person."""
    if call.caller is not None:
        return WhoAmI(agent=await call.broker.mail.present(call.caller.name), verified=True)
    if (found := await call.session_agent()) is not None:
        return WhoAmI(agent=found.name, verified=found.proved)
    person = await call.person()
    return WhoAmI(agent=person, verified=person is not None)


async def listing(call: ApiCall[AgentsQuery, Nothing]) -> Page[Agent]:
    """List the known agents, or with `online` those that are online."""
    asked, agents = call.query, call.broker.agents
    list_page = agents.page_online if asked.online else agents.page
    return asked.page(*await list_page(asked.limit, asked.offset))


async def one(call: ApiCall[Nothing, Nothing]) -> Agent:
    """Return one agent."""
    return await call.broker.agents.one(call.recipient())


async def forget(call: ApiCall[Nothing, Nothing]) -> Done:
    """Forget an agent that is offline and has no mail."""
    await call.broker.agents.forget(call.agent())
    return Done()


async def heartbeat(call: ApiCall[Nothing, Nothing]) -> Agent:
    """Keep an agent online for 30 s."""
    return await call.broker.agents.heartbeat(call.agent())


async def rename(call: ApiCall[Nothing, RenameBody]) -> Renamed:
    """Rename an agent; messages to the old name still arrive."""
    return await call.broker.agents.rename(call.agent(), call.body.name)


async def cleanup(call: ApiCall[Nothing, Nothing]) -> Forgotten:
    """Forget every agent that is offline and has no mail."""
    return Forgotten(forgotten=await call.broker.agents.cleanup())
