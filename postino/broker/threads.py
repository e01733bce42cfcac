"""Threads: the conversations that carry a title."""

from __future__ import annotations

import asyncio

import msgspec

from postino.broker.history import MAX_SECONDS, History
from postino.history_entry import HistoryEntry, HistoryPage
from postino.model import Record

MAX_LOOKED = 4_000  # entries of one call
_PART = 200
SHOWN = 120  # characters of the last message


class Thread(Record, frozen=True, kw_only=True):
    """A conversation: its participants in the order in which they came, and its newest message.

    `waiting` counts the messages that are not acknowledged, `dead` those given up. `text` is the beginning of the
    newest message.
    """

    thread: str
    participants: list[str]
    messages: int
    waiting: int
    dead: int
    began: str
    last_at: str
    last_from: str
    last_to: str
    text: str


class ThreadPage(Record, frozen=True, kw_only=True):
    """Threads, the one with the newest message first. While `more`, older ones are on the page `before` this one."""

    items: list[Thread]
    looked: int = 0
    more: bool
    before: str | None = None


class Conversation(HistoryPage, frozen=True, kw_only=True):
    """The newest messages of a thread, oldest first, and what they are together; None for none."""

    about: Thread | None


def conversation(thread: str, page: HistoryPage) -> Conversation:
    """Return the conversation that a page of messages of one thread is."""
    about = _thread(thread, page.items) if page.items else None
    return Conversation(items=page.items[::-1], looked=page.looked, more=page.more, before=page.before, about=about)


class Threads:
    """Lists the threads that the newest part of the history has."""

    def __init__(self, history: History) -> None:
        self._history = history

    async def page(self, *, agent: str | None = None, before: str | None = None, limit: int = 50) -> ThreadPage:
        """Return up to `limit` threads, the one with the newest message first, those of `agent` if it is given.

        One call looks at 4000 entries at most, or for one second; `before` is an entry of the history. The counts of a
        thread are those of the entries that were looked at; one that goes back further is on the next page again.
        """
        clock = asyncio.get_running_loop().time
        until, looked, more, place = clock() + MAX_SECONDS, 0, True, before
        found: dict[str, list[HistoryEntry]] = {}
        while more and looked < MAX_LOOKED and len(found) < limit and clock() < until:
            part = await self._history.search(agent=agent, threaded=True, before=place, limit=_PART)
            looked, more, place = looked + part.looked, part.more, part.before
            for each in part.items:
                found.setdefault(each.thread or "", []).append(each)
        return ThreadPage(items=[_thread(*each) for each in found.items()], looked=looked, more=more, before=place)


def _thread(name: str, entries: list[HistoryEntry]) -> Thread:
    """Describe the messages of a thread, the newest first."""
    participants = {party: None for each in reversed(entries) for party in (each.from_, *_recipients(each))}
    last = entries[0]
    return Thread(
        thread=name,
        participants=list(participants),
        messages=len(entries),
        waiting=sum(1 for each in entries if each.state in ("queued", "leased")),
        dead=sum(1 for each in entries if each.state in ("dead", "expired")),
        began=entries[-1].timestamp,
        last_at=last.timestamp,
        last_from=last.from_,
        last_to=last.to,
        text=" ".join(last.body.split())[:SHOWN],
    )


def _recipients(entry: HistoryEntry) -> list[str]:
    return [entry.to] if isinstance(entry.recipients, msgspec.UnsetType) else [each.to for each in entry.recipients]
