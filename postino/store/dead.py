"""Dead letters: messages that were given up, and the notices that their senders are owed."""

from __future__ import annotations

from dataclasses import dataclass

from postino.errors import InboxFull
from postino.model import Dead, Message, iso
from postino.store.inbox import id_array, message
from postino.store.store import Limits, Store, pairs


@dataclass(frozen=True, slots=True)
class Notice:
    """A dead letter whose sender is to be told. `death`: 2 when it died again after it was requeued, and so on."""

    key: str
    agent: str
    id: str
    death: int
    sender: str


class DeadLetters:
    """The dead letters of all agents."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits

    async def page(self, agent: str, limit: int, offset: int) -> tuple[list[Dead], int]:
        """Return dead letters oldest first, and how many there are; fewer than `limit` if they are long."""
        agent = await self._store.present(agent)
        total, entries = await self._store.slice(self._store.keys.of("dead", agent), offset, limit)
        return [_dead(agent, pairs(fields)) for _, fields in entries], total

    async def requeue(self, agent: str, ids: list[str] | None) -> list[str]:
        """Put dead letters (None: all) back at the tail of the inbox; return their ids.

        Raises:
            UnknownMessage, InboxFull: nothing was moved. Of over 100 some stay where the inbox fills meanwhile.
        """
        requeued: list[str] = []
        until = "+"
        while until:
            try:
                agent, (moved, until) = await self._store.run_named(
                    "requeue",
                    agent,
                    ids="" if ids is None else id_array(ids),
                    until=until,
                    max_inbox=self._limits.max_inbox,
                )
            except InboxFull:
                if not requeued:
                    raise
                break
            requeued += moved
        return requeued

    async def clear(self, agent: str) -> int:
        """Drop all dead letters; return their number."""
        return await self._store.drain("clear_dead", agent)

    async def notices(self) -> list[Notice]:
        """Return the dead letters whose sender is to be told."""
        flat = await self._store.call("HGETALL", self._store.keys.shared("notices"))
        return [_notice(key, sender) for key, sender in pairs(flat).items()]

    async def drop_notice(self, notice: Notice) -> None:
        """Strike a notice off."""
        await self._store.call("HDEL", self._store.keys.shared("notices"), notice.key)


def _dead(agent: str, fields: dict[str, str]) -> Dead:
    plain = message(agent, fields, delivery=int(fields["deliveries"]))
    members = {name: getattr(plain, name) for name in Message.__struct_fields__ if name != "redelivered"}
    return Dead(**members, reason=fields["reason"], died_at=iso(int(fields["died"])))


def _notice(key: str, sender: str) -> Notice:
    agent, id, *death = key.split(" ")
    return Notice(key, agent, id, int(death[0]) if death else 1, sender)
