"""The route of the history."""

from __future__ import annotations

import msgspec

from postino.errors import BadPage
from postino.model import HistoryPage
from postino.rest.call import ApiCall
from postino.rest.parse import stream_id
from postino.rest.records import HistoryQuery, Nothing
from postino.rest.render import with_trees


async def listing(call: ApiCall[HistoryQuery, Nothing]) -> HistoryPage:
    """List accepted messages and broadcasts, newest first; with a token below admin only those of its agent."""
    asked = call.query
    agent = asked.agent
    if call.restricted is not None:
        agent = agent or call.restricted.name
        await call.check_own(agent, "agent")
    before = None if asked.before is None else _entry(asked.before)
    if before == "0-0":  # nothing is older, and Valkey refuses the range
        return HistoryPage(items=[], more=False)
    history = call.broker.history
    page = await history.search(agent=agent, with_=asked.with_, q=asked.q, before=before, limit=asked.limit)
    if not asked.render:
        return page
    return msgspec.structs.replace(page, items=await with_trees(call.state.renderer, page.items))


def _entry(given: str) -> str:
    found = stream_id(given) if "-" in given else None
    if found is None:
        raise BadPage("before must be the `before` or an `entry` of an earlier page", field="before")
    return found
