"""The daemon goes while a relay is connected: it is replaced, nothing is lost, and what is unknown is said."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from postino.relay.lines import IDEMPOTENT_TOOLS, REPEATABLE_TOOLS
from postino.relay.requests import REPEAT_S, WAIT_S
from postino.relay.starter import LOG_LIMIT, RESTART
from tests.relay.looks import RECEIVER, age_s, pid_of_daemon, replaced, some, starting
from tests.relays import said
from tests.waiting import eventually


async def test_a_killed_daemon_is_replaced_and_the_client_notices_nothing(replaceable, spawn):
    relay = await spawn(replaceable.env, **RECEIVER)
    await relay.call("msg_send", to="bob", body="kept", id="m1")
    replaceable.kill()
    assert (await relay.call("msg_whoami"))["agent"] == "bob"
    assert [each["id"] for each in (await relay.call("msg_read"))["messages"]] == ["m1"]
    assert (await relay.ask("tools/list"))["result"]["tools"]
    assert relay.others == []


async def test_who_wants_to_be_told_of_mail_is_told_by_the_next_daemon(replaceable, spawn):
    relay = await spawn(replaceable.env, **RECEIVER)
    inbox = {"uri": "postino://inbox/bob"}
    updated = {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": inbox}
    assert (await relay.ask("resources/subscribe", inbox))["result"] == {}
    replaceable.kill()
    assert await relay.next() == updated  # what came meanwhile was not told
    await relay.call("msg_send", to="bob", body="x")
    assert updated in relay.others or await relay.next() == updated

    assert (await relay.ask("resources/unsubscribe", inbox))["result"] == {}
    relay.others.clear()
    replaceable.kill()
    await relay.call("msg_send", to="bob", body="y")
    assert (await relay.call("msg_whoami"))["agent"] == "bob"
    assert relay.others == []


@pytest.mark.timing("a daemon that is killed again soon, even while it starts, is replaced at once, not after RESTART")
async def test_daemons_that_are_killed_one_after_the_other_are_replaced_at_once(replaceable, spawn):
    relay = await spawn(replaceable.env, **RECEIVER)
    replaceable.kill()
    starting = await eventually(lambda: children(relay.process.pid), "the relay has started a daemon")
    os.kill(starting[0], signal.SIGKILL)
    killed = time.monotonic()
    for _ in range(2):
        assert (await relay.call("msg_whoami"))["agent"] == "bob"
        pid = pid_of_daemon(replaceable)
        assert time.monotonic() - killed - age_s(pid) < RESTART - 1
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
    assert (await relay.call("msg_whoami"))["agent"] == "bob"


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_after_a_kill_what_was_read_comes_again_labelled(replaceable, spawn):
    bob = await spawn(replaceable.env, **RECEIVER)
    await bob.call("msg_send", to="bob", body="x", id="m1")
    await bob.call("msg_read")
    replaceable.kill()
    (again,) = await some(bob)
    assert (again["id"], again["redelivered"]) == ("m1", True)


async def test_sends_cut_off_by_a_kill_are_repeated_and_stored_once(replaceable, spawn):
    alice = await spawn(replaceable.env, POSTINO_AGENT_NAME="alice")
    asked = {alice.tool("msg_send", to="bob", body=f"body {number}"): f"body {number}" for number in range(200)}
    await alice.answer(next(iter(asked)))
    replaceable.kill()
    for id in list(asked)[1:]:
        assert "created" in said(await alice.answer(id))
    bob = await spawn(replaceable.env, **RECEIVER)
    read = [each["body"] for _ in range(8) for each in (await bob.call("msg_read", limit=50))["messages"]]
    assert sorted(read) == sorted(asked.values())


async def test_only_a_call_that_does_harm_twice_is_cut_off_with_an_unknown(replaceable, spawn):
    relay = await spawn(replaceable.env, **RECEIVER)
    await relay.call("msg_send", to="bob", body="x", id="m1")
    replaceable.process.send_signal(signal.SIGSTOP)
    asked = [relay.tool(name, **GIVEN.get(name, {})) for name in (*IDEMPOTENT_TOOLS, *REPEATABLE_TOOLS)]
    asked += [relay.request("tools/list"), relay.request("resources/read", {"uri": "postino://agents"})]
    cleaning = relay.tool("msg_cleanup")
    await asyncio.sleep(0.1)  # all are in the daemon's hands, which does not move
    replaceable.kill()
    error = (await relay.answer(cleaning))["error"]
    assert error["code"] == -32000 and "unknown" in error["message"] and error["data"]["outcome"] == "unknown"
    for each in asked:
        answer = await relay.answer(each)
        assert not answer["result"].get("isError", False), answer


#: the arguments of the tools that need some
GIVEN = {
    "msg_ack": {"ids": ["m1"]},
    "msg_ask": {"to": "carol", "body": "x", "timeout": 1},
    "msg_broadcast": {"body": "x"},
    "msg_join": {"group": "team"},
    "msg_leave": {"group": "team"},
    "msg_rename": {"name": "robert"},
    "msg_send": {"to": "carol", "body": "x"},
}


async def test_every_tool_is_repeated_or_known_to_do_harm_twice(steady, spawn):
    relay = await spawn(steady.env)
    tools = {each["name"] for each in (await relay.ask("tools/list"))["result"]["tools"]}
    assert tools - {*REPEATABLE_TOOLS, *IDEMPOTENT_TOOLS} == {"msg_cleanup"}


@pytest.mark.waits("a call is repeated for 20 s")
@pytest.mark.timeout(180)
async def test_a_call_in_flight_to_a_daemon_that_hangs_ends_with_an_unknown_that_names_the_id(daemon, spawn):
    relay = await spawn(daemon.env, **RECEIVER)
    await relay.call("msg_send", to="bob", body="waiting", id="m1")
    daemon.process.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    sending, reading = relay.tool("msg_send", to="carol", body="x"), relay.tool("msg_read")
    error = (await relay.answer(sending, REPEAT_S + 10))["error"]
    assert REPEAT_S - 1 < time.monotonic() - started < REPEAT_S + 5
    id = error["data"]["id"]
    assert error["data"]["outcome"] == "unknown" and "unknown" in error["message"] and id in error["message"]
    assert (await relay.answer(reading))["error"]["data"] == {"outcome": "unknown", "id": None}

    daemon.process.send_signal(signal.SIGCONT)

    assert (await relay.call("msg_send", to="carol", body="x", id=id))["id"] == id
    carol = await spawn(daemon.env, POSTINO_AGENT_NAME="carol")
    assert [each["id"] for each in (await carol.call("msg_read"))["messages"]] == [id]
    assert [each["id"] for each in await some(relay)] == ["m1"]  # the read that nobody waited for was given back
    assert relay.came == {}


async def test_a_daemon_that_stops_is_started_again_only_when_the_client_wants_something(replaceable, spawn):
    relay = await spawn(replaceable.env, **RECEIVER)
    assert replaceable.stop() == 0
    await asyncio.sleep(1.5)  # the claim itself: nobody starts one
    assert not replaceable.home.socket.exists()
    assert (await relay.call("msg_whoami"))["agent"] == "bob"
    await replaced(replaceable)


async def test_a_daemon_started_by_somebody_else_is_found_again(daemon, spawn):
    relay = await spawn(daemon.env, **RECEIVER)
    assert daemon.stop() == 0
    daemon.start()
    await eventually(lambda: '"generation": 2' in daemon.home.log.read_text(), "it has joined again by itself")
    assert (await relay.call("msg_check"))["agent"] == "bob"
    assert pid_of_daemon(daemon) == daemon.process.pid


async def test_a_daemon_that_cannot_start_is_told_in_a_sentence_and_soon(down, spawn):
    relay = await spawn(down.env, opened=False, POSTINO_MESSAGE_LEASE="soon")
    started = time.monotonic()
    error = (await relay.ask("initialize", {}))["error"]
    assert "POSTINO_MESSAGE_LEASE" in error["message"] and "daemon.log" in error["message"]
    assert time.monotonic() - started < WAIT_S


async def test_ten_relays_without_a_daemon_end_with_one(down, spawn):
    relays = await asyncio.gather(*(spawn(down.env, opened=False) for _ in range(10)))
    await asyncio.gather(*(relay.open() for relay in relays))
    assert (await relays[0].call("msg_whoami"))["onlineAgents"] == 10
    await replaced(down)
    assert down.home.log.read_text().count('"event": "serving"') == 2  # the one that `down` ended, and one


async def test_while_another_starts_the_daemon_a_relay_waits_but_not_for_ever(down, spawn):
    with starting(down):
        relay = await spawn(down.env, opened=False)
        started = time.monotonic()
        opening = asyncio.create_task(relay.open())
        await asyncio.sleep(1)
        assert not opening.done() and not down.home.socket.exists()
        await opening
    assert time.monotonic() - started > 4.5


@pytest.mark.timing("a relay that is allowed to start the daemon does so at once, not after RESTART")
async def test_when_its_turn_comes_a_relay_starts_the_daemon_at_once(down, spawn):
    with starting(down):
        relay = await spawn(down.env, opened=False)
        opening = asyncio.create_task(relay.open())
        await asyncio.sleep(0.5)
        released = time.monotonic()
    await opening
    assert time.monotonic() - released - age_s(await replaced(down)) < RESTART - 1


async def test_a_relay_lets_others_start_the_next_daemon(down, spawn):
    relay = await spawn(down.env)
    await relay.call("msg_check")
    with starting(down):
        pass


async def test_a_daemon_that_a_relay_starts_puts_a_long_log_aside(down, spawn):
    with down.home.log.open("ab") as log:
        log.truncate(LOG_LIMIT + 1)
    await spawn(down.env)
    assert down.home.log.stat().st_size < 10_000
    assert down.home.log.with_suffix(".log.1").stat().st_size == LOG_LIMIT + 1
