"""Which daemon notifies people, and what they were notified of, so that they are notified of each event once."""

from __future__ import annotations

import secrets

import msgspec

from postino.store.entries import decoded
from postino.store.store import Store


class Failure(msgspec.Struct, frozen=True):
    """A notification that could not be sent: `why` in words, and since when none could, in ms."""

    why: str
    since_ms: int


class Notified(msgspec.Struct):
    """What people were notified of. Times in ms of Valkey's clock."""

    after: str = ""  # stream ID of the last event that was notified of; later ones wait
    sent: list[int] = []  # the times of the notifications of the last hour
    mail: dict[str, int] = {}  # person -> when the newest message arrived that was notified of
    stuck: list[str] = []  # agents that were notified of and have not read since
    failure: Failure | None = None


class NotifierTable:
    """The notifier of all daemons on one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._daemon = secrets.token_hex(8)

    async def take(self, hold_ms: int) -> tuple[bool, Notified, int]:
        """Take the place for `hold_ms` if it is free; with 0 only ask.

        Returns whether this daemon has it, what people were notified of, and the time.
        """
        mine, state, now = await self._store.run("take_notifier", "", {"daemon": self._daemon, "hold_ms": hold_ms})
        return bool(mine), decoded(state, Notified) or Notified(), int(now)

    async def save(self, notified: Notified, hold_ms: int) -> None:
        """Store what people were notified of and keep the place for `hold_ms`, or give it up with 0.

        Nothing is done if another daemon has it.
        """
        state = msgspec.json.encode(notified).decode()
        await self._store.run("save_notifier", "", {"daemon": self._daemon, "hold_ms": hold_ms, "state": state})
