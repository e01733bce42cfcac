"""The place of the one daemon that notifies people, and what they were told: nothing is told twice, or forgotten."""

from __future__ import annotations

import secrets

import msgspec

from postino.store.store import Store


class Failure(msgspec.Struct, frozen=True):
    """A notification that could not be sent: `why` in words, and since when none could, in ms."""

    why: str
    since_ms: int


class Told(msgspec.Struct):
    """What was told. Times in ms of Valkey's clock."""

    after: str = ""  # stream ID of the last event that was told of; events after it are still to be told
    sent: list[int] = []  # the times of the notifications of the last hour
    mail: dict[str, int] = {}  # person -> when the newest message arrived that was told of
    stuck: list[str] = []  # agents that were told of and have not read since
    failure: Failure | None = None


class NotifierTable:
    """The notifier of all daemons on one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._daemon = secrets.token_hex(8)

    async def take(self, hold_ms: int) -> tuple[bool, Told, int]:
        """Take the place for `hold_ms` if it is free; return whether this daemon has it, what was told, and the time.

        With 0 only ask.
        """
        mine, state, now = await self._store.run("take_notifier", "", {"daemon": self._daemon, "hold_ms": hold_ms})
        return bool(mine), _told(state), int(now)

    async def save(self, told: Told, hold_ms: int) -> bool:
        """Store what was told and keep the place for `hold_ms`, or give it up with 0; False: another daemon has it."""
        state = msgspec.json.encode(told).decode()
        return bool(
            await self._store.run("save_notifier", "", {"daemon": self._daemon, "hold_ms": hold_ms, "state": state})
        )


def _told(state: str) -> Told:
    try:
        return msgspec.json.decode(state, type=Told) if state else Told()
    except msgspec.MsgspecError:  # another program damaged it
        return Told()
