"""Threads: the conversations that carry a title."""

from __future__ import annotations

import asyncio

import msgspec

from postino.broker.history import MAX_SECONDS, History
from postino.broker.history_filter import Search
from postino.history_entry import HistoryEntry, HistoryPage
from postino.model import Record

MAX_LOOKED = 4_000  # entries of one call
_PART = 200
SHOWN = 120  # characters of the last message


class Thread(Record, frozen=True, kw_only=True):
    """A conversation: its participants in the order in which they came, and its newest message.

    `waiting` counts the messages that are not acknowledged, `dead` those given up. `text` is the beginning of the
    newest message. Unless it is `complete`, the thread may have messages that were not looked at: counts, participants
    and `began` are those of the ones that were.
    """

    thread: str
    participants: list[str]
    messages: int
    waiting: int
    dead: int
    complete: bool
    began: str
    last_at: str
    last_from: str
    last_to: str
    text: str


class ThreadPage(Record, frozen=True, kw_only=True):
    """Threads, the one with the newest message first, by the `looked` newest entries of the history before `before`.

    While `more`, the next page goes on there: with other threads, and with older messages of these, so that the counts
    of a thread on all pages add up to its own.
    """

    items: list[Thread]
    looked: int = 0
    more: bool
    before: str | None = None


class Conversation(HistoryPage, frozen=True, kw_only=True):
    """The newest messages of a thread, oldest first, and what they are together; None for none."""

    about: Thread | None


def conversation(thread: str, page: HistoryPage, *, newest: bool) -> Conversation:
    """Return the conversation that a page of messages of one thread is; `newest`: there are no later ones."""
    about = _thread(thread, page.items, complete=newest and not page.more) if page.items else None
    return Conversation(items=page.items[::-1], looked=page.looked, more=page.more, before=page.before, about=about)


class Threads:
    """Lists the threads that the newest part of the history has."""

    def __init__(self, history: History) -> None:
        self._history = history

    async def page(self, *, agent: str | None = None, before: str | None = None, limit: int = 50) -> ThreadPage:
        """Return up to `limit` threads, the one with the newest message first, those of `agent` if it is given.

        One call looks at 4000 entries at most, or for one second, and ends where one thread more begins; `before` is an
        entry of the history.
        """
        clock = asyncio.get_running_loop().time
        until, looked, more, place = clock() + MAX_SECONDS, 0, True, before
        asked, found = Search(agent=agent, threaded=True), dict[str, list[HistoryEntry]]()
        while more and looked < MAX_LOOKED and clock() < until:
            part = await self._history.search(asked, before=place, limit=_PART)
            looked, more = looked + part.looked, part.more
            for each in part.items:
                if len(found) == limit and each.thread not in found:
                    return _page(found, before, looked, place)
                found.setdefault(each.thread or "", []).append(each)
                place = each.entry
            place = part.before
        return _page(found, before, looked, place if more else None)


def _page(found: dict[str, list[HistoryEntry]], before: str | None, looked: int, place: str | None) -> ThreadPage:
    complete = before is None and place is None
    items = [_thread(*each, complete=complete) for each in found.items()]
    return ThreadPage(items=items, looked=looked, more=place is not None, before=place)


def _thread(name: str, entries: list[HistoryEntry], *, complete: bool) -> Thread:
    """Describe the messages of a thread, the newest first."""
    participants = {party: None for each in reversed(entries) for party in (each.from_, *_recipients(each))}
    last = entries[0]
    return Thread(
        thread=name,
        participants=list(participants),
        messages=len(entries),
        waiting=sum(1 for each in entries if each.state in ("queued", "leased")),
        dead=sum(1 for each in entries if each.state in ("dead", "expired")),
        complete=complete,
        began=entries[-1].timestamp,
        last_at=last.timestamp,
        last_from=last.from_,
        last_to=last.to,
        text=" ".join(last.body.split())[:SHOWN],
    )


def _recipients(entry: HistoryEntry) -> list[str]:
    return [entry.to] if isinstance(entry.recipients, msgspec.UnsetType) else [each.to for each in entry.recipients]
