"""Relays: one played by hand on the wire, and the real one as a process."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from postino.broker import Broker
from postino.mcp.connected import ConnectedSessions
from postino.mcp.relay_connection import serve_relay

PATIENCE = 40.0  # s: a deadline, not a pause; a relay itself gives up after 20
WRITTEN_AGO = 0.06  # s: longer than the 50 ms after which an answer counts as seen
COMMAND = [sys.executable, "-m", "postino", "mcp"]

#: a relay's first line
HELLO = b'{"postino":"hello","version":"0","session":"s-0123456789abcdef","generation":1,"name":"bob"}\n'
#: the parameters of a client's first request
INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}


class Lines:
    """JSON-RPC by hand: requests out, answers back in whatever order they come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.came: dict[Any, dict[str, Any]] = {}
        self.others: list[dict[str, Any]] = []
        self._ids = itertools.count(1)

    def send(self, message: dict[str, Any] | bytes) -> None:
        line = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.writer.write(line + b"\n")

    def request(self, method: str, params: dict[str, Any] | None = None, **more: Any) -> int:
        id = next(self._ids)
        self.send({"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}} | more)
        return id

    def tool(self, name: str, /, **arguments: Any) -> int:
        return self.request("tools/call", {"name": name, "arguments": arguments})

    def notify(self, method: str, params: dict[str, Any] | None = None) -> None:
        self.send({"jsonrpc": "2.0", "method": method, "params": params or {}})

    async def next(self, patience: float = PATIENCE) -> dict[str, Any]:
        async with asyncio.timeout(patience):
            line = await self.reader.readline()
        assert line, "the other end has closed"
        message = json.loads(line)
        assert isinstance(message, dict)
        return message

    async def answer(self, id: Any, patience: float = PATIENCE) -> dict[str, Any]:
        while id not in self.came:
            message = await self.next(patience)
            if "id" in message and "method" not in message:
                assert message["id"] not in self.came, "answered twice"
                self.came[message["id"]] = message
            else:
                self.others.append(message)
        return self.came.pop(id)

    async def ask(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        return await self.answer(self.request(method, params))

    async def call(self, name: str, /, **arguments: Any) -> Any:
        return said(await self.answer(self.tool(name, **arguments)))

    async def open(self) -> dict[str, Any]:
        answer = await self.ask("initialize", INITIALIZE)
        self.notify("notifications/initialized")
        return answer["result"]  # type: ignore[no-any-return]


def said(answer: dict[str, Any]) -> Any:
    """Return what a tool said; a refusal has its `code`."""
    result = answer["result"]
    value = json.loads(result["content"][0]["text"])
    assert result.get("isError", False) == ("code" in value), answer
    return value


class HandRelay(Lines):
    """The relay's side of the wire, one step at a time."""

    serving: asyncio.Task[None]

    def written(self, id: int) -> None:
        self.send(b'{"postino":"written","id":%d}' % id)

    async def greet(self, **fields: Any) -> dict[str, Any]:
        hello = {"postino": "hello", "version": "0", "session": "s-1", "generation": 1, "claude": {}} | fields
        self.send(json.dumps(hello, separators=(",", ":")).encode())
        return await self.next()

    async def open(self) -> dict[str, Any]:
        answer = await super().open()
        self.written(1)
        return answer

    async def call(self, name: str, /, **arguments: Any) -> Any:
        """Call a tool and report its answer as written, as a client does that reads at once."""
        id = self.tool(name, **arguments)
        answer = await self.answer(id)
        self.written(id)
        return said(answer)

    async def think(self) -> None:
        """Let so much time pass that the last answer counts as seen."""
        await self.ask("ping")  # proves nothing, but shows that the report came: a stall may be longer than the sleep
        await asyncio.sleep(WRITTEN_AGO)

    async def close(self) -> None:
        self.writer.close()
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait([self.serving])


@contextlib.asynccontextmanager
async def hand_relays(broker: Broker) -> AsyncIterator[Callable[..., Awaitable[HandRelay]]]:
    """Give what connects a relay by hand; with a name it is greeted and its client initialized."""
    opened: list[HandRelay] = []

    async def connect(
        name: str | None = None, broker: Broker = broker, sessions: ConnectedSessions | None = None, **hello: Any
    ) -> HandRelay:
        ours, theirs = socket.socketpair()
        relay = HandRelay(*await asyncio.open_connection(sock=ours, limit=1 << 22))
        relay.serving = asyncio.create_task(serve_relay(*await asyncio.open_connection(sock=theirs), broker, sessions))
        opened.append(relay)
        if name is not None:
            session = hello.pop("session", f"s-{os.urandom(4).hex()}")
            assert "welcome" in (await relay.greet(name=name, session=session, **hello)).values()
            await relay.open()
        return relay

    yield connect
    for each in opened:
        await each.close()


@pytest.fixture
async def connect(broker: Broker) -> AsyncIterator[Callable[..., Awaitable[HandRelay]]]:
    """Connect a relay by hand: `await connect("bob")`; with a name it is greeted and its client initialized."""
    async with hand_relays(broker) as connect:
        yield connect


class RealRelay(Lines):
    """`postino mcp` as a process; every line it writes is checked to be JSON-RPC."""

    process: asyncio.subprocess.Process

    async def next(self, patience: float = PATIENCE) -> dict[str, Any]:
        message = await super().next(patience)
        assert message["jsonrpc"] == "2.0", message
        return message

    async def end(self) -> tuple[int, bytes]:
        """Wait for its end; return the exit code and what it wrote to stderr."""
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            code = await self.process.wait()
            return code, await self.process.stderr.read()

    async def leave(self) -> tuple[int, bytes]:
        """Close its stdin and wait for its end."""
        self.writer.close()
        return await self.end()

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)

    def rss_kb(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


@contextlib.asynccontextmanager
async def real_relays() -> AsyncIterator[Callable[..., Awaitable[RealRelay]]]:
    """Give what starts a real relay; with `opened` its client is initialized. All are killed at the end."""
    started: list[RealRelay] = []

    async def spawn(env: dict[str, str], *, opened: bool = True, **more: str) -> RealRelay:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *COMMAND, env=env | more, cwd="/tmp", stdin=pipe, stdout=pipe, stderr=pipe, limit=1 << 22
        )
        assert process.stdin is not None and process.stdout is not None
        relay = RealRelay(process.stdout, process.stdin)
        relay.process = process
        started.append(relay)
        if opened:
            await relay.open()
        return relay

    yield spawn
    for each in started:
        if each.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                each.process.kill()
        await each.process.communicate()
