"""The real Claude Code client in a scratch HOME, talking to a scripted model on loopback: no account, no network.

The binary is $CLAUDE_BINARY, or `claude` on PATH; where there is none these tests are skipped.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

ROOT = Path(__file__).resolve().parents[2]
Json = dict[str, Any]
Step = str | list[tuple[str, Json]] | Callable[[Json], Awaitable["str | list[tuple[str, Json]]"]]

BINARY = os.environ.get("CLAUDE_BINARY") or shutil.which("claude")


class Model:
    """A Messages API that says what the test wrote down, one step per request, and then only `Done.`"""

    def __init__(self) -> None:
        self.steps: deque[Step] = deque()
        self.requests: list[Json] = []
        self.url = ""

    def script(self, *steps: Step) -> None:
        """Queue answers: a text, tools to call as (name, input), or a function of the request that gives either."""
        self.steps.extend(steps)

    def seen(self) -> str:
        """Everything the model was shown, as JSON."""
        return json.dumps([each["messages"] for each in self.requests])

    def answers(self) -> list[str]:
        """Return the tool results in the last request that has some."""
        for request in reversed(self.requests):
            found = [_plain(each["content"]) for each in _blocks(request) if each["type"] == "tool_result"]
            if found:
                return found
        return []

    async def serve(self, request: web.Request) -> web.StreamResponse:
        if request.method == "HEAD":
            return web.Response()
        body = await request.json()
        if request.path != "/v1/messages" or not body.get("tools"):
            return await self._answer(request, [_text("{}")], "end_turn")
        self.requests.append(body)
        step: Any = self.steps.popleft() if self.steps else "Done."
        if callable(step):
            step = await step(body)
        if isinstance(step, str):
            return await self._answer(request, [_text(step)], "end_turn")
        return await self._answer(request, [_tool(*each) for each in step], "tool_use")

    async def _answer(self, request: web.Request, blocks: list[Json], reason: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        with contextlib.suppress(ConnectionError):  # a client that is ended in the middle of a turn
            await response.prepare(request)
            for event in _events(blocks, reason):
                await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
            await response.write_eof()
        return response


def _blocks(request: Json) -> list[Json]:
    return [
        each for message in request["messages"] if isinstance(message["content"], list) for each in message["content"]
    ]


def _plain(content: Any) -> str:
    return content if isinstance(content, str) else "".join(each.get("text", "") for each in content)


def _context(output: str) -> str:
    return str(json.loads(output)["hookSpecificOutput"]["additionalContext"]) if output else ""


def _text(words: str) -> Json:
    return {"start": {"type": "text", "text": ""}, "delta": {"type": "text_delta", "text": words}}


_calls = iter(range(1, 1 << 30))


def _tool(name: str, arguments: Json) -> Json:
    start = {"type": "tool_use", "id": f"toolu_{next(_calls):08}", "name": name, "input": {}}
    return {"start": start, "delta": {"type": "input_json_delta", "partial_json": json.dumps(arguments)}}


def _events(blocks: list[Json], reason: str) -> Iterator[Json]:
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {
        "id": f"msg_{next(_calls):08}",
        "type": "message",
        "role": "assistant",
        "model": "scripted",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    yield {"type": "message_start", "message": message}
    for at, block in enumerate(blocks):
        yield {"type": "content_block_start", "index": at, "content_block": block["start"]}
        yield {"type": "content_block_delta", "index": at, "delta": block["delta"]}
        yield {"type": "content_block_stop", "index": at}
    yield {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}
    yield {"type": "message_stop"}


@dataclass
class Machine:
    """A scratch HOME with a mailbox and a client, and the model it talks to."""

    root: Path
    binary: str
    model: Model
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """What everything runs with: nothing of this process's own environment."""
        return {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(self.root),
            "XDG_RUNTIME_DIR": str(self.root / "run"),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "POSTINO_HOME": str(self.root / "po"),
            "POSTINO_WEB_PORT": "0",
            "ANTHROPIC_BASE_URL": self.model.url,
            "ANTHROPIC_AUTH_TOKEN": "dummy",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            **self.extra,
        }

    def project(self, name: str = "project") -> Path:
        """Return a directory for sessions to run in."""
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        return folder

    def run(self, *command: str, cwd: Path | None = None, code: int | None = 0, **env: str) -> str:
        """Run a command to its end and return its output."""
        done = subprocess.run(
            command,
            env=self.env | env,
            cwd=cwd or self.project(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert code is None or done.returncode == code, done
        return done.stdout

    def claude(self, *args: str, **options: Any) -> str:
        """Run the client to its end and return its output."""
        return self.run(self.binary, *args, **options)

    def postino(self, *args: str, **options: Any) -> str:
        """Run postino's own command line."""
        return self.run(sys.executable, "-m", "postino", *args, **options)

    def data(self, *args: str) -> Any:
        """Run postino with --json and return what it says."""
        return json.loads(self.postino(*args, "--json"))

    def send(self, to: str, body: str = "hello", *, sender: str = "ann", id: str = "") -> str:
        """Send a message from outside; return its id."""
        sent = self.data("send", to, body, "--from", sender, *(["--id", id] if id else []))
        return str(sent["id"])

    def state(self, agent: str, id: str) -> Json:
        """Return what became of a message."""
        request = f"http://localhost/api/messages/{agent}/{id}"
        socket = str(self.root / "po/daemon.sock")
        return json.loads(self.run("curl", "-s", "--unix-socket", socket, request))  # type: ignore[no-any-return]

    def install(self) -> None:
        """Make the plugin of this checkout the user's."""
        self.claude("plugin", "marketplace", "add", str(ROOT))
        self.claude("plugin", "install", "postino@postino")


@dataclass
class ConnectedSession:
    """A long-lived session of the client, driven over stream-json."""

    machine: Machine
    process: asyncio.subprocess.Process
    cwd: Path
    events: list[Json] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _reader: asyncio.Task[None] | None = None

    @property
    def session_id(self) -> str:
        """The client's present session id."""
        return str([each["session_id"] for each in self.events if each.get("session_id")][-1])

    async def prompt(self, text: str) -> str:
        """Ask, wait for the end of the turn, and return what the model said last."""
        turns = len(self.results())
        self.tell({"type": "user", "message": {"role": "user", "content": text}})
        await self.until(lambda: len(self.results()) > turns, f"the turn of {text!r} ends")
        return str(self.results()[-1].get("result"))

    def results(self) -> list[Json]:
        """Return the ends of turns."""
        return [each for each in self.events if each["type"] == "result"]

    def tell(self, message: Json) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")

    def hooks(self, name: str) -> list[Json]:
        """Return the answers of every hook of one event so far."""
        return [
            each
            for each in self.events
            if each.get("subtype") == "hook_response" and str(each.get("hook_name", "")).split(":")[0] == name
        ]

    async def until(self, condition: Callable[[], object], what: str, seconds: float = 20) -> None:
        """Wait until what the client printed fulfils a condition."""
        deadline = time.monotonic() + seconds
        while not condition():
            left = deadline - time.monotonic()
            assert left > 0, f"waited {seconds} s until {what}; last: {self.events[-5:]}"
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), min(left, 0.1))

    async def connected(self) -> None:
        """Wait until the client has its mailbox."""
        asked = 0
        deadline = time.monotonic() + 20
        while True:
            asked += 1
            request = f"status-{asked}"
            self.tell({"type": "control_request", "request_id": request, "request": {"subtype": "mcp_status"}})
            await self.until(lambda name=request: self._said(name), "the client answers")  # type: ignore[misc]
            servers = self._said(request)["response"]["response"]["mcpServers"]
            if any(each["name"] == "plugin:postino:postino" and each["status"] == "connected" for each in servers):
                return
            assert time.monotonic() < deadline, f"the mailbox never connected: {servers}"
            await asyncio.sleep(0.05)

    def _said(self, request: str) -> Json:
        answers = [each for each in self.events if each["type"] == "control_response"]
        return next((each for each in answers if each["response"]["request_id"] == request), {})

    def said(self, event: str) -> list[str]:
        """Return what the hooks of one event added to the session, '' for nothing."""
        return [_context(each["stdout"]) for each in self.hooks(event)]

    def agent(self) -> str:
        """Return who the last SessionStart said this session is."""
        return self.said("SessionStart")[-1].split("this session is agent ")[1].split(";")[0]

    async def whoami(self) -> str:
        """Return who the session's mailbox says it is, asked as the model would."""
        self.machine.model.script([(f"{TOOL}whoami", {})])
        await self.prompt("who are you?")
        return str(json.loads(self.machine.model.answers()[-1])["agent"])

    def transcript(self) -> str:
        """Return the present session's transcript as it lies on disk."""
        slug = re.sub(r"[^A-Za-z0-9]", "-", str(self.cwd))
        return (self.machine.root / ".claude/projects" / slug / f"{self.session_id}.jsonl").read_text()

    async def close(self) -> None:
        """End the session as a user would, and wait for it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), 15)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        if self._reader is not None:
            await self._reader

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.events.append(json.loads(line))
            self._news.set()


TOOL = "mcp__plugin_postino_postino__msg_"
TOOLS = ",".join(f"{TOOL}{each}" for each in ("send", "read", "whoami", "rename", "check", "broadcast"))


@pytest.fixture
async def model() -> AsyncIterator[Model]:
    """A scripted Messages API on loopback."""
    made = Model()
    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{any:.*}", made.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def machine(model: Model) -> AsyncIterator[Machine]:
    """A scratch HOME with the client; the daemon is whatever a test lets start."""
    if BINARY is None:
        pytest.skip("no Claude Code client: set CLAUDE_BINARY, or put claude on PATH")
    root = Path(tempfile.mkdtemp(prefix="po", dir="/tmp"))
    (root / "run").mkdir(mode=0o700)
    made = Machine(root, BINARY, model)
    yield made
    await asyncio.to_thread(made.postino, "down", code=None)
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
async def mailbox(machine: Machine) -> Machine:
    """The machine with the plugin and a running daemon."""
    machine.install()
    machine.postino("up")
    return machine


@pytest.fixture
async def open_tab(machine: Machine) -> AsyncIterator[Callable[..., Awaitable[ConnectedSession]]]:
    """Open sessions of the client: `await open_tab("--resume", id, cwd=folder, POSTINO_AGENT_NAME="bob")`."""
    tabs: list[ConnectedSession] = []

    async def open_one(*args: str, cwd: Path | None = None, **env: str) -> ConnectedSession:
        folder = cwd or machine.project()
        fixed = ["-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"]
        process = await asyncio.create_subprocess_exec(
            machine.binary,
            *fixed,
            "--include-hook-events",
            "--allowedTools",
            f"{TOOLS},Bash",
            *args,
            env=machine.env | env,
            cwd=folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=1 << 24,
        )
        tab = ConnectedSession(machine, process, folder)
        tab._reader = asyncio.create_task(tab._read())
        tabs.append(tab)
        tab.tell({"type": "control_request", "request_id": "init", "request": {"subtype": "initialize"}})
        await tab.connected()
        await tab.until(lambda: tab.hooks("SessionStart"), "the session has begun")
        return tab

    yield open_one
    for tab in tabs:
        await tab.close()
