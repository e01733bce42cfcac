"""A server's clock and memory, asked once by a command that is no daemon."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import redis

from postino.store.keys import Keys
from postino.store.valkey.primary import Primary


@dataclass(frozen=True, slots=True)
class Vitals:
    """Its time, and ours before and after it was asked, in s since 1970; its memory in bytes, limit 0: none."""

    time_s: float
    before_s: float
    after_s: float
    memory_used: int
    memory_limit: int


def ask(url: str, prefix: str, seconds: float) -> Vitals:
    """Ask the server at `url` that takes writes for a prefix, where Sentinels or a cluster have to be asked for it.

    Connecting and each of two answers take at most `seconds`.

    Raises:
        OSError: it cannot be asked.
    """
    try:
        with redis.Redis.from_url(
            _server(url, prefix), socket_timeout=seconds, socket_connect_timeout=seconds
        ) as valkey:
            before = time.time()
            whole, micros = valkey.time()
            after = time.time()
            memory = valkey.info("memory")
    except (redis.RedisError, ValueError) as error:
        raise OSError(type(error).__name__) from None
    used, limit = int(memory.get("used_memory", 0)), int(memory.get("maxmemory", 0))
    return Vitals(whole + micros / 1e6, before, after, used, limit)


def _server(url: str, prefix: str) -> str:
    primary = Primary(url, Keys(prefix).shared("meta"))
    if primary.address.kind == "unix":
        return url
    where = asyncio.run(primary.find()) if primary.moves else primary.address.servers[0]
    return primary.address.of(*where)
