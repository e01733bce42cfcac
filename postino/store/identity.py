"""Which store this is: the id and the format of its data, kept in `{po}:meta`."""

from __future__ import annotations

import secrets
from typing import Any

import structlog
from redis.asyncio.client import Redis

from postino.errors import WrongStore
from postino.home_store import SWITCH, HomeStore
from postino.store.scripts import Script

FORMAT = 1  # of the keys and values that this code reads and writes

log = structlog.get_logger()


async def identify(redis: Redis, script: Script, meta: str, here: HomeStore, remembered: HomeStore | None) -> str:
    """Return the id of the store at `here`; give one to a new store, and its former one to one that was emptied.

    Raises:
        WrongStore: it is not the remembered one, or its data has a newer format.
    """
    at_home = remembered is None or remembered.id is None or remembered.same_address(here)
    known = remembered.id if remembered is not None else None
    offered = (known or secrets.token_hex(8)) if at_home else ""  # a store at another address must have its id already
    sha = await redis.script_load(script.source)
    reply = await redis.evalsha(sha, 1, meta, offered, str(FORMAT))
    return check(reply, here.address, known, remembered)


def check(reply: Any, where: str, known: str | None, remembered: HomeStore | None = None) -> str:
    """Return the id in a reply of the script `identify`, whose store must be the one `known`, if any is.

    Raises:
        WrongStore: it is another one, or its data has a newer format.
    """
    id, format, given = reply
    if int(format or 0) > FORMAT:
        raise WrongStore(f"The data in {where} has format {format}, which a newer postino wrote: update this one")
    if known and id != known:
        raise WrongStore(_another(where, id, remembered))
    if given and known:
        log.warning("store_emptied", store=where, meaning="it had lost its id and its data, and got its id again")
    return str(id)


def _another(where: str, id: str, remembered: HomeStore | None) -> str:
    if remembered is None or remembered.address == where:
        return f"{where} now is another store than the one this home uses; mail would be split, so it is not used"
    return (
        f"This home uses {remembered.address}, not {where}; unset POSTINO_VALKEY_URL to use that again, "
        f"or run {SWITCH} to change to {where} and leave what mail waits in the former behind"
    )
