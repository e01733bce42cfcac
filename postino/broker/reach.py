"""When a recipient will know of a message, in words that tell the sender what to expect or to do."""

from __future__ import annotations

from postino.model import Activity
from postino.values import HUMAN, count

NEVER_S = 1e9  # s since 1970: no more than since a sight, and less than without one
MAX_ONLINE = 8  # agents named to a sender whose recipient nobody knows
_ONLINE: dict[Activity, str] = {
    "busy": "online and busy: will be told between two steps of its work",
    "idle": "online and idle: will be told now",
    "asking": "online, waiting for its user: will be told after the answer",
    "unknown": "online: gets it with its next read",
}
_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"))


def reach(activity: Activity, *, online: bool, away_s: float, wakes: bool) -> str:
    """Return when a known agent will know of a message. `wakes`: idle sessions are woken."""
    if not online:
        return f"offline for {duration(away_s)}: will be told at its next start"
    if activity == "idle" and not wakes:
        return "online and idle: will be told at its next prompt"
    return _ONLINE[activity]


def reach_person(name: str, *, online: bool, away_s: float) -> str:
    """Return when a person will see a message. `away_s` is the time since 1970 for one who was never there."""
    if name == HUMAN:
        return "for all people: the first who opens it takes it, within 30 days"
    if online:
        return "a person, who is there: will see it in the inbox"
    since = "" if away_s > NEVER_S else f", away for {duration(away_s)}"
    return f"a person{since}: the message waits in the inbox for 30 days"


def nobody(near: list[str], online: list[str]) -> str:
    """Return what the sender of a message to an unknown name should look at. Groups in `near` begin with `#`."""
    groups, agents = [each for each in near if each.startswith("#")], [each for each in near if each[0] != "#"]
    hints = [f"there is a group {each}" for each in groups]
    hints += [f"did you mean {_either(agents)}?"] if agents else []
    if online:
        more = f" and {len(online) - MAX_ONLINE} more" if len(online) > MAX_ONLINE else ""
        hints.append(f"online: {', '.join(online[:MAX_ONLINE])}{more}")
    return "; ".join(["nobody of that name has been seen; the message waits for one", *hints])


def duration(seconds: float) -> str:
    """Return a duration in its largest unit."""
    for size, unit in _UNITS:
        if seconds >= size:
            return count(int(seconds // size), unit)
    return "less than a minute"


def _either(names: list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
