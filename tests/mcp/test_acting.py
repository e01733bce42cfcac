"""As whom a session acts: checked by the script of each call, so that no call asks for it first."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import Any

import pytest

from postino.broker import Broker, Hello, WrongAgent
from postino.errors import StoreAway
from postino.mcp.session import Session
from postino.model import Draft, Sender

ALICE = Sender(name="alice", via="http")


async def last_sender(broker: Broker, to: str = "carol") -> str:
    items, _ = await broker.mail.peek(to, 50, 0)
    return items[-1].from_


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("msg_check", {}),
        ("msg_read", {}),
        ("msg_send", {"to": "carol", "body": "x"}),
        ("msg_ack", {"ids": ["m1"]}),
        ("msg_broadcast", {"body": "x"}),
        ("msg_broadcasts", {}),
    ],
)
async def test_a_call_is_one_round_trip(settings, proxy, connect, tool: str, arguments: dict[str, Any]) -> None:
    between = await proxy()
    broker = await Broker.open(replace(settings, valkey_url=between.url))
    try:
        await broker.agents.heartbeat("carol")
        bob = await connect("bob", broker=broker)
        await bob.call(tool, **arguments)
        await asyncio.sleep(0.06)  # the next call acknowledges nothing that this one read
        between.sent.clear()

        await bob.call(tool, **arguments)

        commands = re.findall(rb"EVALSHA|HGET\b", b"".join(between.sent))
        assert commands == [b"EVALSHA"]
    finally:
        await bob.close()
        await broker.close()


async def test_a_message_bears_the_name_its_sender_has_by_then(broker: Broker, connect) -> None:
    bob = await connect("bob")
    await bob.call("msg_check")
    await broker.agents.rename("bob", "robert")

    await bob.call("msg_send", to="carol", body="hello")
    await bob.call("msg_broadcast", body="to all")

    assert await last_sender(broker) == "robert"
    assert (await broker.broadcasts.page(10, 0))[0][-1].from_ == "robert"


async def test_a_session_never_acts_as_whoever_took_its_former_name(broker: Broker, connect) -> None:
    bob = await connect("bob")
    await bob.call("msg_check")
    await broker.agents.rename("bob", "robert")
    await broker.sessions.join(Hello(session="s-other", generation=1, name="x"))
    await broker._store.call("HDEL", broker._store.keys.shared("agents"), "bob")  # the alias has lapsed
    await broker.agents.rename("x", "bob")
    await broker.mail.send(Draft(id="theirs", to="bob", body="for the new bob"), ALICE)
    await broker.mail.send(Draft(id="ours", to="robert", body="for the old one"), ALICE)

    assert [each["id"] for each in (await bob.call("msg_read"))["messages"]] == ["ours"]
    await bob.call("msg_send", to="carol", body="hello")
    assert await last_sender(broker) == "robert"
    assert (await broker.mail.state("bob", "theirs")).state == "queued"


async def test_a_call_of_an_agent_that_is_renamed_again_and_again_says_that_nothing_was_done(broker: Broker) -> None:
    session = Session(broker, Hello(session="s-1", generation=1, name="bob"))

    async def renamed_meanwhile(_: str) -> None:
        raise WrongAgent("another")

    with pytest.raises(StoreAway) as refusal:
        await session.acting(renamed_meanwhile)
    assert refusal.value.detail["outcome"] == "none"
    await session.close()
