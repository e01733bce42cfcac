"""MCP over HTTP while its daemon is killed: nothing is lost, nothing acknowledged that the client has not seen.

And while its store hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import time
from typing import Any

import aiohttp
import pytest

from tests.daemons import Daemon
from tests.mcp_http import READ, HttpClient, post_unread

MESSAGES = 12
KILLS = 2


class Reader:
    """A client that opens another session whenever its own is gone, and notes what it was given."""

    def __init__(self, daemon: Daemon, http: aiohttp.ClientSession, headers: dict[str, str]) -> None:
        self.daemon = daemon
        self.http = http
        self.headers = headers
        self.client: HttpClient | None = None
        self.seen: dict[str, int] = {}  # id -> how often
        self.unlabelled: list[str] = []

    async def call(self, tool: str, **arguments: Any) -> Any:
        """Call a tool until there is an answer."""
        for _ in range(200):
            with contextlib.suppress(aiohttp.ClientError, AssertionError, OSError):
                if self.client is None:
                    self.client = await HttpClient(self.http, f"{self.daemon.url}/mcp", **self.headers).open()
                return await self.client.call(tool, **arguments)
            self.client = None
            await asyncio.sleep(0.05)
        raise AssertionError("no answer")

    async def read(self) -> list[str]:
        given = (await self.call("msg_read", limit=2))["messages"]
        for each in given:
            if each["id"] in self.seen and not each["redelivered"]:
                self.unlabelled.append(each["id"])
            self.seen[each["id"]] = self.seen.get(each["id"], 0) + 1
        return [each["id"] for each in given]

    def read_nothing(self) -> socket.socket:
        """Ask for messages and do not read the answer."""
        assert self.client is not None
        line = post_unread(self.client, self.daemon.port, self.client.message("tools/call", READ))
        time.sleep(0.1)  # for the answer to be written
        return line


@pytest.mark.parametrize("key", [True, False], ids=["a session key", "a name alone"])
async def test_kills_lose_nothing_and_acknowledge_nothing_unseen(daemon: Daemon, key: bool) -> None:
    chance = random.Random(7)
    if not key:  # then only the end of the lease gives back what the killed daemon's session held
        daemon.stop()
        daemon.start(POSTINO_MESSAGE_LEASE="1")
    sent = {f"m{number}" for number in range(MESSAGES)}
    for id in sent:
        daemon.posted("messages", {"to": "bob", "body": "x", "id": id})
    headers = {"X_Postino_Agent": "bob"} | ({"X_Postino_Session": "the reader"} if key else {})
    async with aiohttp.ClientSession() as http:
        reader = Reader(daemon, http, headers)
        for round in range(KILLS):
            for _ in range(chance.randrange(3)):
                await reader.read()
                await asyncio.sleep(0.06)
            await reader.call("msg_check")
            if round % 2:
                with await asyncio.to_thread(reader.read_nothing):
                    await asyncio.to_thread(_restart, daemon)
            else:
                reading = asyncio.create_task(reader.read())
                await asyncio.sleep(chance.choice((0, 0.001, 0.003, 0.01, 0.06)))
                await asyncio.to_thread(_restart, daemon)
                await asyncio.wait([reading])
            assert sent - _unacknowledged(daemon) <= set(reader.seen)
        async with asyncio.timeout(60):
            while _unacknowledged(daemon):
                if not await reader.read():
                    await asyncio.sleep(0.1)
                await asyncio.sleep(0.06)
                await reader.call("msg_check")

    assert set(reader.seen) == sent
    assert reader.unlabelled == []


async def test_clients_that_come_while_the_store_hangs_do_not_wait_for_each_other(daemon: Daemon) -> None:
    async with aiohttp.ClientSession() as http:
        await HttpClient(http, f"{daemon.url}/mcp").open()  # the code of this face is loaded
        clients = [HttpClient(http, f"{daemon.url}/mcp") for _ in range(8)]
        os.kill(daemon.valkey_pid(), signal.SIGSTOP)
        try:
            began = time.monotonic()
            await asyncio.gather(*(each.open() for each in clients))
            took = time.monotonic() - began
        finally:
            os.kill(daemon.valkey_pid(), signal.SIGCONT)

    assert took < 4  # of 1.5 s that the store is waited for; one after the other it would be 12


def _restart(daemon: Daemon) -> None:
    daemon.kill()
    daemon.start(**daemon.extra)


def _unacknowledged(daemon: Daemon) -> set[str]:
    return {each["id"] for each in daemon.asked("messages/bob?limit=200")["items"]}
