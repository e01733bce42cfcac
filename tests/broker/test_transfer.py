"""Export and import: a second mailroom made from the export of a first answers the same on every face."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from postino.broker import Broker, Hello
from postino.model import BroadcastDraft, Draft, Sender

Open = Callable[..., Awaitable[Broker]]
CI = Sender(name="ci", via="http")
ALICE = Sender(name="alice", via="mcp", verified=True)
BODIES = ['{"a": "\\u0000"}', "naïve ✉ 漢字 🎉", "line\nline\r\n\ttab", " ", '"\\' * 50, "x" * 32_768, "🎉" * 32_768]


@pytest.fixture
async def other(open_broker: Open) -> Broker:
    """A second mailroom, empty."""
    return await open_broker(key_prefix=f"other{id(open_broker)}:")


async def exported(broker: Broker) -> list[dict[str, Any]]:
    """The lines of an export."""
    return [json.loads(line) for line in await raw(broker)]


async def raw(broker: Broker) -> list[bytes]:
    return b"".join([part async for part in broker.transfer.export()]).splitlines(keepends=True)


async def imported(broker: Broker, lines: list[Any], **how: bool) -> Any:
    async def feed() -> AsyncIterator[bytes]:
        for line in lines:
            yield line if isinstance(line, bytes) else json.dumps(line).encode()

    return await broker.transfer.import_(feed(), **how)


async def fill(broker: Broker) -> None:
    """Put everything into a mailroom that one can hold."""

    async def send(id: str, to: str = "bob", sender: Sender = CI, **more: str) -> None:
        await broker.mail.send(Draft(id=id, to=to, **({"body": f"body of {id}"} | more)), sender)

    await broker.sessions.join(Hello(session="s-a", generation=1, name="alice", claude_session_id="c-1"))
    for number in range(12):
        await send(f"m{number}", thread="t1", reply_to="earlier") if number % 2 else await send(
            f"m{number}", sender=ALICE
        )
    await broker.mail.read("bob", "s-b", limit=6)
    await broker.mail.ack("bob", "s-b", ["m0"])
    await broker.mail.nack("bob", "s-b", ["m1"], 600_000)
    await broker.mail.nack("bob", "s-b", ["m2"])
    await broker.mail.undo_read("bob", "s-b", ["m3"])
    for _ in range(2):  # m2 dies, with max_deliveries 3
        await broker.mail.read("bob", "s-c", limit=1)
        await broker.mail.nack("bob", "s-c", ["m2"])
    for _ in range(3):
        await broker.mail.read("bob", "s-c", limit=1)
        await broker.mail.nack("bob", "s-c", ["m3"])
    await broker.dead.requeue("bob", ["m2"])
    for number, body in enumerate(BODIES):
        await send(f"body{number}", to="texts", body=body)
    await send("same", to="texts")
    await send("same", to="bob")
    await send("gone", to="cleared")
    await broker.mail.clear("cleared")
    await broker.agents.rename("bob", "robert")
    await send("after", to="bob")
    for number in range(5):
        await broker.broadcasts.broadcast(BroadcastDraft(id=f"b{number}", body=f"hear {number}"), CI)
        if number == 1:
            await broker.broadcasts.clear()
    await broker.broadcasts.read("robert", 1)
    await broker.broadcasts.read("alice", 10)


async def answers(broker: Broker) -> dict[str, Any]:
    """What every face answers from, of all agents; leased messages as an export has them."""
    found: dict[str, Any] = {}
    names = ["alice", "robert", "bob", "texts", "cleared", "nobody"]
    for name in names:
        found[f"peek {name}"] = await broker.mail.peek(name, 200, 0)
        found[f"dead {name}"] = await broker.dead.page(name, 200, 0)
        found[f"check {name}"] = await broker.agents.check(name)
    for id in [*(f"m{number}" for number in range(12)), "same", "after"]:
        state = await broker.mail.state("robert", id)
        found[f"state {id}"] = (
            state.state if state.state != "leased" else "queued",
            state.deliveries,
            state.seq,
            state.from_,
            state.timestamp,
            state.reason,
            state.reader,
            state.settled_at,
        )
    found["gone"] = await broker.mail.state("cleared", "gone")
    found["broadcasts"] = await broker.broadcasts.page(200, 0)
    found["unseen"] = [await broker.broadcasts.read(name, 10, move=False) for name in names]
    page = await broker.history.search(limit=200)
    found["history"] = [(each.entry, each.kind, each.id, each.body, each.to, each.from_) for each in page.items]
    agents, _ = await broker.agents.page(200, 0)
    found["agents"] = [(each.name, each.message_count, each.dead, each.aliases, each.last_seen) for each in agents]
    return found


async def test_an_imported_mailroom_answers_as_the_exported_one(open_broker: Open, other: Broker) -> None:
    broker = await open_broker(max_deliveries=3)
    await fill(broker)

    lines = await raw(broker)
    done = await imported(other, lines)
    # the leases of the first end, as those of the second have
    for agent, consumer in (("robert", "s-b"),):
        held = [each.id for each in (await broker.mail.read(agent, consumer, resume=True, limit=3)).items]
        assert held

    assert done.counts["message"] == 12 - 2 + len(BODIES) + 3
    assert done.stored == sum(done.counts.values()) - 1
    second = await raw(other)
    assert second[1:] == lines[1:]
