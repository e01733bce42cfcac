"""What wakes a session, in form: the channel notification and the line for the inbox socket. No client needed here."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mcp.client.session import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.shared.message import SessionMessage

from postino.client import Client
from tests.waiting import until

TOKEN = "the-token-nobody-may-see"


class Inbox:
    """The messaging socket of a session, as Claude Code has it."""

    def __init__(self) -> None:
        self.lines: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            self.lines.put_nowait(json.loads(line))
        writer.close()


@contextlib.asynccontextmanager
async def relay(daemon: Any, **env: str) -> AsyncIterator[tuple[ClientSession, asyncio.Queue[dict[str, Any]]]]:
    """Give a session of the SDK's client on a real relay, and the notifications that come to it."""
    told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    params = StdioServerParameters(
        command=sys.executable,
        args=["-m", "postino", "mcp"],
        env={"PATH": os.environ["PATH"], "POSTINO_HOME": str(daemon.home.root)} | env,
    )
    async with stdio_client(params) as (reading, writing):
        read = _Overheard(reading, told)
        async with ClientSession(read, writing) as session:  # type: ignore[arg-type]
            await session.initialize()
            await session.list_tools()
            yield session, told


class _Overheard:
    """The client's stream of what the server says; the SDK drops notifications it has no type for."""

    def __init__(self, stream: Any, told: asyncio.Queue[dict[str, Any]]) -> None:
        self._stream = stream
        self._told = told

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __aiter__(self) -> _Overheard:
        return self

    async def __aenter__(self) -> _Overheard:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stream.__aexit__(*error)

    async def __anext__(self) -> SessionMessage:
        message: SessionMessage = await self._stream.__anext__()
        frame = message.message.model_dump(by_alias=True, exclude_unset=True)
        if "method" in frame and "id" not in frame:
            self._told.put_nowait(frame)
        return message


async def got(queue: asyncio.Queue[dict[str, Any]]) -> dict[str, Any]:
    async with asyncio.timeout(10):
        return await queue.get()


def send(daemon: Any, id: str, sender: str = "ann") -> None:
    with Client(daemon.home.socket) as client:
        client.send("bob", "the-body-nobody-may-announce", sender=sender, id=id)


def state(daemon: Any, id: str) -> dict[str, Any]:
    with Client(daemon.home.socket) as client:
        return client.state("bob", id)


def _notified(daemon: Any, id: str) -> str:
    until(lambda: state(daemon, id)["notified"] != "none", "it is notified")
    return str(state(daemon, id)["notified"])


@pytest.fixture
def channel(daemon: Any) -> Any:
    daemon.stop()
    daemon.start(POSTINO_WAKE="channel")
    return daemon


async def test_a_channel_gets_counts_and_names_as_the_client_documents_it(channel: Any) -> None:
    async with relay(channel, POSTINO_AGENT_NAME="bob") as (session, told):
        assert session.server_capabilities.experimental == {"claude/channel": {}}
        send(channel, "m1")

        note = await got(told)

        assert note["method"] == "notifications/claude/channel"
        assert note["params"] == {
            "content": "[postino] 1 unread message (from unverified 'ann'): call msg_read; newest id m1",
            "meta": {"agent": "bob", "unread": "1", "senders": "unverified 'ann'"},
        }
        assert _notified(channel, "m1") == "channel"


@pytest.fixture
async def inbox(home: Any) -> AsyncIterator[tuple[Path, Inbox]]:
    """A messaging socket of this process, which is the relay's parent."""
    place = home.root / f"{os.getpid()}.sock"
    made = Inbox()
    async with await asyncio.start_unix_server(made.serve, place):
        yield place, made


async def test_a_socket_gets_one_line_with_the_token_before_it(daemon: Any, inbox: Any) -> None:
    place, made = inbox
    env = {"CLAUDE_CODE_MESSAGING_SOCKET": str(place), "CLAUDE_CODE_MESSAGING_TOKEN": TOKEN}
    async with relay(daemon, POSTINO_AGENT_NAME="bob", **env):
        send(daemon, "m1")

        auth, line = await got(made.lines), await got(made.lines)

        assert auth == {"type": "auth", "token": TOKEN}
        assert line.pop("msg_id").startswith("postino-")
        text = "[postino] 1 unread message (from unverified 'ann'): call msg_read; newest id m1"
        assert line == {"type": "user", "message": {"role": "user", "content": text}, "from": "postino"}
        assert _notified(daemon, "m1") == "socket"
    assert TOKEN not in daemon.home.log.read_text()


async def test_two_lines_are_never_alike(daemon: Any, inbox: Any) -> None:
    place, made = inbox
    async with relay(daemon, POSTINO_AGENT_NAME="bob", CLAUDE_CODE_MESSAGING_SOCKET=str(place)) as (session, _):
        send(daemon, "m1")
        first = await got(made.lines)
        await session.call_tool("msg_read", {})
        send(daemon, "m2")
        second = await got(made.lines)

        assert first["message"] != second["message"]
        assert first["msg_id"] != second["msg_id"]


async def test_a_socket_that_nobody_reads_is_not_recorded_as_told(daemon: Any, home: Any) -> None:
    gone = home.root / f"{os.getpid()}.sock"
    async with relay(daemon, POSTINO_AGENT_NAME="bob", CLAUDE_CODE_MESSAGING_SOCKET=str(gone)) as (session, _):
        send(daemon, "m1")
        answer = await session.call_tool("msg_check", {})  # the relay goes on as if nothing had been

        assert '"unreadMessages":1' in answer.content[0].text
        assert state(daemon, "m1")["notified"] == "none"


async def test_a_socket_inherited_from_somebody_elses_session_is_not_used(daemon: Any, home: Any) -> None:
    made = Inbox()
    place = home.root / "1.sock"  # of a process that is no ancestor of the relay, or not its client
    async with await asyncio.start_unix_server(made.serve, place):
        env = {"CLAUDE_CODE_MESSAGING_SOCKET": str(place), "CLAUDE_CODE_CHILD_SESSION": "1"}
        async with relay(daemon, POSTINO_AGENT_NAME="bob", **env) as (session, _):
            send(daemon, "m1")
            await session.call_tool("msg_check", {})
            send(daemon, "m2")
            await session.call_tool("msg_check", {})

            assert state(daemon, "m1")["notified"] == state(daemon, "m2")["notified"] == "none"
            assert made.lines.empty()
