"""The real relay over real stdio against the real daemon: what a client sees, whatever dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis

from postino import locks
from postino.relay.lines import IDEMPOTENT_TOOLS, REPEATABLE_TOOLS
from postino.relay.requests import REPEAT_S, WAIT_S
from postino.relay.starter import LOG_LIMIT, RESTART
from tests.relays import said
from tests.waiting import eventually

RECEIVER = {"POSTINO_AGENT_NAME": "bob"}


def pid_of_daemon(daemon: Any) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(json.loads(daemon.home.info.read_text())["pid"])
    return 0


async def replaced(daemon: Any) -> int:
    """Wait for a daemon that a relay has started; return its pid."""
    await eventually(lambda: pid_of_daemon(daemon) not in (0, daemon.process.pid), "another daemon serves")
    return pid_of_daemon(daemon)


# with the SDK's client


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_sdks_client_talks_through_it(steady, sdk_client, mode):
    async with sdk_client(steady.env, "alice", mode) as alice, sdk_client(steady.env, steady.name, mode) as bob:
        assert alice.protocol_version == "2025-11-25"
        assert alice.server_capabilities.experimental == {"claude/channel": {}}
        assert len((await alice.list_tools()).tools) == 10
        sent = await alice.call_tool("msg_send", {"to": steady.name, "body": "hello"})
        read = await bob.call_tool("msg_read", {})
        assert not sent.is_error and not read.is_error
        (message,) = json.loads(read.content[0].text)["messages"]
        assert (message["from"], message["body"], message["verified"]) == ("alice", "hello", True)
        assert (await bob.read_resource("postino://agents")).contents
        assert (await bob.get_prompt("send-message", {"to": "alice"})).messages


# start and end


async def test_without_a_daemon_it_starts_one_and_answers_the_probe_meanwhile(down, spawn):
    relay = await spawn(down.env, opened=False)
    assert (await relay.ask("server/discover", {}))["error"]["code"] == -32601
    assert (await relay.open())["serverInfo"]["name"] == "postino"
    await replaced(down)


async def test_a_started_daemon_knows_nothing_of_the_client(down, spawn):
    await spawn(down.env, POSTINO_AGENT_NAME="alice", CLAUDE_CODE_SESSION_ID="x", CLAUDECODE="1", KEPT="1")
    pid = await replaced(down)
    environ = environ_of(pid)
    assert "KEPT=1" in environ
    assert not [each for each in environ if each.startswith(("CLAUDE", "POSTINO_AGENT_NAME"))]
    assert os.getsid(pid) == pid and cwd_of(pid) == "/"


def environ_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")


def cwd_of(pid: int) -> str:
    return str(Path(f"/proc/{pid}/cwd").readlink())


async def test_the_end_of_stdin_ends_it_soon_with_code_0(steady, spawn):
    relay = await spawn(steady.env)
    started = time.monotonic()
    assert await relay.leave() == (0, b"")
    assert time.monotonic() - started < WAIT_S / 2


async def test_the_end_of_stdin_ends_it_without_a_daemon_too(down, spawn):
    relay = await spawn(down.env, opened=False)
    started = time.monotonic()
    assert await relay.leave() == (0, b"")
    assert time.monotonic() - started < WAIT_S / 2
    await replaced(down)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_quietly(steady, spawn, number):
    relay = await spawn(steady.env)
    relay.kill(number)
    assert await relay.end() == (0, b"")
    await eventually(lambda: "relay_left" in steady.home.log.read_text(), "the daemon has noticed")


async def test_a_client_that_closes_its_reading_end_ends_it(steady, spawn):
    relay = await spawn(steady.env)
    relay.process._transport.get_pipe_transport(1).close()
    async with asyncio.timeout(30):
        assert await relay.process.wait() == 0


@pytest.mark.parametrize("serving", [True, False])
async def test_requests_from_a_file_are_answered_into_a_file(down, spawn, initialize, tmp_path, serving):
    if serving:
        await (await spawn(down.env)).call("msg_check")
    requests = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": initialize},
        {"jsonrpc": "2.0", "id": 2, "method": "ping"},
    ]
    answers = await carried(down, requests, tmp_path)
    assert [each["id"] for each in answers] == [1, 2] and all("result" in each for each in answers)


async def test_where_a_daemon_does_not_answer_no_other_is_started_and_requests_are_told(down, served, spawn, tmp_path):
    log = down.home.log.read_bytes()
    started = time.monotonic()
    served.process.send_signal(signal.SIGSTOP)
    try:
        with held(down.home.lock):  # as a daemon does that has no socket yet
            relay = await spawn(served.env, opened=False)
            asked = relay.tool("msg_check")
            (answer,) = await carried(down, [{"jsonrpc": "2.0", "id": 1, "method": "ping"}], tmp_path)
            for error in (answer["error"], (await relay.answer(asked))["error"]):
                assert error["code"] == -32000 and "No postino daemon answers" in error["message"]
    finally:
        served.process.send_signal(signal.SIGCONT)
    assert time.monotonic() - started > WAIT_S - 1
    assert down.home.log.read_bytes() == log
    assert served.home.log.read_text().count("serving") == 1


async def carried(daemon: Any, requests: list[dict[str, Any]], where: Path) -> list[dict[str, Any]]:
    """Give a relay all requests and the end of its stdin at once; return what it answered."""
    (where / "in").write_text("\n".join(map(json.dumps, requests)))
    with (where / "in").open() as stdin, (where / "out").open("w") as stdout:
        command = [sys.executable, "-m", "postino", "mcp"]
        process = await asyncio.create_subprocess_exec(*command, env=daemon.env, stdin=stdin, stdout=stdout)
        async with asyncio.timeout(60):
            assert await process.wait() == 0
    return [json.loads(line) for line in (where / "out").read_text().splitlines()]


@contextlib.contextmanager
def held(lock: Path) -> Iterator[None]:
    """Be another process that holds a lock."""
    descriptor = locks.acquire(lock, patience=30)
    assert descriptor is not None
    yield
    os.close(descriptor)


def starting(daemon: Any) -> contextlib.AbstractContextManager[None]:
    """Be another process that is starting the daemon, and takes its time."""
    return held(daemon.home.starting)


def age_s(pid: int) -> float:
    """Return how long ago a process was started."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")


