"""Lists of rows, which stay with the row that is marked while others come and go."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from postino.json_text import Json
from postino.tui import rows, views

GAVE_WAY_S = 0.7  # for which a key that was meant for a message that has left may still come


class Row(Option):
    """A row that knows what it stands for, wherever it is when somebody hears that it was chosen."""

    def __init__(self, line: Content, key: str | None) -> None:
        super().__init__(line)
        self.key = key


class Rows(OptionList):
    """Rows that are drawn anew for another width. With `opens` a click opens a row, else it only chooses it.

    While there are `more` rows than these, a key that leads beyond the last one waits for them.
    """

    class Resized(Message):
        """The rows have another width now."""

    class Beyond(Message):
        """A key leads beyond the last row, while there are more."""

    def __init__(self, *, id: str, opens: bool) -> None:
        super().__init__(id=id, markup=False)
        self._opens = opens
        self.more = False
        self._waiting: list[Callable[[], None]] = []  # what the keys do that lead beyond the last row

    @property
    def marked(self) -> str | None:
        """The key of the marked row."""
        row = self.highlighted_option
        return row.key if isinstance(row, Row) else None

    @property
    def at_end(self) -> bool:
        """Whether the last row is marked, or there is none."""
        return self.highlighted is None or self.highlighted == self.option_count - 1

    @property
    def waits(self) -> bool:
        """Whether a key that leads beyond the last row waits for more rows: another one will be marked."""
        return bool(self._waiting)

    def action_cursor_up(self) -> None:
        """Mark the row before."""
        self.forget()
        super().action_cursor_up()

    def action_page_up(self) -> None:
        """Mark a row a page above."""
        self.forget()
        super().action_page_up()  # type: ignore[no-untyped-call]

    def action_first(self) -> None:
        """Mark the first row."""
        self.forget()
        super().action_first()

    def action_cursor_down(self) -> None:
        """Mark the next row."""
        self._go(super().action_cursor_down)

    def action_page_down(self) -> None:
        """Mark a row a page below."""
        self._go(super().action_page_down)

    def action_last(self) -> None:
        """Mark the last row."""
        self._go(super().action_last)

    def _go(self, down: Callable[[], None]) -> None:
        if self.more and self.at_end:
            self._waiting.append(down)
            self.post_message(self.Beyond())
        else:
            down()

    def go_on(self) -> None:
        """Do what waited for more rows, if they have come."""
        if self.more and self.at_end:
            return
        for down in self.forget():
            if self.more or not self.at_end:
                self._go(down)

    def forget(self) -> list[Callable[[], None]]:
        """Wait for no more rows: another key was pressed. Return what waited."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def successor(self, keys: Sequence[str]) -> int | None:
        """Return where the marked row is among `keys`; one that has left gives way to the next, or the one before."""
        if not keys or self.highlighted is None:
            return 0 if keys else None
        before = [row.key for row in self.options if isinstance(row, Row)]
        there = {key: at for at, key in enumerate(keys)}
        near = [*before[self.highlighted :], *reversed(before[: self.highlighted])]
        return next((there[key] for key in near if key in there), 0)

    def on_resize(self) -> None:
        """Say so: only now the rows have their width."""
        self.post_message(self.Resized())

    async def _on_click(self, event: Click) -> None:
        if self._opens:
            await super()._on_click(event)
        else:
            event.prevent_default()
            row = event.style.meta.get("option")
            if row is not None:
                self.highlighted = row


class Messages(Rows):
    """The messages of a place."""

    def __init__(self) -> None:
        super().__init__(id="list", opens=False)
        self._gave_way = -math.inf  # time.monotonic() when the marked message left by itself

    def draw(self, items: list[Json], me: str | None, *, more: bool, by_key: bool = False) -> bool:
        """Show messages; return whether the marked one has left, without a key unless `by_key`."""
        keys = [views.key(item) for item in items]
        has_left = self.marked is not None and self.marked not in keys
        if has_left:
            self._gave_way = -math.inf if by_key else time.monotonic()
        width = max(20, self.size.width - 3)
        fill(self, [rows.message_row(item, me, width) for item in items], self.successor(keys), keys)
        self.more = more
        self.go_on()
        return has_left

    @property
    def has_given_way(self) -> bool:
        """Whether another message has been marked just now, which is not the one that a key was meant for."""
        return time.monotonic() - self._gave_way < GAVE_WAY_S

    def note_moved(self) -> None:
        """Note that somebody has marked a row, by a key or a click."""
        self._gave_way = -math.inf


def fill(pane: OptionList, lines: list[Content], at: int | None, keys: Sequence[str | None]) -> None:
    """Show other rows; nothing is told of the row that is chosen, which is the one from before."""
    with pane.prevent(OptionList.OptionHighlighted):
        pane.clear_options()
        pane.add_options([Row(line, key) for line, key in zip(lines, keys, strict=True)])
        pane.highlighted = at
