"""What lists of names are made of: as a broker keeps it, and as it is when all of it is read again."""

from __future__ import annotations

from typing import Any

from postino.broker import Broker
from postino.store.entries import pairs
from postino.store.names import Names


async def agree(broker: Broker) -> bool:
    """Whether both are the same. A session may end by itself between the two; a change that was missed stays missed."""
    for _ in range(3):
        if await _kept(broker) == await _read_again(broker):
            return True
    return False


async def _kept(broker: Broker) -> dict[str, Any]:
    """What a broker answers from after it has asked for the changes."""
    return _listed(await broker._table.names())


async def _read_again(broker: Broker) -> dict[str, Any]:
    """The same from all that is stored."""
    store = broker._store
    agents, cursors = [pairs(await store.call("HGETALL", store.keys.shared(kind))) for kind in ("agents", "cursors")]
    return _listed(Names(agents, cursors))


def _listed(names: Names) -> dict[str, Any]:
    return {
        "agents": {
            name: (bool(entry.since), bool(entry.seen), entry.human, sorted(entry.sessions), entry.aliases)
            for name, entry in names.agents.items()
        },
        "aliases": names.aliases,
        "spellings": names.spellings,
        "order": names.in_order(),
        "former": {name: set(names.all_of(name)) for name in [*names.agents, *names.aliases, *names.spellings]},
        "people": names.people,
        "seen": set(names.seen),
        "sessions": names._of_session,
        "readers": names.readers,
        "reached": names.reached.order,
    }
