"""What the rooms of the broker share: the settings and the store's rooms under them."""

from __future__ import annotations

from dataclasses import dataclass

from postino.broker.chores import Chores
from postino.broker.feed import EventFeed
from postino.broker.hints import Hints
from postino.config import Settings
from postino.errors import UnknownAgent
from postino.store.feed import Broadcasts
from postino.store.inbox import Inboxes
from postino.store.journal import Journal
from postino.store.roster import Roster
from postino.store.store import Store
from postino.store.whereabouts import Whereabouts


@dataclass
class Core:
    """One open broker's parts. The rooms inherit it, so that each verb is written once."""

    settings: Settings
    store: Store
    inboxes: Inboxes
    announcements: Broadcasts
    roster: Roster
    journal: Journal
    feed: EventFeed
    chores: Chores
    hints: Hints
    whereabouts: Whereabouts
    durability: str

    async def nearest(self, name: str) -> list[str]:
        """Return up to three known names that resemble `name`, best first."""
        return await self.hints.nearest(name)

    async def known(self, name: str) -> str:
        """Return the present name of an agent that must exist.

        Raises:
            UnknownAgent: with the nearest names.
        """
        present, entry = await self.roster.entry(name)
        if entry is None:
            raise await self.unknown(name)
        return present

    async def unknown(self, name: str) -> UnknownAgent:
        """Return the refusal for a name nobody has."""
        near = await self.hints.nearest(name, fresh=True)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        return UnknownAgent(f"there is no agent named {name}{hint}", names=near)