def test_it_imports_little_and_nothing_but_the_standard_library():
    code = "import sys; before = set(sys.modules); import postino.relay.main; print(*set(sys.modules) - before)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    tops = {name.partition(".")[0] for name in loaded}
    assert tops - {"postino"} <= sys.stdlib_module_names
    assert not tops & {
        "asyncio",
        "subprocess",
        "pathlib",
        "typing",
        "uuid",
        "tempfile",
        "socket",
        "logging",
        "dataclasses",
    }
    assert not {"postino.model", "postino.errors", "postino.config", "postino.paths"} & set(loaded)


# what is read and not acknowledged


@pytest.mark.parametrize("end", ["kill -9", "end of stdin", "SIGINT"])
async def test_what_a_relay_that_ends_has_read_goes_to_the_next_reader_at_once(steady, spawn, end):
    alice = await spawn(steady.env, POSTINO_AGENT_NAME="alice")
    await alice.call("msg_send", to=steady.name, body="precious", id="m1")
    bob = await spawn(steady.env, POSTINO_AGENT_NAME=steady.name)
    (first,) = (await bob.call("msg_read"))["messages"]
    assert first["redelivered"] is False
    if end == "end of stdin":
        await bob.leave()
    else:
        bob.kill(signal.SIGKILL if end == "kill -9" else signal.SIGINT)
        await bob.end()
    started = time.monotonic()
    bob = await spawn(steady.env, POSTINO_AGENT_NAME=steady.name)
    (again,) = await some(bob)
    assert (again["id"], again["delivery"], again["redelivered"]) == ("m1", 2, True)
    assert time.monotonic() - started < 60  # the lease lasts 120


async def some(relay: Any) -> list[dict[str, Any]]:
    """Read until there is something."""
    async with asyncio.timeout(30):
        while not (messages := (await relay.call("msg_read"))["messages"]):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return messages  # type: ignore[no-any-return]


async def test_what_is_read_is_acknowledged_by_the_clients_next_call(steady, spawn):
    alice = await spawn(steady.env, POSTINO_AGENT_NAME="alice")
    await alice.call("msg_send", to=steady.name, body="x")
    bob = await spawn(steady.env, POSTINO_AGENT_NAME=steady.name)
    assert len((await bob.call("msg_read"))["messages"]) == 1
    await asyncio.sleep(0.06)  # the claim itself: 50 ms after its answer
    await bob.call("msg_check")
    await bob.leave()
    bob = await spawn(steady.env, POSTINO_AGENT_NAME=steady.name)
    assert (await bob.call("msg_read"))["messages"] == []


# the daemon goes


async def test_a_killed_daemon_is_replaced_and_the_client_notices_nothing(replaceable, spawn):
    relay = await spawn(replaceable.env, **RECEIVER)
    await relay.call("msg_send", to="bob", body="kept", id="m1")
    replaceable.kill()
    assert (await relay.call("msg_whoami"))["agent"] == "bob"
    assert [each["id"] for each in (await relay.call("msg_read"))["messages"]] == ["m1"]
    assert (await relay.ask("tools/list"))["result"]["tools"]
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
    "msg_broadcast": {"body": "x"},
    "msg_rename": {"name": "robert"},
    "msg_send": {"to": "carol", "body": "x"},
}


async def test_every_tool_is_repeated_or_known_to_do_harm_twice(steady, spawn):
    relay = await spawn(steady.env)
    tools = {each["name"] for each in (await relay.ask("tools/list"))["result"]["tools"]}
    assert tools - {*REPEATABLE_TOOLS, *IDEMPOTENT_TOOLS} == {"msg_cleanup"}


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


# Valkey goes


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
    assert len((await relay.ask("tools/list"))["result"]["tools"]) == 10
    started = time.monotonic()
    refused = await relay.call("msg_check")
    assert (refused["code"], refused["retryable"]) == ("store_away", True)
    assert time.monotonic() - started < WAIT_S / 2
    os.kill(daemon.valkey_pid(), signal.SIGCONT)
    await stored(relay, "m1")
    assert (await relay.call("msg_whoami"))["agent"] == "bob"


# what cannot be used


@pytest.mark.parametrize(
    ("home", "word"),
    [
        ("/tmp/" + "long" * 30, "bytes"),
        ("/dev/null", "is not a directory"),
        ("/proc/x", "cannot be used"),
        ("rel/x", "absolute"),
    ],
)
async def test_a_home_that_cannot_be_used_is_told_in_a_sentence(spawn, home, word):
    relay = await spawn({"PATH": os.environ["PATH"]}, opened=False, POSTINO_HOME=home)
    for method in ("initialize", "tools/list"):
        error = (await relay.ask(method, {}))["error"]
        assert error["code"] == -32000 and word in error["message"] and home in error["message"]
    assert await relay.leave() == (0, b"")


async def test_a_name_that_cannot_be_used_is_told_in_a_sentence(steady, spawn):
    relay = await spawn(steady.env, opened=False, POSTINO_AGENT_NAME="no good")
    for method in ("initialize", "tools/list"):
        error = (await relay.ask(method, {}))["error"]
        assert error["code"] == -32000 and "POSTINO_AGENT_NAME" in error["message"]
    assert await relay.leave() == (0, b"")
