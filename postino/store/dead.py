"""Dead letters: messages given up, and the notices that their senders have yet to be sent."""

from __future__ import annotations

from functools import partial

import msgspec

from postino.errors import InboxFull, partly_done
from postino.model import Dead, iso
from postino.parts import START, Part, Place
from postino.store.entries import id_array, letter, number, pairs
from postino.store.parts import part
from postino.store.store import Table


class Notice(msgspec.Struct, frozen=True):
    """A dead letter whose sender has yet to be notified. `death` is 2 when it died again after a requeue, and so on.

    `reason` is that of the dead letter.
    """

    key: str
    agent: str
    id: str
    death: int
    sender: str
    reason: str


class DeadLetters(Table):
    """The dead letters of all agents."""

    async def part(self, agent: str, limit: int, place: Place = START) -> Part[Dead]:
        """Return dead letters."""
        agent, of = await self._store.present(agent), self._store.keys.of
        return await part(self._store, of("dead", agent), of("index", agent), limit, place, partial(_dead, agent))

    async def requeue(self, agent: str, ids: list[str] | None) -> list[str]:
        """Move dead letters (None: all) to the tail of the inbox; return their ids.

        Raises:
            UnknownMessage, InboxFull: nothing was moved. More than 100 move in several steps: if the inbox fills
                between two of them, the rest stay and the ids of those that moved are returned.
        """
        requeued: list[str] = []
        till = "+"
        while till:
            try:
                with partly_done(bool(requeued)):
                    agent, (moved, till) = await self._store.run_named(
                        "requeue",
                        agent,
                        ids="" if ids is None else id_array(ids),
                        till=till,
                        max_inbox=self._limits.max_inbox,
                    )
            except InboxFull:
                if not requeued:
                    raise
                break
            requeued += moved
        return requeued

    async def clear(self, agent: str) -> int:
        """Delete all dead letters; return how many there were."""
        return await self._store.drain("clear_dead", agent)

    async def notices(self) -> list[Notice]:
        """Return the dead letters whose senders have yet to be notified."""
        flat = await self._store.call("HGETALL", self._store.keys.shared("notices"))
        return [_notice(key, value) for key, value in pairs(flat).items()]

    async def drop_notice(self, notice: Notice) -> None:
        """Delete a notice that was sent."""
        await self._store.call("HDEL", self._store.keys.shared("notices"), notice.key)


def _dead(agent: str, fields: dict[str, str], fingerprint: str) -> Dead:
    return Dead(
        **letter(fields, fingerprint),
        to=agent,
        delivery=number(fields.get("deliveries")),
        reason=fields.get("reason", ""),
        died_at=iso(number(fields.get("died"))),
    )


def _notice(key: str, value: str) -> Notice:
    agent, id, *death = key.split(" ")
    sender, _, why = value.partition(" ")
    return Notice(key, agent, id, int(death[0]) if death else 1, sender, why or "max_deliveries")
