"""A broker starts on the embedded Valkey: in a home of any name, and with a server that answers late."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from postino.broker import Broker
from postino.config import Settings
from postino.errors import StoreAway
from postino.paths import Home
from postino.store.valkey.admin import ask
from postino.store.valkey.embedded import EmbeddedValkey


@pytest.fixture(autouse=True)
def patience() -> None:
    """Let no store answer late: these tests claim how long a start waits for one."""


@asynccontextmanager
async def opened(home: Home) -> AsyncIterator[Broker]:
    """Give a broker on the server of a home, which ends with it."""
    try:
        broker = await Broker.open(Settings(home=home))
        yield broker
        await broker.close()
    finally:
        await EmbeddedValkey(home).stop()


async def hold_writes(home: Home, milliseconds: int) -> None:
    """Start the server of a home: it says who it is, but what writes has to wait."""
    await EmbeddedValkey(home).start()
    await ask(home.valkey_socket, ("CLIENT", "PAUSE", str(milliseconds), "WRITE"), seconds=2.0)


@pytest.mark.parametrize("name", ["with blank", "per%20cent", "ha#sh", "que?stion", "ünï"])
async def test_a_home_may_have_any_name(home: Home, send, name: str) -> None:
    odd = Home(home.root / name)
    async with opened(odd) as broker:
        assert (await send(broker, "m1")).created


async def test_a_server_that_answers_late_is_waited_for(home: Home, send) -> None:
    await hold_writes(home, 2500)  # longer than a call waits

    async with opened(home) as broker:
        assert (await send(broker, "m1")).created


async def test_one_that_does_not_answer_ends_the_start_with_advice(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postino.broker.broker.EMBEDDED_PATIENCE_S", 0.1)
    await hold_writes(home, 1500)

    with pytest.raises(StoreAway, match=r"does not serve: .*; `postino down` ends it, `postino up` starts it"):
        async with opened(home):
            pass
