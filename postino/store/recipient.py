"""What a sender is told of a recipient."""

from __future__ import annotations

from typing import Any

from postino.model import Activity, iso
from postino.store.store import Table


class Recipients(Table):
    """Agents that messages are sent to."""

    def described(self, agent: str, online: bool, seen: int, now: int, person: bool) -> dict[str, Any]:
        """Return the members of an answer to a sender that describe a recipient; times in ms."""
        activity, reach = self.outlook(agent, online=online, away_s=(now - seen) / 1000, person=person)
        return {"online": online, "activity": activity, "last_seen": iso(seen) if seen else None, "reach": reach}

    def outlook(self, agent: str, *, online: bool, away_s: float, person: bool) -> tuple[Activity, str]:
        """Return what an agent does, and in words when it will know of a message. The store alone cannot say."""
        return "unknown", ""
