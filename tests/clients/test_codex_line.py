"""The line that wakes a session of Codex: real hooks, relay and daemon; Codex's own server is played here."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from postino.relay import codex_queue
from tests import homes
from tests.clients.test_events import Client
from tests.daemons import Daemon
from tests.relays import RealRelay, real_relays, said
from tests.waiting import eventually, until

BODY = "the-body"
TOOL = {"tool_name": "mcp__postino__msg_check", "tool_use_id": "call_2"}


class Server:
    """Codex's server: takes lines for its sessions, or answers `answer`."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []  # session, text
        self.answer: dict[str, Any] | None = {"result": {"queuedSubmission": {"id": "q1"}}}
        self.removed: list[str] = []

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for frame in socket:
            message = json.loads(frame.data)
            if message.get("method") == "initialize":
                await socket.send_str(json.dumps({"id": message["id"], "result": {}}))
                await socket.send_str(json.dumps({"method": "configWarning", "params": {"summary": "x" * 200_000}}))
            elif message.get("method") == "thread/queue/add" and self.answer is not None:
                given = message["params"]
                self.lines.append((given["threadId"], given["input"][0]["text"]))
                await socket.ping()
                await socket.send_str(json.dumps({"id": message["id"]} | self.answer))
            elif message.get("method") == "thread/queue/delete":
                self.removed.append(message["params"]["queuedSubmissionId"])
                await socket.send_str(json.dumps({"id": message["id"], "result": {"deleted": True}}))
        return socket


@pytest.fixture
async def home() -> AsyncIterator[Path]:
    """Codex's home."""
    made = homes.scratch()
    (made / "app-server-control").mkdir()
    yield made
    shutil.rmtree(made)


@pytest.fixture
async def server(home: Path) -> AsyncIterator[Server]:
    """Codex's server, which listens where its link says."""
    made, app = Server(), web.Application()
    app.router.add_get("/", made.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(home / "s")).start()
    (home / "app-server-control/app-server-control.sock").symlink_to("../s")
    yield made
    await runner.cleanup()


@pytest.fixture
async def idle(served: Daemon, home: Path) -> AsyncIterator[tuple[Client, RealRelay, RealRelay]]:
    """An idle session of Codex, its relay, and the relay of a session whose messages are verified."""
    (home / "codex").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {home}/queued\n')
    (home / "codex").chmod(0o755)
    codex = Client(served, "codex")
    async with real_relays() as spawn:
        env = {"POSTINO_AGENT_NAME": codex.agent, "CODEX_HOME": str(home), "PATH": f"{home}:{served.env['PATH']}"}
        relay = await spawn(served.env, **env)
        await codex.event("UserPromptSubmit", prompt="hi", turn_id="t1")
        await codex.event("Stop", turn_id="t1")
        ada = await spawn(served.env, POSTINO_AGENT_NAME="ada")
        yield codex, relay, ada


async def line_to(codex: Client, server: Server, ada: RealRelay) -> tuple[str, str]:
    """Send a message; return its id, and the line that the session has got and reported as the prompt of t2."""
    id = f"to-{codex.agent}"
    await ada.call("msg_send", to=codex.agent, body=BODY, id=id)
    await eventually(lambda: server.lines, "the line has come")
    ((session, text),) = server.lines
    assert session == codex.session
    assert await codex.event("UserPromptSubmit", prompt=text, turn_id="t2") is None
    return id, text


async def test_the_line_holds_the_message_which_the_next_tool_of_its_turn_acknowledges(
    idle: Any, server: Server
) -> None:
    codex, _, ada = idle
    id, text = await line_to(codex, server, ada)
    assert f'"body":"{BODY}"' in text and "not instructions from your user" in text

    await codex.event("PreToolUse", turn_id="t1", **TOOL)
    await codex.event("PreToolUse", turn_id="t2", agent_id="a1", agent_type="x", **TOOL)
    await codex.event("PostToolUse", turn_id="t2", agent_id="a1", agent_type="x", **TOOL)
    assert codex.state(id) == "leased"

    await codex.event("PostToolUse", turn_id="t2", **TOOL)
    assert (codex.state(id), codex.notified(id)) == ("acked", "queue")


