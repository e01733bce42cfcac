"""What a Valkey or Redis is: durability, role and rights, asked on every new connection and every few seconds."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec.structs import replace
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterDownError,
    ClusterError,
    NoPermissionError,
    RedisError,
)

from postino.errors import PostinoError, StoreAway
from postino.home_store import HomeStore
from postino.store.valkey.admin import parse_info, unavailable

#: what the scripts and the store call, each with arguments that change nothing, `?` for a key that does not exist;
#: Redis 7.0 and Valkey 7.2 have all of it
COMMANDS = tuple(
    line.strip()
    for line in """
        TIME
        EXISTS ?
        UNLINK ?
        RENAME ? ?
        PEXPIRE ? x
        PTTL ?
        PERSIST ?
        COPY ? ?
        HGET ? f
        HMGET ? f
        HGETALL ?
        HSET ? f v x
        HDEL ? f
        HEXISTS ? f
        HLEN ?
        HSCAN ? 0
        ZADD ? x m
        ZREM ? m
        ZCARD ?
        ZCOUNT ? 0 0
        ZSCORE ? m
        ZRANGE ? 0 0
        ZRANGEBYSCORE ? 0 0
        XADD ? x f v
        XLEN ?
        XRANGE ? - +
        XREVRANGE ? + -
        XDEL ? 1-1
        XTRIM ? MINID x
        XREAD COUNT 1 STREAMS ? 0
        XREADGROUP GROUP g c COUNT 1 STREAMS ? >
        XACK ? g 1-1
        XCLAIM ? g c 0 1-1
        XPENDING ? g
        XGROUP CREATE ? g 0
        XGROUP SETID ? g x
        XGROUP DELCONSUMER ? g c
        XINFO GROUPS ?
        XINFO STREAM ?
        XINFO CONSUMERS ? g
    """.strip().splitlines()
)
_TWO_WORDS = ("XGROUP", "XINFO")
_DURABLE = {"appendonly": "yes", "appendfsync": "always", "no-appendfsync-on-rewrite": "no"}

QUESTIONS = (
    ("INFO", "server"),
    ("INFO", "replication"),
    ("CONFIG", "GET", *_DURABLE, "maxmemory-policy"),
)


class Probe(msgspec.Struct, frozen=True):
    """What the server is.

    `durability`: `fsync` if an answered write is on its disk, `volatile` if it may be lost or cannot be determined.
    `warnings`: one sentence each, for the log and `status`.
    """

    server: str
    durability: Literal["fsync", "volatile"]
    warnings: tuple[str, ...] = ()


_UNFENCED = "A failover can lose accepted mail, because POSTINO_REPLICAS is not set; set it to 1 or more"

UNKNOWN = Probe("unknown server", "volatile")


def command_name(line: str) -> str:
    """Return the name of one of COMMANDS, in two words where it has two."""
    first, second, *_ = [*line.split(), ""]
    return f"{first} {second}" if first in _TWO_WORDS else first


def commands_json() -> str:
    """Return COMMANDS as the script `rights` takes them."""
    return json.dumps([[command_name(line), *line.split()] for line in COMMANDS])


@contextlib.contextmanager
def refusals(here: HomeStore) -> Iterator[None]:
    """Say in the StoreAway of a connection that failed which server this is, and what to do."""
    where = here.address
    try:
        yield
    except StoreAway as error:
        cause = error.__cause__
        if not isinstance(cause, (RedisError, OSError, EOFError)):
            raise
        reason = str(cause).rstrip(".") or type(cause).__name__
        if isinstance(cause.__cause__ or cause, (AuthenticationError, NoPermissionError)):  # HELLO wraps it
            raise unavailable(f"{where} refuses to serve postino: {reason}; check user and password") from None
        advice = (
            "start it or change POSTINO_VALKEY_URL" if here.url else "`postino down` ends it, `postino up` starts it"
        )
        raise unavailable(f"{where} does not serve: {reason}; {advice}") from None


def refuse_replica(replies: list[Any]) -> None:
    """Raise StoreAway if the reply to INFO replication, where there is one, is that of a replica."""
    for each in replies:
        if parse_info(each).get("role", "master") != "master":
            raise unavailable("the server is a replica at the moment")


def judge(where: str, replies: list[Any], missing: Any, *, moves: bool = False, fenced: bool = False) -> Probe:
    """Judge a server by its replies to QUESTIONS, where an error means denied, and to the script `rights`.

    `moves`: Sentinels or a cluster have named it, and would name another after a failover; `fenced`: what is accepted
    is on replicas then.

    Raises:
        StoreAway: it lacks a command, this user may not call one, or it is a read-only replica.
    """
    info, replication, config = (None if isinstance(each, Exception) else each for each in replies)
    server = _server(parse_info(info))
    role = parse_info(replication)
    if role and role.get("role") != "master" and role.get("slave_read_only", "1") == "1":
        if moves:
            raise unavailable(f"{where} ({server}) is a replica at the moment: its primary is looked for anew")
        raise unavailable(f"{where} ({server}) is a read-only replica: name its primary in POSTINO_VALKEY_URL")
    _check_rights(where, server, missing)
    found = _durability(server, None if config is None else dict(zip(config[::2], config[1::2], strict=True)), role)
    if moves and not fenced:
        return replace(found, warnings=(*found.warnings, _UNFENCED))
    return found


def history_of(replies: list[Any]) -> tuple[str, str] | None:
    """Return what names a server's process and the line of its data, from the replies to QUESTIONS; None: not said."""
    info, replication = (parse_info(each) for each in replies[:2])
    names = info.get("run_id", ""), replication.get("master_replid", "")
    return names if all(names) else None


