"""A server's clock and memory, asked once by a command that is no daemon."""

from __future__ import annotations

import time
from dataclasses import dataclass

import redis


@dataclass(frozen=True, slots=True)
class Vitals:
    """Its time, and ours before and after it was asked, in s since 1970; its memory in bytes, limit 0: none."""

    time_s: float
    before_s: float
    after_s: float
    memory_used: int
    memory_limit: int


def ask(url: str, seconds: float) -> Vitals:
    """Ask the server at `url`; connecting and each of two answers take at most `seconds`.

    Raises:
        OSError: it cannot be asked.
    """
    try:
        with redis.Redis.from_url(url, socket_timeout=seconds, socket_connect_timeout=seconds) as valkey:
            before = time.time()
            whole, micros = valkey.time()
            after = time.time()
            memory = valkey.info("memory")
    except redis.RedisError as error:
        raise OSError(type(error).__name__) from None
    used, limit = int(memory.get("used_memory", 0)), int(memory.get("maxmemory", 0))
    return Vitals(whole + micros / 1e6, before, after, used, limit)
