"""Routes that look back and at what waits: history and check."""

from __future__ import annotations

from postino.errors import BadPage
from postino.model import HistoryPage, check_any_name, check_text
from postino.rest.call import Call
from postino.rest.parse import stream_id
from postino.rest.records import HistoryQuery, Nothing


async def listing(call: Call[HistoryQuery, Nothing]) -> HistoryPage:
    """List accepted messages and broadcasts, newest first."""
    asked = call.query
    before = None if asked.before is None else _entry(asked.before)
    if before == "0-0":  # nothing is older, and Valkey takes no such question
        return HistoryPage(items=[], more=False)
    return await call.broker.history.search(
        agent=None if asked.agent is None else check_any_name(asked.agent, "agent"),
        with_=None if asked.with_ is None else check_any_name(asked.with_, "with"),
        q=None if asked.q is None else check_text(asked.q, "q", longest=256),
        before=before,
        limit=asked.limit,
    )


def _entry(given: str) -> str:
    found = stream_id(given) if "-" in given else None
    if found is None:
        raise BadPage("before must be the `before` or an `entry` of an earlier page", field="before")
    return found
