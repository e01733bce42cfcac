"""What the events of other clients prove about a read, and whose they are: real relays and daemon; no client here."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import json
import os
import random
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from postino.clients.events import CLIENTS, ClientEvent
from tests.daemons import Daemon
from tests.relays import RealRelay, real_relays, said
from tests.waiting import until

SCRIPT = Path(__file__).resolve().parents[2] / "plugin/scripts/hook.sh"
READ: dict[str, Any] = {"tool_name": "mcp__postino__msg_read", "tool_use_id": "call_1"}
_numbers = itertools.count(1)


class Client:
    """A client whose process is this one, as it is its relays' parent."""

    def __init__(self, daemon: Daemon, name: str) -> None:
        self.daemon = daemon
        self.name = name
        self.agent = f"{name}-{next(_numbers)}"
        self.session = f"session-{self.agent}"

    async def event(self, name: str, **given: Any) -> Any:
        """Report an event as the client's hook or plugin does; return what the hook prints."""
        about = {"session_id": self.session, "hook_event_name": name, "cwd": "/tmp"} | given
        if self.name == "opencode":
            return await self._posted(name, about)
        command = f"exec sh '{SCRIPT}' {name} {self.name}"
        process = await asyncio.create_subprocess_shell(
            command,
            env=self.daemon.env | {"GEMINI_SESSION_ID": self.session},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await process.communicate(json.dumps(about).encode())
        return json.loads(printed) if printed else None

    async def _posted(self, name: str, about: dict[str, Any]) -> Any:
        """Post to the route with curl, whose answer may be empty."""
        headers = ["Content-Type: application/json", "X-Postino-Client: opencode", f"X-Claude-Pid: {os.getpid()}"]
        options = [each for header in headers for each in ("-H", header)]
        url = f"http://localhost/api/hooks/{name}"
        process = await asyncio.create_subprocess_exec(
            *("curl", "-sf", "--unix-socket", str(self.daemon.home.socket), *options, "-d", json.dumps(about), url),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            printed, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0
        return json.loads(printed) if printed else None

    async def read(self, relay: RealRelay, call: str = "call_1", session: str = "") -> list[str]:
        """Read as the client does; return the ids of the messages."""
        meta: dict[str, Any] = {}
        if self.name == "codex":
            meta = {"callId": call, "sessionId": session or self.session, "x-codex-turn-metadata": {}}
        answer = said(await relay.ask("tools/call", {"name": "msg_read", "arguments": {}, "_meta": meta}))
        return [each["id"] for each in answer["messages"]]

    def send(self) -> str:
        """Send a message to the client's agent; return its id."""
        id = f"m{next(_numbers)}"
        self.daemon.posted("messages", {"to": self.agent, "from": "ann", "body": "x", "id": id})
        return id

    def state(self, id: str) -> str:
        """Return the state of a message."""
        return str(self.daemon.asked(f"messages/{self.agent}/{id}")["state"])

    def notified(self, id: str) -> str:
        """Return how the client was notified of a message."""
        return str(self.daemon.asked(f"messages/{self.agent}/{id}")["notified"])


@pytest.fixture
async def relays() -> AsyncIterator[Any]:
    """Start relays: `await relays(daemon.env, POSTINO_AGENT_NAME="bob")`."""
    async with real_relays() as spawn:
        yield spawn


async def opened(served: Daemon, relays: Any, name: str) -> tuple[Client, RealRelay]:
    client = Client(served, name)
    return client, await relays(served.env, POSTINO_AGENT_NAME=client.agent)


@pytest.mark.parametrize("name", ["codex", "gemini"])
async def test_the_user_is_told_of_mail_where_a_session_starts_and_nowhere_else(
    served: Daemon, relays: Any, name: str
) -> None:
    client, _ = await opened(served, relays, name)
    assert "systemMessage" not in await client.event("SessionStart", source="startup")
    client.send()

    resumed = await client.event("SessionStart", source="resume")
    compacted = await client.event("SessionStart", source="compact")
    prompted = await client.event("UserPromptSubmit" if name == "codex" else "BeforeAgent", prompt="hi", turn_id="t1")

    assert resumed["systemMessage"].startswith(f"postino: {client.agent} has 1 unread message from ")
    assert "1 unread message" in resumed["hookSpecificOutput"]["additionalContext"]
    assert not any("systemMessage" in (each or {}) for each in (compacted, prompted))


async def test_codex_acknowledges_at_the_end_of_the_turn(served: Daemon, relays: Any) -> None:
    codex, relay = await opened(served, relays, "codex")
    said_first = await codex.event("SessionStart", source="startup")
    assert f"agent {codex.agent}" in said_first["hookSpecificOutput"]["additionalContext"]
    await codex.event("UserPromptSubmit", prompt="hi", turn_id="t1")
    first = codex.send()

    assert await codex.read(relay) == [first]
    await codex.event("PreToolUse", tool_name="mcp__postino__msg_check", tool_use_id="call_2")
    await codex.event("PostToolUse", **READ)
    await codex.event("PostToolUse", tool_name="exec_command", tool_use_id="call_2", transcript_path="/none")
    await codex.event("UserPromptSubmit", prompt="a prompt within the turn", turn_id="t1")
    await relay.call("msg_check")
    assert codex.state(first) == "leased"

    second = codex.send()
    answer = await codex.event("Stop")
    assert codex.state(first) == "acked"
    assert answer["decision"] == "block" and "1 unread message" in answer["reason"]
    assert await codex.event("Stop", stop_hook_active=True) is None
    assert codex.state(second) == "queued"


async def test_codex_acknowledges_within_the_turn_what_its_transcript_proves(
    served: Daemon, relays: Any, tmp_path: Path
) -> None:
    codex, relay = await opened(served, relays, "codex")
    await codex.event("UserPromptSubmit", prompt="hi", turn_id="t1")
    first, transcript = codex.send(), tmp_path / "rollout.jsonl"
    call, output = {"type": "function_call", "call_id": "call_1"}, {"type": "function_call_output", "call_id": "call_1"}
    message = {"type": "message", "role": "user"}
    other: dict[str, Any] = {"tool_name": "exec_command", "tool_use_id": "call_9", "transcript_path": str(transcript)}

    assert await codex.read(relay) == [first]
    await codex.event("PostToolUse", **READ)
    for proof, *lines in ((False, call), (False, call, call, output, message), (True, output, message, call)):
        items = [{"type": "response_item", "payload": each} for each in lines]
        transcript.write_text("cut line\n" + "".join(json.dumps(each) + "\n" for each in items))
        await codex.event("PostToolUse", **other)
        assert codex.state(first) == ("acked" if proof else "leased")


async def test_what_an_interrupted_turn_of_codex_read_comes_again(served: Daemon, relays: Any) -> None:
    codex, relay = await opened(served, relays, "codex")
    await codex.event("UserPromptSubmit", prompt="hi", turn_id="t1")
    first = codex.send()

    for end, given in (("Interrupt", {}), ("UserPromptSubmit", {"prompt": "more", "turn_id": "t2"})):
        assert await codex.read(relay) == [first]
        await codex.event("PostToolUse", **READ)
        await codex.event(end, **given)
        assert codex.state(first) == "queued"
    await codex.event("Stop")
    assert codex.state(first) == "queued"


async def test_a_subagent_of_codex_is_refused_and_what_it_read_is_given_back(served: Daemon, relays: Any) -> None:
    codex, relay = await opened(served, relays, "codex")
    await codex.event("SessionStart", source="startup")
    first, subagent = codex.send(), {"agent_id": "a1", "agent_type": "x", "tool_name": "mcp__postino__msg_read"}

    refused = await codex.event("PreToolUse", tool_use_id="call_1", **subagent)
    assert refused["hookSpecificOutput"]["permissionDecision"] == "deny"
    assert await codex.read(relay) == [first]
    await codex.event("PostToolUse", tool_use_id="call_1", **subagent)

    assert codex.state(first) == "queued"


async def test_two_sessions_of_one_codex_process_are_told_apart_by_their_calls(served: Daemon, relays: Any) -> None:
    ada, relay_of_ada = await opened(served, relays, "codex")
    bob, relay_of_bob = await opened(served, relays, "codex")
    asked = await ada.event("UserPromptSubmit", prompt="hi")
    assert asked["hookSpecificOutput"]["additionalContext"].endswith("call msg_whoami")

    await bob.read(relay_of_bob)
    for client in (bob, ada):
        told = await client.event("UserPromptSubmit", prompt="hi")
        assert f"agent {client.agent}" in told["hookSpecificOutput"]["additionalContext"]
    assert await ada.read(relay_of_ada, session=ada.session) == []


async def test_gemini_acknowledges_at_the_call_after_the_next_request(served: Daemon, relays: Any) -> None:
    gemini, relay = await opened(served, relays, "gemini")
    told = await gemini.event("SessionStart", source="startup")
    assert f"agent {gemini.agent}" in told["hookSpecificOutput"]["additionalContext"]
    first, other = gemini.send(), {"tool_name": "mcp_postino_msg_check", "tool_input": {"a": 1}}

    await gemini.event("BeforeTool", **other)
    assert await gemini.read(relay) == [first]
    await gemini.event("BeforeModel")  # of a subagent: a call of this round still runs
    await gemini.event("BeforeTool", tool_name="read_file", tool_input={})
    await gemini.event("AfterTool", tool_name="read_file", tool_input={})
    await gemini.event("AfterTool", **other)
    await gemini.event("BeforeModel")
    assert gemini.state(first) == "leased"

    await gemini.event("BeforeTool", **other)
    assert gemini.state(first) == "acked"

    second = gemini.send()
    assert await gemini.read(relay) == [second]
    await gemini.event("BeforeModel")
    await gemini.event("BeforeAgent", prompt="the turn before was interrupted")
    assert gemini.state(second) == "queued"


async def test_opencode_acknowledges_the_calls_that_its_plugin_names(served: Daemon, relays: Any) -> None:
    opencode, relay = await opened(served, relays, "opencode")
    told = await opencode.event("UserPromptSubmit", prompt="hi")
    assert f"agent {opencode.agent}" in told["hookSpecificOutput"]["additionalContext"]
    first = opencode.send()
    await opencode.event("PreToolUse", tool_name="msg_read", tool_use_id="call_1")
    assert await opencode.read(relay) == [first]
    second = opencode.send()
    await opencode.event("PreToolUse", tool_name="msg_read", tool_use_id="call_2")
    assert await opencode.read(relay) == [second]
    calls = {name: [{"tool_use_id": name}] for name in ("call_1", "call_2")}

    await opencode.event("Seen", session_id="another", tool_calls=[{"tool_use_id": "call_3"}])
    await opencode.event("Stop")
    assert (opencode.state(first), opencode.state(second)) == ("leased", "leased")

    await opencode.event("Seen", tool_calls=calls["call_1"])
    await opencode.event("Aborted", tool_calls=calls["call_2"])
    assert (opencode.state(first), opencode.state(second)) == ("acked", "queued")


async def test_an_idle_opencode_gets_a_line_to_start_a_turn_with(served: Daemon, relays: Any) -> None:
    opencode, relay = await opened(served, relays, "opencode")
    await opencode.event("UserPromptSubmit", prompt="hi")
    await opencode.event("Stop")
    waiting = asyncio.create_task(opencode.event("AwaitWake"))

    first = opencode.send()
    line = await asyncio.wait_for(waiting, 30)
    assert "1 unread message" in line["wake"]
    again = asyncio.create_task(opencode.event("AwaitWake", woken=line["woken"], ok=True))
    assert await opencode.event("UserPromptSubmit", prompt=line["wake"]) is None
    await asyncio.to_thread(until, lambda: opencode.notified(first) == "plugin", "the wake is recorded")
    assert await opencode.read(relay) == [first]
    assert not again.done()

    again.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await again


@pytest.mark.parametrize("proof", ["Seen", "Aborted"])
async def test_the_line_to_an_idle_opencode_holds_a_verified_message(served: Daemon, relays: Any, proof: str) -> None:
    opencode, _ = await opened(served, relays, "opencode")
    await opencode.event("UserPromptSubmit", prompt="hi")
    await opencode.event("Stop")
    waiting = asyncio.create_task(opencode.event("AwaitWake", messages=True))
    ada = await relays(served.env, POSTINO_AGENT_NAME="ada")
    id = f"to-{opencode.agent}"
    await ada.call("msg_send", to=opencode.agent, body="the-body", id=id)
    line = await asyncio.wait_for(waiting, 30)
    assert '"body":"the-body"' in line["wake"]

    await opencode.event("UserPromptSubmit", prompt=line["wake"])
    await opencode.event("Seen", tool_calls=[{"tool_use_id": "call_1"}])  # of calls before the line
    await opencode.event("Stop")
    assert opencode.state(id) == "leased"

    await opencode.event(proof, prompted=True)
    assert opencode.state(id) == ("acked" if proof == "Seen" else "queued")


async def test_no_event_makes_the_daemon_fail(served: Daemon, relays: Any) -> None:
    await opened(served, relays, "gemini")
    line = http.client.HTTPConnection("localhost", timeout=60)
    line.sock = socket.socket(socket.AF_UNIX)
    line.sock.connect(str(served.home.socket))
    events = [(client, name) for client, known in CLIENTS.items() for name in known.events if name != "AwaitWake"]
    hostile: list[Any] = [None, 5, True, [], {}, [{}], {"a": [1]}, "", "x" * 70_000, "\x1b[31m\u202e", "/dev/tty", "\0"]
    good = {"session_id": "fuzzed", "cwd": "/tmp", "tool_name": "msg_read", "tool_use_id": "c", "turn_id": "t"}
    given = [
        (event, field, value) for event in events for field in msgspec.structs.fields(ClientEvent) for value in hostile
    ]
    for (client, name), field, value in random.Random(5).sample(given, 400):
        headers = {"Content-Type": "application/json", "X-Postino-Client": client, "X-Claude-Pid": str(os.getpid())}
        line.request("POST", f"/api/hooks/{name}", json.dumps(good | {field.name: value}), headers)
        answer = line.getresponse()
        assert answer.status == 200, (client, name, field.name, value)
        text = answer.read().decode()
        assert len(text) < 1000 and "\x1b" not in text and "\u202e" not in text
    for client in ("", "nobody", "\xff"):
        line.request("POST", "/api/hooks/Stop", "{}", {"Content-Type": "application/json", "X-Postino-Client": client})
        answer = line.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
    line.close()
    assert "Traceback" not in served.home.log.read_text()
