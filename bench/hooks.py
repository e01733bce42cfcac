"""The cost of a Claude Code session: each hook compared with a bare curl, and the characters in its context."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from bench.processes import COMMAND
from bench.stack import Stack, daemon, environment
from bench.table import Rows
from postino.paths import folder

HOOK = Path(str(folder("plugin"))) / "scripts/hook.sh"
EVENT = {
    "session_id": "bench",
    "cwd": "/",
    "source": "clear",
    "prompt": "hello",
    "tool_name": "mcp__plugin_postino_postino__msg_check",
    "tool_calls": [],
}
ALWAYS_LOADED = {"anthropic/alwaysLoad": True}  # the client shows these tools to the model without a search


def run(seconds: float) -> Rows:
    """Measure the commands in turn, so that other load slows all of them; `seconds` is the length of the whole run."""
    with daemon() as stack, _session(stack) as client:
        commands = {
            "curl of the same socket (floor)": _curl(stack),
            "UserPromptSubmit, nothing new": _hook(stack, "UserPromptSubmit"),
            "PreToolUse, a tool of postino": _hook(stack, "PreToolUse"),
            "PostToolBatch, nothing new": _hook(stack, "PostToolBatch"),
            "SessionStart, daemon running": _hook(stack, "SessionStart"),
        }
        taken = _in_turn(commands, seconds)
        floor = statistics.median(taken["curl of the same socket (floor)"])
        rows: Rows = [
            {
                "what": name,
                "median ms": round(statistics.median(times) * 1000, 1),
                "best ms": round(min(times) * 1000, 1),
                "of floor": round(statistics.median(times) / floor, 2),
                "characters": None,
            }
            for name, times in taken.items()
        ]
        return rows + [_size_row(name, size) for name, size in _characters(client).items()]


def _size_row(name: str, size: int) -> dict[str, Any]:
    return {"what": name, "median ms": None, "best ms": None, "of floor": None, "characters": size}


def _in_turn(commands: dict[str, Callable[[], None]], seconds: float) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for run_command in commands.values():  # once without measuring
        run_command()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken["SessionStart, daemon running"]) < 10:
        for name, run_command in commands.items():
            began = time.perf_counter()
            run_command()
            taken[name].append(time.perf_counter() - began)
    return taken


def _curl(stack: Stack) -> Callable[[], None]:
    command = ["curl", "-q", "-sS", "--unix-socket", f"{stack.home}/daemon.sock", "http://localhost/api/health"]
    return lambda: _execute(command, stack, b"")


def _hook(stack: Stack, event: str) -> Callable[[], None]:
    data = json.dumps(EVENT | {"hook_event_name": event}).encode()
    return lambda: _execute(["sh", str(HOOK), event], stack, data)


def _execute(command: list[str], stack: Stack, data: bytes) -> None:
    env = environment(stack.home) | {"CLAUDE_PID": str(os.getpid())}
    subprocess.run(command, env=env, input=data, stdout=subprocess.PIPE, check=True)


class _Client:
    """A minimal MCP client of a relay that this process started."""

    def __init__(self, relay: subprocess.Popen[bytes]) -> None:
        self._relay = relay
        self._last = 0

    def ask(self, method: str, params: dict[str, Any]) -> Any:
        assert self._relay.stdin is not None
        assert self._relay.stdout is not None
        self._last += 1
        request = {"jsonrpc": "2.0", "id": self._last, "method": method, "params": params}
        self._relay.stdin.write(json.dumps(request).encode() + b"\n")
        self._relay.stdin.flush()
        return json.loads(self._relay.stdout.readline())["result"]


@contextlib.contextmanager
def _session(stack: Stack) -> Iterator[_Client]:
    with subprocess.Popen(
        [*COMMAND, "mcp"], env=environment(stack.home), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as relay:
        yield _Client(relay)
        assert relay.stdin is not None
        relay.stdin.close()


def _characters(client: _Client) -> dict[str, int]:
    """Return the number of characters of each text that is put into the model's context."""
    params = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "claude-code", "version": "1"},
    }
    instructions = client.ask("initialize", params).get("instructions", "")
    tools = client.ask("tools/list", {})["tools"]
    return characters(instructions, tools)


def characters(instructions: str, tools: list[dict[str, Any]]) -> dict[str, int]:
    """Return the characters of the instructions, of the tools always loaded, and of all tools, in that order."""
    shown = [each for each in tools if (each.get("_meta") or {}).items() >= ALWAYS_LOADED.items()]
    return {
        "instructions": len(instructions),
        f"definitions of the {len(shown)} tools that are always loaded": sum(_size(each) for each in shown),
        f"definitions of all {len(tools)} tools, for clients without a search": sum(_size(each) for each in tools),
    }


def _size(tool: dict[str, Any]) -> int:
    """Return the characters of a definition in the form the model gets: name, description, schema."""
    definition = {"name": tool["name"], "description": tool["description"], "input_schema": tool["inputSchema"]}
    return len(msgspec.json.encode(definition).decode())