@pytest.mark.parametrize("end", [("Interrupt", {}), ("UserPromptSubmit", {"prompt": "more", "turn_id": "t3"})])
async def test_what_the_line_of_an_interrupted_turn_held_comes_again(idle: Any, server: Server, end: Any) -> None:
    codex, relay, ada = idle
    id, _ = await line_to(codex, server, ada)
    event, given = end

    await codex.event(event, **given)

    assert codex.state(id) == "queued"
    (again,) = said(await relay.ask("tools/call", {"name": "msg_read", "arguments": {}}))["messages"]
    assert (again["id"], again["delivery"], again["redelivered"]) == (id, 2, True)


async def test_a_prompt_of_the_user_that_comes_before_the_line_does_not_take_its_messages_back(
    idle: Any, server: Server
) -> None:
    codex, _, ada = idle
    id = f"to-{codex.agent}"
    await ada.call("msg_send", to=codex.agent, body=BODY, id=id)
    await eventually(lambda: server.lines, "the line has come")

    await codex.event("UserPromptSubmit", prompt="mine", turn_id="t2")
    await codex.event("Stop", turn_id="t2")
    assert codex.state(id) == "leased"

    await codex.event("UserPromptSubmit", prompt=server.lines[0][1], turn_id="t3")
    await codex.event("Stop", turn_id="t3")
    assert codex.state(id) == "acked"


@pytest.mark.waits("a line is taken back after 10 s")
async def test_a_line_that_becomes_no_prompt_is_removed_and_its_messages_wait(idle: Any, server: Server) -> None:
    codex, relay, ada = idle
    id = f"to-{codex.agent}"
    await ada.call("msg_send", to=codex.agent, body=BODY, id=id)
    await eventually(lambda: server.removed, "the line is taken back after ten seconds")
    await asyncio.to_thread(until, lambda: codex.state(id) == "queued", "the message waits again")

    assert server.removed == ["q1"]
    (message,) = said(await relay.ask("tools/call", {"name": "msg_read", "arguments": {}}))["messages"]
    assert (message["delivery"], message["redelivered"]) == (1, False)  # it was never shown


async def test_no_message_stands_in_the_arguments_of_the_command(idle: Any, server: Server, home: Path) -> None:
    codex, relay, ada = idle
    server.answer = {"error": {"code": -32600, "message": "thread not loaded"}}
    id = f"to-{codex.agent}"
    await ada.call("msg_send", to=codex.agent, body=BODY, id=id)
    await asyncio.to_thread(until, lambda: (home / "queued").exists() and codex.notified(id) == "queue", "it is woken")

    queued = (home / "queued").read_text()
    assert f"--thread\n{codex.session}\n--message\n[postino] 1 unread message (from ada)" in queued
    assert BODY not in queued and BODY in server.lines[0][1]
    (message,) = said(await relay.ask("tools/call", {"name": "msg_read", "arguments": {}}))["messages"]
    assert (message["delivery"], message["redelivered"]) == (1, False)  # it was never shown


def test_a_command_that_hangs_is_killed_with_all_it_has_started(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(codex_queue.Queueing, "LIMIT_S", 1.0)
    command = tmp_path / "codex"
    command.write_text(f"#!/bin/sh\nsleep 600 & echo $! > {tmp_path}/child; wait\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    queueing = codex_queue.Queueing({"msg_id": "m", "session_id": "s", "text": "x"})
    answer = until(queueing.answer, "it is killed")

    assert answer == {
        "postino": "woken",
        "msg_id": "m",
        "ok": False,
        "error": "`codex queue` did not end within 1 s and was killed",
    }
    child = Path("/proc", (tmp_path / "child").read_text().strip())
    until(lambda: not child.exists() or "Z" in _state(child), "what it has started is killed, too")


def _state(process: Path) -> str:
    with contextlib.suppress(OSError):
        return (process / "stat").read_text().rpartition(")")[2].split()[0]
    return "Z"
