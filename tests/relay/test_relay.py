"""The real relay over real stdio against the real daemon: what a client sees, whatever dies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from postino.mcp.tools import TOOLS
from postino.relay.requests import WAIT_S
from tests.relay.looks import held, replaced, some
from tests.waiting import eventually

# with the SDK's client


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_sdks_client_talks_through_it(steady, sdk_client, mode):
    async with sdk_client(steady.env, "alice", mode) as alice, sdk_client(steady.env, steady.name, mode) as bob:
        assert alice.protocol_version == "2025-11-25"
        assert alice.server_capabilities.experimental == {"claude/channel": {}}
        assert [each.name for each in (await alice.list_tools()).tools] == list(TOOLS)
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


@pytest.mark.waits("a relay waits 20 s for a daemon")
@pytest.mark.timeout(180)
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
        "json",
        "re",
        "enum",
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