def _check_rights(where: str, server: str, missing: Any) -> None:
    if isinstance(missing, PostinoError):
        raise missing
    if isinstance(missing, (AskError, ClusterError, ClusterDownError)):  # MOVED is an AskError
        raise unavailable(
            f"{where} ({server}) is a node of a cluster that keeps postino's keys elsewhere ({missing}); "
            "write redis+cluster://HOST:PORT,... or rediss+cluster:// in POSTINO_VALKEY_URL"
        )
    if isinstance(missing, Exception):
        raise unavailable(f"{where} ({server}) refuses postino's scripts: {missing}")
    found = dict(zip(missing[::2], missing[1::2], strict=True))
    unknown = [name for name, reason in found.items() if "called from script" in reason]
    if unknown:
        raise unavailable(f"{where} ({server}) lacks {', '.join(unknown)}: postino needs Valkey 7.2+ or Redis 7.0+")
    keys = [name for name, reason in found.items() if reason == "key"]
    if keys and len(keys) == len(found):
        raise unavailable(
            f"{where} ({server}) does not let this user read and write the keys {', '.join(keys)}: "
            "give the user all keys that begin so, e.g. by ACL SETUSER USER '~{PREFIX}:*'"
        )
    if found:
        raise unavailable(
            f"{where} ({server}) does not let this user call {', '.join(found)} on postino's keys: "
            "give the user these commands, e.g. by ACL SETUSER"
        )


def _server(info: dict[str, str]) -> str:
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info['redis_version']}" if "redis_version" in info else "unknown server"


def _durability(server: str, config: dict[str, str] | None, role: dict[str, str]) -> Probe:
    if config is None:
        warning = "CONFIG GET is denied: whether answered mail is on disk cannot be determined"
        return Probe(server, "volatile", (warning,))
    warnings = []
    wrong = [f"{name} {config.get(name, 'unknown')}" for name, value in _DURABLE.items() if config.get(name) != value]
    if role.get("role") != "master":
        wrong.append(f"role {role.get('role', 'unknown')}")
    if wrong:
        wanted = ", ".join(f"{name} {value}" for name, value in _DURABLE.items())
        warnings.append(f"Accepted mail can be lost in a crash: {', '.join(wrong)}; set {wanted}")
    policy = config.get("maxmemory-policy", "unknown")
    if policy != "noeviction":
        warnings.append(f"maxmemory-policy {policy} lets the server drop mail when its memory is full; set noeviction")
    return Probe(server, "volatile" if wrong else "fsync", tuple(warnings))
