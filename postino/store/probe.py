"""Asks a Valkey or Redis once, at start, what it can do and how durable it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from redis.asyncio.client import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from postino.errors import StoreAway
from postino.home_store import without_credentials

#: what the scripts and the store call; Redis 7.0 and Valkey 7.2 have all of it
COMMANDS = (
    "evalsha", "script|load", "time", "exists", "unlink", "rename",
    "pexpire", "persist", "copy",
    "hget", "hmget", "hgetall", "hset", "hdel", "hexists", "hincrby", "hlen", "hscan",
    "zadd", "zrem", "zcard", "zcount", "zscore", "zrange", "zrangebyscore", "zremrangebyscore",
    "xadd", "xlen", "xrange", "xrevrange", "xdel", "xtrim", "xread", "xreadgroup", "xack", "xclaim", "xautoclaim",
    "xpending", "xgroup|create", "xgroup|delconsumer", "xinfo|groups", "xinfo|stream", "xinfo|consumers",
)  # fmt: skip

_DURABLE = {"appendonly": "yes", "appendfsync": "always", "no-appendfsync-on-rewrite": "no"}


@dataclass(frozen=True, slots=True)
class Probe:
    """What the server is.

    `durability`: `fsync` if an answered write is on its disk, `volatile` if it may be lost or cannot be determined.
    `warnings`: one sentence each, for the log and `status`.
    """

    server: str
    durability: Literal["fsync", "volatile"]
    warnings: tuple[str, ...] = ()


async def probe(redis: Redis, url: str) -> Probe:
    """Ask the server behind `redis` what it can do; `url` only names it in messages, without the password.

    Raises:
        StoreAway: it does not answer, refuses the connection, lacks a command or is read-only.
    """
    where = without_credentials(url)
    with refusals(where):
        return await _probe(redis, where)


@contextlib.contextmanager
def refusals(where: str) -> Iterator[None]:
    """Turn what keeps the server `where` from answering into a StoreAway that says what to do."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        reason = str(error).rstrip(".") or type(error).__name__
        if isinstance(error.__cause__ or error, (AuthenticationError, NoPermissionError)):  # HELLO wraps it
            raise _refusal(f"{where} refuses to serve postino: {reason}; check user and password") from None
        raise _refusal(f"{where} does not serve: {reason}; start it or change POSTINO_VALKEY_URL") from None


def _refusal(sentence: str) -> StoreAway:
    return StoreAway(sentence, outcome="none")


async def _probe(redis: Redis, where: str) -> Probe:
    await redis.execute_command("PING")  # type: ignore[no-untyped-call]
    server = _server(await _if_allowed(redis.info("server")) or {})
    missing = await _missing_commands(redis)
    if missing:
        raise _refusal(f"{where} ({server}) lacks {', '.join(missing)}: postino needs Valkey 7.2+ or Redis 7.0+")
    replication = await _if_allowed(redis.info("replication"))
    if replication is not None and replication.get("role") != "master" and replication.get("slave_read_only", 1):
        raise _refusal(f"{where} ({server}) is a read-only replica: name its primary in POSTINO_VALKEY_URL")
    config = await _if_allowed(redis.config_get(*_DURABLE, "maxmemory-policy"))
    return judge(server, config, None if replication is None else str(replication.get("role")))


async def _if_allowed(answer: Any) -> dict[str, Any] | None:
    """Return the answer; None if a managed server denies the command or does not know it."""
    try:
        found: dict[str, Any] = await answer
    except ResponseError:
        return None
    return found


def _server(info: dict[str, Any]) -> str:
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info['redis_version']}" if "redis_version" in info else "unknown server"


async def _missing_commands(redis: Redis) -> list[str]:
    """Return the commands the server lacks. Its version would not do: Valkey 9 reports redis_version 7.2.4."""
    try:
        # as one word, because redis-py's own parser of COMMAND INFO fails on an unknown command
        answer = await redis.execute_command("COMMAND INFO", *COMMANDS)  # type: ignore[no-untyped-call]
    except ResponseError:
        return []  # denied; a call of a missing command will name it
    return [name.replace("|", " ").upper() for name, known in zip(COMMANDS, answer, strict=True) if not known]


def judge(server: str, config: dict[str, str] | None, role: str | None) -> Probe:
    """Judge durability from the replies to CONFIG GET and INFO replication; None for either means denied."""
    if config is None:
        warning = "CONFIG GET is denied: whether answered mail is on disk cannot be determined"
        return Probe(server, "volatile", (warning,))
    warnings = []
    wrong = [f"{name} {config.get(name, 'unknown')}" for name, value in _DURABLE.items() if config.get(name) != value]
    if role != "master":
        wrong.append(f"role {role or 'unknown'}")
    if wrong:
        wanted = ", ".join(f"{name} {value}" for name, value in _DURABLE.items())
        warnings.append(f"Accepted mail can be lost in a crash: {', '.join(wrong)}; set {wanted}")
    policy = config.get("maxmemory-policy", "unknown")
    if policy != "noeviction":
        warnings.append(f"maxmemory-policy {policy} lets the server drop mail when its memory is full; set noeviction")
    return Probe(server, "volatile" if wrong else "fsync", tuple(warnings))
