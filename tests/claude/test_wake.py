"""Whom the daemon wakes, and when it tries again: relays played by hand, the wakes of a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from postino.broker import Broker
from postino.broker.claude import ClaudeProcesses
from postino.claude import wake
from postino.claude.wake import Wakes
from postino.mcp.connected import ConnectedSessions
from postino.model import BroadcastDraft, Draft, Sender

ANN = Sender(name="ann", via="http")


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


async def mail(broker: Broker, id: str, to: str = "bob") -> None:
    await broker.mail.send(Draft(id=id, to=to, body="secret"), ANN)


async def quiet() -> None:
    """Wait until whoever is to be woken for what came so far has been."""
    await asyncio.sleep(3 * wake.COLLECT_S)


async def woken(relay: Any, *, ok: bool = True) -> str:
    """Take the next wake, say how it went, and return its text."""
    line = await relay.next()
    assert line["postino"] == "wake"
    relay.send(b'{"postino":"woken","msg_id":"%s","ok":%s}' % (line["msg_id"].encode(), b"true" if ok else b"false"))
    return str(line["text"])


async def told(broker: Broker, id: str, how: str) -> None:
    async with asyncio.timeout(5):
        while (await broker.mail.state("bob", id)).notified != how:  # noqa: ASYNC110 - it is written in Valkey
            await asyncio.sleep(0.01)


async def test_a_session_that_could_not_be_reached_is_tried_again(broker, idle):
    bob = await idle("bob")
    await mail(broker, "m1")

    assert (await woken(bob, ok=False)).endswith("newest id m1")
    assert (await broker.mail.state("bob", "m1")).notified == "none"
    assert (await woken(bob)).endswith("newest id m1")
    await told(broker, "m1", "socket")


async def test_a_session_that_connects_again_is_woken_for_what_came_meanwhile(broker, idle):
    bob = await idle("bob", session="s-bob")
    await bob.close()
    await mail(broker, "m1")
    await quiet()

    bob = await idle("bob", session="s-bob", generation=2)

    assert (await woken(bob)).endswith("newest id m1")


async def test_a_session_that_begins_is_left_to_its_first_hook(broker, idle):
    await mail(broker, "m1")
    await quiet()
    bob = await idle("bob")
    await quiet()
    await mail(broker, "m2")

    assert (await woken(bob)).startswith("[postino] 2 unread messages (from unverified 'ann'): call msg_read")


@pytest.mark.parametrize("end", ["leave", "nack"])
async def test_mail_that_another_session_gives_back_wakes_again(broker, idle, connect, end):
    bob = await idle("bob")
    await mail(broker, "m1")
    await woken(bob)
    await told(broker, "m1", "socket")
    other = await connect("bob", session="s-other")
    assert (await other.call("msg_read"))["messages"]

    if end == "leave":
        await other.close()
    else:
        await broker.mail.nack("bob", "s-other", ["m1"])

    assert (await woken(bob)).endswith("newest id m1")


async def test_what_another_program_wrote_into_the_events_ends_no_wake(broker, idle):
    bob = await idle("bob")
    await broker._store.call("XADD", broker._store.keys.shared("events"), "*", "type", "msg_send")

    await mail(broker, "m1")

    assert (await woken(bob)).endswith("newest id m1")


async def test_a_failure_nobody_thought_of_ends_the_wakes_for_a_moment_only(broker, idle, sessions, monkeypatch):
    bob = await idle("bob")
    real, failed = ClaudeProcesses.unnotified, asyncio.Event()

    async def announce(self, *given, **more):
        if failed.is_set():
            return await real(self, *given, **more)
        failed.set()
        raise ValueError("unheard of")

    monkeypatch.setattr(ClaudeProcesses, "unnotified", announce)
    await mail(broker, "m1")
    await failed.wait()

    assert (await woken(bob)).endswith("newest id m1")


async def test_a_session_that_is_never_reached_is_tried_at_one_pace_however_much_comes(
    broker, idle, sessions, monkeypatch
):
    monkeypatch.setattr(wake, "MIN_GAP_S", 0.02)
    monkeypatch.setattr(wake, "MAX_RETRY_S", 0.4)
    bob = await idle("bob")
    (connected,) = sessions
    connected.failed_wakes = 2000  # after a week: no number of seconds grows without end
    for number in range(10):
        await mail(broker, f"m{number}")
        await woken(bob, ok=False)
        await asyncio.sleep(2 * wake.MIN_GAP_S)

    tries, end = 0, asyncio.get_running_loop().time() + 2
    while asyncio.get_running_loop().time() < end:
        await woken(bob, ok=False)
        tries += 1

    assert 2 <= tries <= 8


async def test_a_broadcast_that_a_wake_told_of_is_not_told_again(broker, idle, sessions):
    bob = await idle("bob")
    await broker.broadcasts.broadcast(BroadcastDraft(id="b1", body="all"), ANN)
    await mail(broker, "m1")

    assert "1 unseen broadcast" in await woken(bob)
    await told(broker, "m1", "socket")
    (connected,) = sessions
    waiting = await broker.claude.unnotified("bob", connected.process, "")

    assert (waiting.unseen, waiting.new_unseen) == (1, 0)
