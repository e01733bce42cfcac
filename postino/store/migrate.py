"""Takes over the data of an older format."""

from __future__ import annotations

import json
from typing import Any

from postino.store.calls import run_plain, run_script
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
    while not done:  # until the names are the same at both commands
        known: list[Any] = await run_plain(connection, ("HGETALL", keys.shared("agents")))
        names = known[::2]  # also aliases: a rename in between may make one the present name
        touched = keys.to_migrate(names)
        command: tuple[str | int, ...] = ("EVALSHA", script.sha, len(touched), *touched, FORMAT, json.dumps(names))
        done = await run_script(connection, script, command)
