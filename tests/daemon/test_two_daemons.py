"""Two daemons on one store, as two machines have them: one is restarted, stopped or held up while the other goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from postino.paths import Home
from tests.daemons import Daemon, daemon_of
from tests.homes import scratch_home
from tests.relays import RealRelay, real_relays, said
from tests.servers import Proxy
from tests.waiting import eventually

LEASE_S = 1


@dataclass
class Two:
    """Two daemons, and what starts relays."""

    a: Daemon
    b: Daemon
    spawn: Any

    async def bob(self, daemon: Daemon) -> RealRelay:
        """Connect a session that reads the inbox of bob."""
        relay: RealRelay = await self.spawn(daemon.env, POSTINO_AGENT_NAME="bob")
        return relay

    async def mail(self) -> None:
        """Send m1 to bob."""
        await asyncio.to_thread(self.b.posted, "messages", {"to": "bob", "from": "ann", "body": "x", "id": "m1"})

    async def state(self) -> dict[str, Any]:
        """Return what became of m1, as the second daemon says."""
        found: dict[str, Any] = await asyncio.to_thread(self.b.asked, "messages/bob/m1")
        return found


@pytest.fixture
async def proxy(valkey: str) -> AsyncIterator[Proxy]:
    """What the first daemon takes for its store."""
    made = await Proxy(valkey).open()
    yield made
    await made.close()


@pytest.fixture
async def two(valkey: str, proxy: Proxy, home: Home) -> AsyncIterator[Two]:
    """Both daemons; the first one reaches the store by the proxy."""
    common = {"POSTINO_KEY_PREFIX": f"t{secrets.token_hex(6)}:", "POSTINO_MESSAGE_LEASE": str(LEASE_S)}
    with scratch_home() as other:
        first = daemon_of(home, POSTINO_VALKEY_URL=proxy.url, **common)
        second = daemon_of(other, POSTINO_VALKEY_URL=valkey, **common)
        async with real_relays() as spawn:
            a = await asyncio.to_thread(first.__enter__)
            b = await asyncio.to_thread(second.__enter__)
            try:
                yield Two(a, b, spawn)
            finally:
                with contextlib.suppress(ProcessLookupError):  # it has been replaced
                    os.kill(a.pid, signal.SIGCONT)
                for daemon in (a, b):
                    await asyncio.to_thread(run, daemon, "down")
                second.__exit__(None, None, None)
                first.__exit__(None, None, None)


def run(daemon: Daemon, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command at a daemon's home."""
    command = [sys.executable, "-m", "postino", *words]
    return subprocess.run(command, env=daemon.env, cwd="/", capture_output=True, text=True, check=False)


def given(answer: Any) -> list[tuple[str, int, bool]]:
    return [(each["id"], each["delivery"], each["redelivered"]) for each in answer["messages"]]


async def read_by(relay: RealRelay) -> list[tuple[str, int, bool]]:
    """Read until there is something."""
    return await eventually(lambda: _read(relay), "it is given out again")  # type: ignore[no-any-return]


async def _read(relay: RealRelay) -> list[tuple[str, int, bool]]:
    return given(await relay.call("msg_read"))


async def test_sessions_and_commands_notice_no_rolling_restart(two: Two) -> None:
    ada: RealRelay = await two.spawn(two.a.env, POSTINO_AGENT_NAME="ada")
    over, sent, failed = asyncio.Event(), {"session": 0, "command": 0}, []

    async def by_session() -> None:
        while not over.is_set():
            answer = await ada.call("msg_send", to="bob", body="x", id=f"s{sent['session']}")
            failed.extend([answer] if "error" in answer else [])
            sent["session"] += 1
            await asyncio.sleep(0.01)

    async def by_command() -> None:
        while not over.is_set():
            done = await asyncio.to_thread(run, two.b, "send", "bob", "x", "--id", f"c{sent['command']}")
            failed.extend([done] if done.returncode else [])
            sent["command"] += 1

    traffic = [asyncio.create_task(by_session()), asyncio.create_task(by_command())]
    try:
        for daemon in (two.a, two.b):
            for words in (("down",), ("up",)):
                assert (await asyncio.to_thread(run, daemon, *words)).returncode == 0
            before = dict(sent)
            await eventually(lambda before=before: all(sent[each] > before[each] + 2 for each in sent), "both go on")
    finally:
        over.set()
        await asyncio.gather(*traffic)

    assert failed == []
    waiting = await asyncio.to_thread(two.b.asked, "messages/bob?limit=200")
    assert waiting["total"] == sum(sent.values())


async def test_a_daemon_that_was_stopped_acknowledges_nothing_that_another_session_was_given_meanwhile(
    two: Two,
) -> None:
    zombie, other = await two.bob(two.a), await two.bob(two.b)
    await two.mail()
    assert given(await zombie.call("msg_read")) == [("m1", 1, False)]
    os.kill(two.a.pid, signal.SIGSTOP)
    assert await read_by(other) == [("m1", 2, True)]
    reader = (await two.state())["reader"]
    os.kill(two.a.pid, signal.SIGCONT)

    assert (await zombie.call("msg_ack", ids=["m1"]))["acknowledged"] == []
    await zombie.call("msg_check")  # a sign that its model went on
    assert await _read(zombie) == []
    state = await two.state()
    assert (state["state"], state["reader"], state["deliveries"]) == ("leased", reader, 2)

    assert (await other.call("msg_ack", ids=["m1"]))["acknowledged"] == ["m1"]
    assert (await two.state())["state"] == "acked"


async def test_an_answer_that_comes_after_its_lease_shows_nothing(two: Two, proxy: Proxy) -> None:
    late, other = await two.bob(two.a), await two.bob(two.b)
    await two.mail()
    proxy.gate = asyncio.Semaphore(0)  # from now on its store answers nobody
    asking = asyncio.create_task(late.ask("tools/call", {"name": "msg_read", "arguments": {}}))

    async def is_leased() -> bool:
        return (await two.state())["state"] == "leased"

    await eventually(is_leased, "its read has leased")
    os.kill(two.a.pid, signal.SIGSTOP)
    assert await read_by(other) == [("m1", 2, True)]
    proxy.let_go()
    os.kill(two.a.pid, signal.SIGCONT)

    refused = said(await asking)
    assert (refused["code"], refused["outcome"]) == ("store_away", "unknown")
    assert await _read(late) == []
    assert "read_held_up" in two.a.home.log.read_text()
    assert (await two.state())["deliveries"] == 2
