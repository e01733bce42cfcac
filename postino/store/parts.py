"""Parts of streams of messages: an inbox, dead letters, the broadcasts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from postino.parts import Part, Place
from postino.store.calls import run_script
from postino.store.entries import unpacked
from postino.store.store import PART_BYTES, Store

T = TypeVar("T")


async def part(
    store: Store, stream: str, index: str, limit: int, place: Place, make: Callable[[dict[str, str], str], T]
) -> Part[T]:
    """Return a part of a stream. There are fewer than `limit` if they are long.

    `make` turns the fields of a message, and the digest that the hash `index` has for it or '', into an item. A large
    offset is skipped in steps, between which other callers have their turn.

    Raises:
        StoreAway: no reply.
    """
    script, way = store.scripts["part"], "newer" if place.before is None else "older"
    start, skip = place.after or place.before or "", place.offset
    while True:
        command = ("EVALSHA", script.sha, 2, stream, index, start, way, skip, limit, PART_BYTES)
        total, *found = await run_script(store.reads, script, command)
        if len(found) == 3:
            items, before, after = found
            made = [make(unpacked(fields), fingerprint) for _, fields, fingerprint in items]
            return Part(made, int(total), before or None, after or None)
        start, skip = found


async def older(store: Store, stream: str, last: str, first: str, limit: int) -> list[tuple[str, list[str]]]:
    """Return up to `limit` entries of a stream from `last` back to `first`, newest first, as XREVRANGE does.

    Where nothing is before `last`, XREVRANGE would pass over all entries: 25 ms of the server for 100,000. A script
    that looked first would turn each entry into Lua and back: the server's part of a page of threads was four times.

    Raises:
        StoreAway: no reply.
    """
    if last != "+" and (last == "(0-0" or not await store.query("XRANGE", stream, "-", last, "COUNT", 1)):
        return []  # of (0-0 Valkey refuses the range
    found: list[tuple[str, list[str]]] = await store.query("XREVRANGE", stream, last, first, "COUNT", limit)
    return found
