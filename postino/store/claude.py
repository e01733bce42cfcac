"""Claude Code processes: the session of each, and what it was notified of."""

from __future__ import annotations

from typing import Any

import msgspec

from postino.model import Record
from postino.store.store import Table


class Waiting(Record, frozen=True, kw_only=True):
    """What waits for the agent of a Claude process. `new_*` counts only what this process was not notified of.

    `senders` are at most three, that of the oldest message first, `name?` if it is not verified; `greeted`: the process
    was told its agent's name. `newest` (message), `last` (broadcast) and `found_ms` are handed to `mark_notified`.
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


class Bound(msgspec.Struct, frozen=True):
    """The agent of a session after it was bound to a Claude session.

    `left`: the agent it had before, if that was another one; `made`: that one was created for this session alone.
    """

    agent: str
    left: str | None
    made: bool


class ClaudeTable(Table):
    """What is stored of each Claude process: its session, and what it was notified of."""

    async def unnotified(self, agent: str, process: str, claude: str, *, session: str = "") -> Waiting:
        """Return what waits for `agent` (or for that of `session`, if given), and how much of it is new to the process.

        A process that serves another Claude session than before, as after /clear, has been notified of nothing.
        A message that was returned to the inbox since is new again.
        """
        agent, reply = await self._store.run_named(
            "unnotified",
            agent,
            session=session,
            process=process,
            claude=claude,
            ttl_ms=self._limits.ttl_ms,
            max_dead=self._limits.max_inbox,
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
        """Record that the process was notified of the messages in `waiting`, and with `broadcasts` of those as well.

        The messages keep `how` and the time as part of their state, unless they were notified of before.
        """
        await self._store.run_named(
            "mark_notified",
            waiting.agent,
            process=process,
            claude=claude,
            newest=waiting.newest,
            last=waiting.last if broadcasts else "",
            found_ms=waiting.found_ms,
            greeted="1" if greeted else "",
            how=how,
            ids=msgspec.json.encode(waiting.new_ids).decode(),
        )

    async def bind_claude(self, session: str, process: str, claude: str) -> Bound | None:
        """Record the Claude session that `session` now serves; return None if the session is unknown."""
        values: dict[str, str | int] = {"session": session, "process": process, "claude": claude}
        reply = await self._store.run("bind_claude", "", values)
        return Bound(reply[0], reply[1] or None, bool(reply[2])) if reply else None

    async def session_of(self, process: str) -> str | None:
        """Return the session last recorded for a Claude process."""
        value = await self._store.call("HGET", self._store.keys.shared("sessions"), f"process:{process}")
        found: dict[str, Any] = msgspec.json.decode(value) if value else {}
        return found.get("session")
