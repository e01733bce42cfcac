"""Routes that look back and at what waits: history and check."""

from __future__ import annotations

from aiohttp import web

from postino.daemon.answers import text
from postino.daemon.call import Call
from postino.daemon.parse import stream_id
from postino.daemon.records import HistoryQuery, Nothing
from postino.errors import BadPage
from postino.model import Check, History, check_party, check_text


async def listing(call: Call[HistoryQuery, Nothing]) -> History:
    """List accepted messages and broadcasts, newest first."""
    asked = call.query
    before = None if asked.before is None else _entry(asked.before)
    if before == "0-0":  # nothing is older, and Valkey takes no such question
        return History(items=[], more=False)
    return await call.broker.history(
        agent=None if asked.agent is None else check_party(asked.agent, "agent"),
        with_=None if asked.with_ is None else check_party(asked.with_, "with"),
        q=None if asked.q is None else check_text(asked.q, "q", longest=256),
        before=before,
        limit=asked.limit,
    )


def _entry(given: str) -> str:
    found = stream_id(given) if "-" in given else None
    if found is None:
        raise BadPage("before must be the `before` or an `entry` of an earlier page", field="before")
    return found


async def check(call: Call[Nothing, Nothing]) -> Check | web.Response:
    """Count what waits for an agent; as text/plain one line for a hook to print, or nothing."""
    agent = call.agent()
    found = await call.broker.check(agent)
    if "text/plain" not in call.request.headers.get("Accept", ""):
        return found
    senders = await call.broker.waiting_senders(agent) if found.unread_messages else []
    return text(hint(found, senders))


def hint(found: Check, senders: list[str]) -> str:
    """Return what waits as one line, or nothing: counts and checked names only, never a body."""
    parts = []
    if found.unread_messages:
        named = f" (from {', '.join(senders)})" if senders else ""  # empty: read by another in between
        parts.append(_count(found.unread_messages, "unread message") + named)
    if found.unseen_broadcasts:
        parts.append(_count(found.unseen_broadcasts, "unseen broadcast"))
    return f"postino: {', '.join(parts)}" if parts else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
