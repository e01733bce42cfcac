"""The real relay as a process, its client by hand or the SDK's own, and the daemon it finds, loses or starts."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from postino.paths import Home
from tests.daemons import Daemon
from tests.processes import kill_all
from tests.relays import COMMAND, INITIALIZE, RealRelay, real_relays


@pytest.fixture
async def spawn() -> AsyncIterator[Callable[..., Awaitable[RealRelay]]]:
    """Start a real relay: `await spawn(daemon.env, POSTINO_AGENT_NAME="bob")`."""
    async with real_relays() as spawn:
        yield spawn


@pytest.fixture
def sdk_client() -> Callable[..., Client]:
    """The SDK's own client on a real relay: `async with sdk_client(daemon.env, "bob") as client`."""

    def make(env: dict[str, str], name: str, mode: str = "legacy") -> Client:
        command, *args = COMMAND
        named = env | {"POSTINO_AGENT_NAME": name}
        return Client(StdioServerParameters(command=command, args=args, env=named, cwd="/tmp"), mode=mode)  # type: ignore[arg-type]

    return make


@pytest.fixture
def initialize() -> dict[str, Any]:
    """The parameters of a client's first request."""
    return dict(INITIALIZE)


@dataclass(frozen=True)
class Steady:
    """A daemon that several tests share because none of them harms it, and an agent name of one test's own."""

    home: Home
    env: dict[str, str]
    name: str


@pytest.fixture
def steady(served: Daemon) -> Steady:
    """The shared daemon, with a name nobody else has."""
    return Steady(served.home, served.env, f"agent-{os.urandom(4).hex()}")


@pytest.fixture
def replaceable(daemon: Daemon) -> Iterator[Daemon]:
    """The daemon, which a relay may replace: whatever serves its home in the end is ended."""
    yield daemon
    kill_all(daemon.home.root)


@pytest.fixture
def down(replaceable: Daemon) -> Daemon:
    """A home whose daemon has ended; whatever is started for it is ended too."""
    replaceable.stop()
    return replaceable
