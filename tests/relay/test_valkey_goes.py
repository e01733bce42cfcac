"""Valkey goes while a relay is connected."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from typing import Any

import redis.asyncio as redis

from postino.mcp.tools import TOOLS
from postino.relay.requests import WAIT_S
from tests.relay.looks import RECEIVER, some
from tests.relays import said


async def test_a_killed_valkey_loses_nothing_and_the_session_goes_on(daemon, spawn):
    relay = await spawn(daemon.env, **RECEIVER)
    for number in range(20):
        if number == 10:
            os.kill(daemon.valkey_pid(), signal.SIGKILL)
        await stored(relay, f"m{number}")
    read: list[str] = []
    async with asyncio.timeout(40):
        while len(read) < 20:
            answer = await relay.call("msg_read", limit=20)
            read += [each["id"] for each in answer.get("messages", ())]
    assert read == [f"m{number}" for number in range(20)]


async def stored(relay: Any, id: str) -> None:
    """Send until it is accepted; meanwhile only one answer is allowed."""
    async with asyncio.timeout(40):
        while "created" not in (answer := await relay.call("msg_send", to="bob", body="x", id=id)):
            assert (answer["code"], answer["retryable"]) == ("store_away", True)


async def test_a_send_while_valkey_is_away_is_repeated_until_it_is_back(daemon, spawn):
    relay = await spawn(daemon.env, **RECEIVER)
    os.kill(daemon.valkey_pid(), signal.SIGSTOP)
    sending, checking = relay.tool("msg_send", to="bob", body="x"), relay.tool("msg_check")
    assert said(await relay.answer(checking))["code"] == "store_away"  # the model hears soon that nothing can be read
    assert sending not in relay.came
    os.kill(daemon.valkey_pid(), signal.SIGCONT)

    sent = said(await relay.answer(sending))

    assert "created" in sent
    assert [each["id"] for each in await some(relay)] == [sent["id"]]


async def test_a_send_that_may_be_stored_is_not_refused_as_not_stored_when_memory_is_full_by_then(daemon, spawn):
    relay = await spawn(daemon.env, **RECEIVER)
    await relay.call("msg_check")
    async with contextlib.AsyncExitStack() as stack:
        valkey = redis.Redis(unix_socket_path=str(daemon.home.valkey_socket))
        stack.push_async_callback(valkey.aclose)
        await valkey.ping()
        os.kill(daemon.valkey_pid(), signal.SIGSTOP)
        sending, checking = relay.tool("msg_send", to="bob", body="x", id="m1"), relay.tool("msg_check")
        assert said(await relay.answer(checking))["code"] == "store_away"  # so the send's first reply is lost, too
        filling = asyncio.create_task(valkey.config_set("maxmemory", 1))
        await asyncio.sleep(0.1)  # it is in Valkey's hands, which does not move
        os.kill(daemon.valkey_pid(), signal.SIGCONT)
        await filling

    assert (await relay.answer(sending))["error"]["data"] == {"outcome": "unknown", "id": "m1"}


async def test_a_session_may_begin_while_valkey_is_away(daemon, spawn):
    os.kill(daemon.valkey_pid(), signal.SIGSTOP)
    relay = await spawn(daemon.env, **RECEIVER)
    assert len((await relay.ask("tools/list"))["result"]["tools"]) == len(TOOLS)
    started = time.monotonic()
    refused = await relay.call("msg_check")
    assert (refused["code"], refused["retryable"]) == ("store_away", True)
    assert time.monotonic() - started < WAIT_S / 2
    os.kill(daemon.valkey_pid(), signal.SIGCONT)
    await stored(relay, "m1")
    assert (await relay.call("msg_whoami"))["agent"] == "bob"
