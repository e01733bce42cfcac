"""What the rooms of the broker share: the settings and the store's rooms under them."""

from __future__ import annotations

import asyncio
import difflib
from dataclasses import dataclass, field

from postino.broker.chores import Chores
from postino.broker.feed import EventFeed
from postino.config import Settings
from postino.errors import UnknownAgent
from postino.store.feed import Broadcasts
from postino.store.inbox import Inboxes
from postino.store.journal import Journal
from postino.store.roster import Names, Roster
from postino.store.store import Store

NAMES_S = 1.0  # hints may be this old: many sends to a name nobody has must not read the roster each


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
    durability: str
    _names: Names | None = None
    _names_at: float = 0.0
    _names_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def nearest(self, name: str) -> list[str]:
        """Return up to three known names that resemble `name`, best first."""
        names = await self._recent_names()
        candidates = {each.lower(): each for each in [*names.seen(), *names.aliases] if each != name}
        return [candidates[near] for near in difflib.get_close_matches(name.lower(), candidates, 3)]

    async def _recent_names(self) -> Names:
        async with self._names_lock:
            now = asyncio.get_running_loop().time()
            if self._names is None or now - self._names_at > NAMES_S:
                self._names, self._names_at = await self.roster.names(), now
            return self._names

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
        near = await self.nearest(name)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        return UnknownAgent(f"there is no agent named {name}{hint}", names=near)
