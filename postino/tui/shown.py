"""The messages of the place that is shown: one load after another, so that none undoes what another has found."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from postino.json_text import Json
from postino.tui import views
from postino.tui.mailroom import PAGE, Mailroom
from postino.tui.views import Page, Place


class Shown:
    """The page of a place; `me`: the person whose inbox it may be."""

    def __init__(self, mailroom: Mailroom, place: Place, me: str | None) -> None:
        self.place = place
        self.me = me
        self.page = Page([])
        self.person: Json | None = None
        self.is_loaded = False
        self._mailroom = mailroom
        self._one = asyncio.Lock()
        self._taken_out: dict[str, bool] = {}  # keys, and whether the daemon knows

    @property
    def more(self) -> bool:
        """Whether there are messages that are not loaded."""
        return not self.is_loaded or self.page.before is not None

    def go(self, place: Place) -> None:
        """Show another place, of which nothing is loaded."""
        self.place, self.page, self.is_loaded = place, Page([]), False

    async def refresh(self, marked: Callable[[], str | None]) -> None:
        """Load again what is shown, back to the message that is `marked`, by key, if it is still there.

        Raises:
            PostinoError: the daemon refused, or did not answer.
        """
        async with self._one:
            place, before = self.place, self.page
            found = await self._load(wanted=max(PAGE, len(before.items)))
            while place.view == "inbox" and place == self.place and marked() not in (None, *found.keys):
                number = views.missing(found, before)
                if not number:
                    break
                more = await self._load(found.before, number)
                found = replace(more, items=[*found.items, *more.items])
            if place != self.place:  # somebody went on meanwhile
                return
            if place.view == "inbox":
                there = set(found.keys)
                self._taken_out = {key: known for key, known in self._taken_out.items() if not known or key in there}
            self.page = self._without_taken_out(views.refreshed(self.page, found))
            self.is_loaded = True
            if found.person is not None:
                self.person, self.me = found.person, str(found.person["name"])  # renamed meanwhile

    async def load_older(self) -> None:
        """Load the messages before those that are shown.

        Raises:
            PostinoError: as `refresh`.
        """
        async with self._one:
            place, before = self.place, self.page.before
            if before is None:
                return
            older = await self._load(before)
            if place == self.place and before == self.page.before:
                known = set(self.page.keys)
                more = [item for item in older.items if views.key(item) not in known]
                self.page = self._without_taken_out(Page([*self.page.items, *more], older.before, older.person))

    def take_out(self, key: str) -> None:
        """Show a message no longer, which is being done."""
        self._taken_out[key] = False
        self.page = self._without_taken_out(self.page)

    def note_done(self, key: str, *, done: bool) -> None:
        """Note what became of a message that was taken out: one that is not done comes back with the next refresh."""
        if done:
            self._taken_out[key] = True  # a load that began before may still bring it
        else:
            self._taken_out.pop(key, None)

    async def _load(self, before: str | None = None, wanted: int = PAGE) -> Page:
        place, me = self.place, self.me
        return await self._mailroom.call(lambda client: views.load(client, place, me, before, wanted))

    def _without_taken_out(self, page: Page) -> Page:
        if self.place.view != "inbox":  # elsewhere it stays, as done
            return page
        return replace(page, items=[item for item in page.items if views.key(item) not in self._taken_out])
