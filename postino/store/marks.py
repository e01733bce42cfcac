"""The marks in the index of the history that this daemon knows of: its sends need not ask the store for them."""

from __future__ import annotations

MARK_MS = 200  # that one mark in the index of the history stands for; see lua/lib/past.lua
_MOST = 10_000  # names that are remembered


class Marks:
    """Until when, in milliseconds of Valkey's clock, a mark of a name stands for its entries."""

    def __init__(self) -> None:
        self._until: dict[str, int] = {}

    def until(self, sender: str, recipient: str) -> int:
        """Return until when entries of both names are marked; 0 if that is not known."""
        return min(self._until.get(sender, 0), self._until.get(recipient, 0))

    def note(self, ms: int, sender: str, recipient: str) -> None:
        """Note that both names were marked at `ms`; 0: they were not."""
        if ms:
            if len(self._until) > _MOST:
                self._until.clear()
            self._until[sender] = self._until[recipient] = ms + MARK_MS - 1
