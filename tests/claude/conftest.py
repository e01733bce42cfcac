"""Connected sessions that are notified of mail, on a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from postino.broker import Broker
from postino.claude import wake
from postino.claude.wake import Wakes
from postino.mcp.connected import ConnectedSessions
from tests.relays import connect as connect


@pytest.fixture
async def sessions(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ConnectedSessions]:
    """The sessions of a daemon that wakes them, with short pauses."""
    monkeypatch.setattr(wake, "MIN_GAP_S", 0.2)
    made = ConnectedSessions()
    waking = asyncio.create_task(Wakes(broker, made, "auto").run())
    yield made
    waking.cancel()
    await asyncio.gather(waking, return_exceptions=True)


@pytest.fixture
def idle(connect: Any, sessions: ConnectedSessions) -> Any:
    """Connect a session that can be woken: `await idle("bob")`."""

    async def one(name: str, **hello: Any) -> Any:
        return await connect(name, sessions=sessions, claude={"pid": 1, "socket": "/tmp/1.sock"}, **hello)

    return one
