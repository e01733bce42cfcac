"""A mailroom with everything in it, and what it answers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from postino.broker import Broker, Hello
from postino.event_place import EventPlace, stream_parts
from postino.model import BroadcastDraft, Draft, Sender
from postino.store.store import Store

T = TypeVar("T", Broker, Store)
Open = Callable[..., Awaitable[Broker]]
Lines = list[dict[str, Any]]
CI = Sender(name="ci", via="http")
ALICE = Sender(name="alice", via="mcp", verified=True)
LETTERS = {"thread": "a title: t1", "reply_to": "earlier", "expects": "none"}
BODIES = ['{"a": "\\u0000"}', "naïve ✉ 漢字", "line\nline\r\n\ttab", " ", '"\\' * 50, "x" * 32_768, "🎉" * 32_768]
IDS = (*(f"m{number}" for number in range(12)), "same", "after")


@contextlib.asynccontextmanager
async def closing(opening: Awaitable[T]) -> AsyncIterator[T]:
    """Open a broker or store, and close it at the end."""
    opened = await opening
    try:
        yield opened
    finally:
        await opened.close()


async def send(broker: Broker, id: str, to: str = "bob", sender: Sender = CI, **more: Any) -> bool:
    sent = await broker.mail.send(Draft(id=id, to=to, **({"body": f"body of {id}"} | more)), sender)
    return sent.created


async def fill(broker: Broker) -> None:
    await broker.sessions.join(Hello(session="s-a", generation=1, name="alice", claude_session_id="c-1"))
    for number in range(12):
        await send(
            broker,
            f"m{number}",
            sender=CI if number % 2 else ALICE,
            thread="a title: t1",
            reply_to="earlier",
            expects="none",
        )
    for _ in range(2):  # m0 and m1 die
        await broker.mail.read("bob", "s-b", limit=2)
        await broker.mail.nack("bob", "s-b", ["m0", "m1"])
    await broker.mail.read("bob", "s-b", limit=2)
    await broker.mail.nack("bob", "s-b", ["m0", "m1"])
    await broker.dead.requeue("bob", ["m1"])
    await broker.mail.read("bob", "s-b", limit=5)  # m2 to m6
    await broker.mail.ack("bob", "s-b", ["m2"])
    await broker.mail.nack("bob", "s-b", ["m3"], 600_000)
    await broker.mail.nack("bob", "s-b", ["m4"])
    await broker.mail.undo_read("bob", "s-b", ["m5"])
    for number, body in enumerate(BODIES):
        await send(broker, f"body{number}", to="texts", body=body)
    for to in ("texts", "bob"):
        await send(broker, "same", to=to)
    await send(broker, "gone", to="cleared")
    await broker.mail.clear("cleared")
    await broker.agents.rename("bob", "robert")
    await send(broker, "after", to="bob")
    for number in range(5):
        await broker.broadcasts.broadcast(BroadcastDraft(id=f"b{number}", body=f"hear {number}"), CI)
        if number == 1:
            await broker.broadcasts.clear()
    await broker.broadcasts.read("robert", 1)
    await broker.broadcasts.read("alice", 10)


def has_told(broker: Broker, place: EventPlace) -> bool:
    """Return whether a daemon has told its listeners all that is before a place."""
    return all(
        stream_parts(mine) >= stream_parts(other) for mine, other in zip(broker.events._place, place, strict=True)
    )


async def raw(broker: Broker) -> list[bytes]:
    return b"".join([part async for part in broker.transfer.export()]).splitlines(keepends=True)


def comparable(lines: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Return the lines in their order without the head, and those of ids, which a hash has in any order."""
    ids = [each for each in lines if each.startswith(b'{"type":"id"')]
    return [each for each in lines[1:] if each not in ids], sorted(ids)


async def exported(broker: Broker) -> Lines:
    return [json.loads(line) for line in await raw(broker)]


async def imported(broker: Broker, lines: list[Any], **how: bool) -> Any:
    async def raw_lines() -> AsyncIterator[bytes]:
        for line in lines:
            yield line if isinstance(line, bytes) else json.dumps(line).encode()

    return await broker.transfer.import_(raw_lines(), **how)


async def older(broker: Broker, agent: str, id: str, days: int) -> None:
    """Make an unread message as old as if it had been sent that many days ago."""
    keys, call = broker._store.keys, broker._store.call
    ((stream_id, fields),) = await call("XRANGE", keys.of("inbox", agent), "-", "+")
    sent = int(stream_id.partition("-")[0]) - days * 24 * 3600 * 1000
    await call("UNLINK", keys.of("inbox", agent))
    await call("XADD", keys.of("inbox", agent), f"{sent}-1", *fields)
    record = await call("HGET", keys.of("index", agent), id)
    await call("HSET", keys.of("index", agent), id, record.replace(stream_id, f"{sent}-1", 1))


async def next_ms(broker: Broker) -> None:
    """Wait for the next ms of Valkey's clock: what is sent in one ms is told before all else that happened in it."""
    before = await broker.events.now_ms()
    while await broker.events.now_ms() == before:
        pass
