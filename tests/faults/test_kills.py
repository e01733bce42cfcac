"""Kill -9 in the middle of traffic, and a checker of what came of it that is itself shown to fail.

Writers send numbered bodies and try again under the same id until they have an answer; readers acknowledge, give
back or die. Then the faults stop, everything is read out, and the whole history is judged (method of Jepsen's
queue workloads). What is counted is the content, so that a second copy under another id is seen too.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from postino.broker import Broker
from postino.client import Client
from postino.config import Settings
from postino.paths import Home
from postino.store.valkey.embedded import EmbeddedValkey
from tests.faults.kills import Got, InProcess, Traffic, progress

ROUNDS = int(os.environ.get("KILLS_ROUNDS", "1"))
pytestmark = pytest.mark.timeout(60 * ROUNDS)


class OverHttp:
    """A client of the real daemon, over its unix socket; one for each writer and reader."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.clients: dict[str, Client] = {}

    async def _call(self, who: str, work: Callable[[Client], Any]) -> Any:
        client = self.clients.setdefault(who, Client(self.home.socket, seconds=4))
        return await asyncio.to_thread(work, client)

    async def send(self, to: str, sender: str, id: str, body: str) -> int:
        return int((await self._call(sender, lambda client: client.send(to, body, sender=sender, id=id)))["seq"])

    async def read(self, inbox: str, consumer: str, limit: int, resume: bool) -> list[Got]:
        def ask(client: Client) -> Any:
            client.consumer = consumer
            return client.read(inbox, limit=limit, resume=resume)

        items = (await self._call(inbox, ask))["items"]
        return [Got(consumer, inbox, e["body"], e["seq"], e["delivery"], e["redelivered"]) for e in items]

    async def ack(self, inbox: str, consumer: str, ids: list[str]) -> None:
        await self._call(inbox, lambda client: client.ack(inbox, ids, consumer=consumer))

    async def nack(self, inbox: str, consumer: str, ids: list[str]) -> None:
        await self._call(inbox, lambda client: client.nack(inbox, ids, consumer=consumer))

    async def left(self, inbox: str) -> int:
        return int((await self._call(inbox, lambda client: client.peek(inbox, limit=1)))["total"])

    def close(self) -> None:
        for each in self.clients.values():
            each.close()


def kill_valkey(home: Home, number: signal.Signals = signal.SIGKILL) -> None:
    os.kill(int((home.data / "valkey.pid").read_text()), number)


# with kills


async def test_nothing_is_lost_when_valkey_is_killed_in_the_middle_of_traffic(home: Home) -> None:
    broker = await Broker.open(Settings(home=home, message_lease=2, max_deliveries=100, max_inbox=100_000))
    try:

        async def faults(accepted: Callable[[], int]) -> None:
            for _ in range(5 * ROUNDS):
                await progress(accepted, 30)
                kill_valkey(home)
            await progress(accepted, 30)

        history = await Traffic(InProcess(broker)).run(faults)
    finally:
        await broker.close()
        await EmbeddedValkey(home).stop()

    assert history.judge() == {}
    assert len(history.accepted) > 150
    assert any(each.redelivered for each in history.got)


async def test_nothing_is_lost_when_valkey_is_frozen_in_the_middle_of_traffic(home: Home) -> None:
    broker = await Broker.open(Settings(home=home, message_lease=2, max_deliveries=100, max_inbox=100_000))
    try:

        async def faults(accepted: Callable[[], int]) -> None:
            for seconds in (0.1, 1.7, 0.3) * ROUNDS:
                await progress(accepted, 30)
                kill_valkey(home, signal.SIGSTOP)
                await asyncio.sleep(seconds)
                kill_valkey(home, signal.SIGCONT)
            await progress(accepted, 30)

        history = await Traffic(InProcess(broker)).run(faults)
    finally:
        await broker.close()
        await EmbeddedValkey(home).stop()

    assert history.judge() == {}


async def test_nothing_is_lost_when_daemon_and_valkey_are_killed_in_turn(daemon) -> None:
    limits = {"POSTINO_MESSAGE_LEASE": "2", "POSTINO_MAX_DELIVERIES": "100", "POSTINO_MAX_INBOX": "100000"}
    await asyncio.to_thread(daemon.stop)
    await asyncio.to_thread(daemon.start, **limits)
    end = OverHttp(daemon.home)

    async def faults(accepted: Callable[[], int]) -> None:
        for victim in ("daemon", "valkey", "daemon", "both") * ROUNDS:
            await progress(accepted, 30)
            if victim != "daemon":
                kill_valkey(daemon.home)
            if victim != "valkey":
                daemon.kill()
                await asyncio.to_thread(daemon.start, **limits)
        await progress(accepted, 30)

    history = await Traffic(end).run(faults)
    end.close()

    assert history.judge() == {}
    assert len(history.accepted) > 120
