"""Connected sessions that are told of mail, on a real broker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from postino.broker import Broker
from tests.relays import HandRelay, hand_relays


@pytest.fixture
async def connect(broker: Broker) -> AsyncIterator[Callable[..., Awaitable[HandRelay]]]:
    """Connect a relay by hand: `await connect("bob")`; with a name it is greeted and its client initialized."""
    async with hand_relays(broker) as connect:
        yield connect
