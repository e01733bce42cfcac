"""Names in any case: two that differ only in case are one agent, whose name is the spelling that came first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from postino.store.calls import run_plain, run_script
from postino.store.entries import alias_target
from postino.store.keys import Keys
from postino.store.pipeline import Pipeline
from postino.store.scripts import Script

_BATCH = 1000  # names of one script: about a millisecond


def spelling_target(value: str | None) -> str | None:
    """Return the spelling that a value of the agents hash points to; None unless it is only a spelling."""
    return alias_target(value) if value is not None and value.endswith(" 0") else None


async def present_names(connection: Pipeline, agents: str, names: Sequence[str]) -> list[str]:
    """Return the present name of each, in the hash `agents`; the name itself if nobody ever had it."""
    wanted = list(dict.fromkeys(each for name in names for each in (name, name.lower())))
    values: dict[str, str | None] = dict(
        zip(wanted, await run_plain(connection, ("HMGET", agents, *wanted)), strict=True)
    )
    further = [each for each in map(spelling_target, values.values()) if each and each not in values]
    if further:
        values |= zip(further, await run_plain(connection, ("HMGET", agents, *further)), strict=True)
    return [present_name(values, name) for name in names]


def present_name(values: Mapping[str, str | None], name: str) -> str:
    """Return the present name by the `values` of the hash, as lua/lib/agent.lua has it."""
    known = name if values.get(name) is not None else name.lower()
    known = spelling_target(values.get(known)) or known
    return name if values.get(known) is None else alias_target(values[known]) or known


def clashes(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the agents of older data whose names differ only in case, each with the one in lower case."""
    known = set(names)
    return sorted((name, name.lower()) for name in known if name != name.lower() and name.lower() in known)


async def keep_spellings(connection: Pipeline, keys: Keys, script: Script) -> None:
    """Let every spelling of the names of older data lead to them, and begin the list of changes of names.

    Repeating does nothing.
    """
    agents = keys.shared("agents")
    known: list[Any] = await run_plain(connection, ("HGETALL", agents))  # HKEYS is no right that an earlier ACL gives
    capitals = [name for name in known[::2] if name != name.lower()]
    for at in range(0, len(capitals) or 1, _BATCH):
        batch = msgspec.json.encode(capitals[at : at + _BATCH]).decode()
        await run_script(connection, script, ("EVALSHA", script.sha, 2, agents, keys.shared("changes"), batch))
