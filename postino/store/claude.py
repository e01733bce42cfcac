"""Claude processes: the session each has, and what it was notified of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from postino.model import Record
from postino.store.store import Limits, Store


class Waiting(Record, frozen=True, kw_only=True):
    """What waits for the agent of a Claude process. `new_*`: what this process has not been told of before.

    `senders` are at most three, the oldest message's first; `greeted`: it was told who it is. The last three are how
    far this goes, for `mark_notified`: newest message, last broadcast, and when.
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
class Bound:
    """The agent of a session after a hook told its Claude session; `left` is the one it had before, if another.

    `made`: that one was made for this session alone.
    """

    agent: str
    left: str | None
    made: bool


class ClaudeTable:
    """What is kept of each Claude process: its session, and what it was notified of."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits

    async def unnotified(self, agent: str, process: str, claude: str, *, session: str = "") -> Waiting:
        """Return what waits for `agent` (for that of `session`, if given), and what the process was not notified of.

        Another Claude session (after /clear, say) was notified of nothing. What came back since then is new again.
        """
        agent, reply = await self._store.run_named(
            "unnotified", agent, session=session, process=process, claude=claude, ttl_ms=self._limits.ttl_ms
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

    async def mark_notified(
        self,
        waiting: Waiting,
        process: str,
        claude: str,
        *,
        broadcasts: bool = False,
        greeted: bool = False,
        how: str = "",
    ) -> None:
        """Note that the process was notified of the messages that `unnotified` found, perhaps of the broadcasts too.

        The messages keep `how` for whoever asks for their state; the first time counts.
        """
        await self._store.run_named(
            "mark_notified",
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

    async def bind_claude(self, session: str, process: str, claude: str) -> Bound | None:
        """Note the Claude session that `session` now serves; None when the session is unknown."""
        values: dict[str, str | int] = {"session": session, "process": process, "claude": claude}
        reply = await self._store.run("bind_claude", "", values)
        return Bound(reply[0], reply[1] or None, bool(reply[2])) if reply else None

    async def session_of(self, process: str) -> str | None:
        """Return the session that was last seen with a Claude process."""
        value = await self._store.call("HGET", self._store.keys.shared("sessions"), f"process:{process}")
        found: dict[str, Any] = msgspec.json.decode(value) if value else {}
        return found.get("session")
