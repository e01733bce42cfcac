"""Which session a Claude process has, and what that process was told of its mail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from postino.model import Record
from postino.store.inbox import Limits
from postino.store.store import Store


class Waiting(Record, frozen=True, kw_only=True):
    """What waits for the agent of a Claude process. `new_*`: what this process has not been told of before.

    `senders` are at most three, the oldest message's first; `greeted`: it was told who it is. The last three are how
    far this goes, for `tell`: newest message, last broadcast, and when.
    """

    agent: str
    unread: int
    unseen: int
    senders: list[str]
    new_unread: int
    new_unseen: int
    new_senders: list[str]
    new_ids: list[str]
    greeted: bool
    newest: str
    last: int
    found_ms: int


@dataclass(frozen=True, slots=True)
class Met:
    """The agent of a session after a hook told its Claude session; `left` is the one it had before, if another.

    `made`: that one was made for this session alone.
    """

    agent: str
    left: str | None
    made: bool


class Whereabouts:
    """What the hooks tell, and what they are told."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits

    async def announce(self, agent: str, process: str, claude: str, *, session: str = "") -> Waiting:
        """Count what waits, and what of it the process has not been told."""
        agent, reply = await self._store.run_named(
            "announce", agent, session=session, process=process, claude=claude, ttl_ms=self._limits.ttl_ms
        )
        unread, unseen, senders, new_unread, new_unseen, new_senders, ids, was_greeted, newest, last, found_ms = reply
        return Waiting(
            agent=agent,
            unread=int(unread),
            unseen=int(unseen),
            senders=list(senders),
            new_unread=int(new_unread),
            new_unseen=int(new_unseen),
            new_senders=list(new_senders),
            new_ids=msgspec.json.decode(ids, type=list[str]),
            greeted=bool(was_greeted),
            newest=newest,
            last=int(last),
            found_ms=int(found_ms),
        )

    async def tell(
        self, waiting: Waiting, process: str, claude: str, *, broadcasts: bool, greeted: bool, how: str
    ) -> None:
        """Remember that the process has been told of what `waiting` found."""
        await self._store.run_named(
            "tell",
            waiting.agent,
            process=process,
            claude=claude,
            mail=waiting.newest,
            feed=waiting.last if broadcasts else "",
            found_ms=waiting.found_ms,
            greeted="1" if greeted else "",
            how=how,
            ids=msgspec.json.encode(waiting.new_ids).decode(),
        )

    async def meet(self, session: str, process: str, claude: str) -> Met | None:
        """Note the Claude session that `session` now serves; None when the session is unknown."""
        values: dict[str, str | int] = {"session": session, "process": process, "claude": claude}
        reply = await self._store.run("meet", "", values)
        return Met(reply[0], reply[1] or None, bool(reply[2])) if reply else None

    async def session_of(self, process: str) -> str | None:
        """Return the session that was last seen with a Claude process."""
        value = await self._store.call("HGET", self._store.keys.shared("sessions"), f"process:{process}")
        found: dict[str, Any] = msgspec.json.decode(value) if value else {}
        return found.get("session")
