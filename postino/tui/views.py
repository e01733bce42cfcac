"""What each view shows, and how it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from postino.json_text import Json
from postino.tui.mailroom import PAGE, InboxClient
from postino.tui.search import asked

Name = Literal["inbox", "messages", "threads", "broadcasts"]

TITLES: dict[Name, str] = {
    "inbox": "Inbox",
    "messages": "Messages",
    "threads": "Threads",
    "broadcasts": "Broadcasts",
}


@dataclass(frozen=True, slots=True)
class Place:
    """What is shown: a view, of one agent or all (None), of one thread, and what is searched for."""

    view: Name = "inbox"
    agent: str | None = None
    thread: str | None = None
    sought: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """What was found: messages, newest first, and where older ones begin, None if there are none; the person."""

    items: list[Json]
    before: str | None = None
    person: Json | None = None

    @property
    def keys(self) -> list[str]:
        """What tells its messages from all others."""
        return [key(item) for item in self.items]


def refreshed(before: Page, now: Page) -> Page:
    """Return what is shown after a refresh: the first page again, and the older messages that were there."""
    if now.person is not None:
        return now
    known = {key(item) for item in now.items}
    places = [at for at, item in enumerate(before.items) if key(item) in known]
    older = before.items[places[-1] + 1 :] if places and now.before else []
    return replace(now, items=[*now.items, *older], before=before.before) if older else now


def missing(now: Page, before: Page) -> int:
    """Return how many messages of an inbox that were shown `before` can have been displaced from `now` by new ones."""
    known = set(before.keys)
    new = next((at for at, each in enumerate(now.keys) if each in known), len(now.items))
    return max(0, new + len(before.items) - len(now.items)) if now.before else 0


def key(item: Json) -> str:
    """Return what tells a message from all others: an id is unique per recipient."""
    return f"{item.get('to', 'all')} {item['id']}"


def load(client: InboxClient, place: Place, me: str | None, before: str | None = None, wanted: int = PAGE) -> Page:
    """Ask for the messages of a place, or for the ones before an entry; of an inbox for as many as are `wanted`.

    An inbox is asked for anew as a whole: what was done elsewhere has left it.
    """
    if place.view == "inbox":
        if me is None:
            return Page([])
        found = client.rendered_inbox(me, wanted, before)
        return Page(found["items"], before=found["before"], person=found["person"])
    if place.view == "broadcasts":
        skipped = int(before or 0)
        items, more = client.rendered_broadcasts(skipped)
        return Page(items, before=str(skipped + len(items)) if more else None)
    question = asked(place.sought)
    if before is not None:
        question["before"] = before
    if place.view == "threads":
        if place.thread is None:
            return Page([])
        question["thread"] = place.thread
    elif place.agent is not None:
        question["agent"] = place.agent
    found = client.page_of_history(**question)
    return Page(found["items"], before=found["before"] if found["more"] else None)
