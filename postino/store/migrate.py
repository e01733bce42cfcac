"""Takes over the data of an older format."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from postino.errors import StoreAway
from postino.store.calls import run_plain, run_script
from postino.store.identity import FORMAT
from postino.store.keys import Keys
from postino.store.pipeline import Pipeline
from postino.store.scripts import Script

CONFIRMED_S = 10.0  # for replicas to have what was converted; then the daemon starts all the same

log = structlog.get_logger()


async def migrate(
    connection: Pipeline, keys: Keys, script: Script, confirm: Callable[[], Awaitable[Any]] | None = None
) -> None:
    """Convert data of an older format, in one step; newer data is left as it is.

    `confirm` is a write that replicas confirm: no daemon could use one that has the older format after a failover.

    Raises:
        StoreAway: no reply; repeating is safe.
    """
    names, done = list[str](), 0
    while not done:  # until the names are the same at both commands
        touched = keys.to_migrate(names)
        command: tuple[str | int, ...] = ("EVALSHA", script.sha, len(touched), *touched, FORMAT, json.dumps(names))
        done = await run_script(connection, script, command)
        if not done:
            known: list[Any] = await run_plain(connection, ("HGETALL", keys.shared("agents")))
            names = known[::2]  # also aliases: a rename in between may make one the present name
    if confirm is not None:
        await _until_confirmed(confirm)


async def _until_confirmed(write: Callable[[], Awaitable[Any]]) -> None:
    deadline = time.monotonic() + CONFIRMED_S
    while True:
        try:
            await write()
        except StoreAway as error:
            if time.monotonic() >= deadline:
                log.warning("conversion_not_confirmed", reason=error.message)
                return
            await asyncio.sleep(0.1)
        else:
            return
