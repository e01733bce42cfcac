"""Short words for what every test of the broker does: send, introduce a session, follow the events, wait."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable

import pytest

from postino.broker import Broker, Hello
from postino.model import BroadcastDraft, BroadcastSent, Draft, Event, Sender, Sent
from tests import waiting
from tests.broker.mailrooms import Open, fill


@pytest.fixture(autouse=True)
def patience(request: pytest.FixtureRequest) -> None:
    """Let the store answer late, but for tests that have a server or a proxy of their own, or open a broker at one."""
    if {"proxy", "serve", "open_at"}.isdisjoint(request.fixturenames):
        request.getfixturevalue("patient_store")


@pytest.fixture
def send() -> Callable[..., Awaitable[Sent]]:
    """Send one message: `await send(broker, "m1", to="bob")`."""

    async def one(broker: Broker, id: str, *, to: str = "bob", body: str = "hello", sender: str = "ci", **more) -> Sent:
        return await broker.mail.send(Draft(id=id, to=to, body=body, **more), Sender(name=sender, via="http"))

    return one


@pytest.fixture
def say() -> Callable[..., Awaitable[BroadcastSent]]:
    """Broadcast: `await say(broker, "b1")`."""

    async def one(broker: Broker, id: str, *, body: str = "hear", sender: str = "ci") -> BroadcastSent:
        return await broker.broadcasts.broadcast(BroadcastDraft(id=id, body=body), Sender(name=sender, via="http"))

    return one


@pytest.fixture
def hello() -> Callable[..., Hello]:
    """Make a session's hello: one of its own unless `session` names it."""

    def one(session: str = "", generation: int = 1, **more) -> Hello:
        return Hello(session=session or f"s-{secrets.token_hex(8)}", generation=generation, **more)

    return one


@pytest.fixture
def events() -> Callable[..., Awaitable[list[Event]]]:
    """Return what happened so far, of some types or all: `await events(broker, "agent_online")`."""

    async def some(broker: Broker, *types: str) -> list[Event]:
        found, _ = await broker.events.replay("0-0", 20_000)
        return [each for each in found if not types or each.type in types]

    return some


@pytest.fixture
def eventually() -> Callable[..., Awaitable[object]]:
    """Wait for a condition, plain or async, with a deadline; return its first true value."""
    return waiting.eventually


@pytest.fixture
def due() -> Callable[..., Awaitable[None]]:
    """Wait until a read of an agent could give something: a lease ended, a delay is over, mail came."""

    async def wait(broker: Broker, agent: str = "bob", seconds: float = 5) -> None:
        end = asyncio.get_running_loop().time() + seconds
        while not (await broker.agents.check(agent)).unread_messages:
            left = end - asyncio.get_running_loop().time()
            assert left > 0, f"waited {seconds} s for mail for {agent}"
            await broker.mail.wait(agent, left)  # may return early: it says that mail may be there

    return wait


@pytest.fixture
async def first(open_broker: Open) -> Broker:
    """A mailroom that holds everything that one can hold."""
    broker = await open_broker(max_deliveries=3)
    await fill(broker)
    return broker


@pytest.fixture
async def second(open_broker: Open) -> Broker:
    """An empty mailroom."""
    return await open_broker(max_deliveries=3, key_prefix=f"t{secrets.token_hex(6)}:")


@pytest.fixture
async def people(broker: Broker) -> Broker:
    """A mailroom with the people ann and robert."""
    for name in ("ann", "robert"):
        await broker.people.register(name)
    return broker
