"""Takes over the data of an older format."""

from __future__ import annotations

from typing import Any

from postino.store.calls import run_plain, run_script
from postino.store.entries import alias_target
from postino.store.identity import FORMAT
from postino.store.keys import Keys
from postino.store.pipeline import Pipeline
from postino.store.scripts import Script


async def migrate(connection: Pipeline, keys: Keys, script: Script) -> None:
    """Convert data of format 1, in one step; newer data is left as it is.

    Raises:
        StoreAway: no reply; repeating is safe.
    """
    done = 0
    while not done:  # until no name has come between the two commands
        known: list[Any] = await run_plain(connection, ("HGETALL", keys.shared("agents")))
        names = [name for name, value in zip(known[::2], known[1::2], strict=True) if not alias_target(value)]
        touched = keys.to_migrate(names)
        done = await run_script(
            connection, script, ("EVALSHA", script.sha, len(touched), *touched, FORMAT, len(known) // 2)
        )
