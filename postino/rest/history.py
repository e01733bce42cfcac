"""The routes of the history and of its threads."""

from __future__ import annotations

from typing import Any

import msgspec

from postino.broker.history_filter import Search
from postino.broker.threads import Conversation, ThreadPage, conversation
from postino.history_entry import HistoryPage
from postino.rest.call import ApiCall
from postino.rest.history_records import HistoryQuery, ThreadQuery, ThreadsQuery
from postino.rest.parse import entry_of
from postino.rest.parts import rendered
from postino.rest.records import Nothing
from postino.values import check_thread


async def listing(call: ApiCall[HistoryQuery, Nothing]) -> HistoryPage:
    """List accepted messages and broadcasts, newest first; with a token below admin only those of its agent."""
    asked = call.query
    agent, before = await _allowed(call, asked.agent), entry_of(asked.before, "before")
    search = Search(
        agent=agent,
        with_=asked.with_,
        from_=asked.from_,
        to=asked.to,
        thread=asked.thread,
        state=asked.state,
        q=asked.q,
        id=asked.id,
        after=entry_of(asked.after, "after"),
    )
    page = await call.broker.history.search(search, before=before, limit=asked.limit)
    if any(each.id in (asked.q, asked.id) for each in page.items):
        sought = await call.broker.broadcasts.with_readers(page.items)
        page = msgspec.structs.replace(page, items=sought)
    return await rendered(call, page)


async def threads(call: ApiCall[ThreadsQuery, Nothing]) -> ThreadPage:
    """List threads, the one with the newest message first; with a token below admin only those of its agent."""
    asked = call.query
    agent, before = await _allowed(call, asked.agent), entry_of(asked.before, "before")
    return await call.broker.threads.page(agent=agent, before=before, limit=asked.limit)


async def thread(call: ApiCall[ThreadQuery, Nothing]) -> Conversation:
    """Return the newest messages of a thread, oldest first; with a token below admin only those of its agent."""
    asked = call.query
    agent, before = await _allowed(call, None), entry_of(asked.before, "before")
    name = check_thread(call.path["thread"])
    page = await call.broker.history.search(Search(agent=agent, thread=name), before=before, limit=asked.limit)
    return conversation(name, await rendered(call, page), newest=before is None)


async def _allowed(call: ApiCall[Any, Nothing], agent: str | None) -> str | None:
    """Return the agent whose mail the caller asks for and may see; None: that of all."""
    if call.restricted is None:
        return agent
    agent = agent or call.restricted.name
    await call.check_own(agent, "agent")
    return agent
