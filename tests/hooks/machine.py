"""A scratch HOME with the real Claude Code client, and the sessions that run in it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.hooks.hook_script import said
from tests.hooks.model import Model
from tests.scripted.machine import ScriptedMachine
from tests.scripted.model import Json

ROOT = Path(__file__).resolve().parents[2]
TOOL = "mcp__plugin_postino_postino__msg_"
TOOLS = ",".join(f"{TOOL}{each}" for each in ("send", "read", "whoami", "rename", "check", "broadcast"))
PATIENCE = 60.0  # s: a deadline; on a busy machine a daemon takes 20 s to start and import what a session needs
STREAM = ["-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"]
STREAM += ["--include-hook-events"]


@dataclass(kw_only=True)
class Machine(ScriptedMachine[Model]):
    """A scratch HOME with Claude Code."""

    prepared: Machine | None = None  # where the client has installed the plugin

    def client_env(self) -> dict[str, str]:
        """Return what the client needs: no account, no other traffic."""
        return {
            "XDG_RUNTIME_DIR": str(self.root / "run"),
            "ANTHROPIC_BASE_URL": self.model.url,
            "ANTHROPIC_AUTH_TOKEN": "dummy",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
        }

    def claude(self, *args: str, **options: Any) -> str:
        """Run the client to its end and return its output."""
        return self.run(self.binary, *args, **options)

    def install(self) -> None:
        """Make the plugin of this checkout the user's."""
        if self.prepared is None:
            self.install_anew()
        else:
            self._install_copy(self.prepared)

    def install_anew(self) -> None:
        """Let the client do it; takes a second."""
        self.claude("plugin", "marketplace", "add", str(ROOT))
        self.claude("plugin", "install", "postino@postino")

    def _install_copy(self, machine: Machine) -> None:
        shutil.copytree(machine.root / ".claude", self.root / ".claude")
        shutil.copy(machine.root / ".claude.json", self.root)
        for file in (self.root / ".claude").rglob("*.json"):
            file.write_text(file.read_text().replace(str(machine.root), str(self.root)))

    async def open(
        self, *args: str, cwd: Path | None = None, allowed: str = f"{TOOLS},Bash", begins: bool = True, **env: str
    ) -> Session:
        """Open a session and return when it has its mailbox; `allowed` tools do not ask.

        `begins`: and when its first hook has run. An older client prints that with the first prompt.
        """
        process = await asyncio.create_subprocess_exec(
            self.binary,
            *STREAM,
            "--allowedTools",
            allowed,
            *args,
            env=self.env | env,
            cwd=cwd or self.project(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=1 << 24,
        )
        session = Session(self, process, cwd or self.project())
        session.begin()
        try:
            await session.connected()
            if begins:
                await session.until(lambda: session.hooks("SessionStart"), "the session has begun")
        except BaseException:
            await session.kill()
            raise
        return session


@dataclass
class Session:
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
        await self.until(lambda: len(self.results()) > turns or self.has_ended(), f"the turn of {text!r} ends")
        assert len(self.results()) > turns, "the session ended within the turn"
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

    async def until(self, condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
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
        deadline = time.monotonic() + PATIENCE
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
        return [said(each["stdout"]) for each in self.hooks(event)]

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

    def has_ended(self) -> bool:
        """Tell whether the client has printed its last line."""
        return self._reader is not None and self._reader.done()

    async def close(self) -> None:
        """End the session as a user would, and wait for it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.process.wait(), 15)
        await self.kill()

    async def kill(self) -> None:
        """End the session without a word; repeating does nothing."""
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        if self._reader is not None:
            await self._reader

    def begin(self) -> None:
        """Read what the client prints from now on, and say hello to it."""
        self._reader = asyncio.create_task(self._read())
        self.tell({"type": "control_request", "request_id": "init", "request": {"subtype": "initialize"}})

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            if not line.endswith(b"\n"):
                return  # it was killed in the middle of a word
            self.events.append(json.loads(line))
            self._news.set()
