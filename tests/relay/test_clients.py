"""Clients on the real relay and daemon: what each is told, and what others are told of it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp_types import Implementation

from tests.relays import COMMAND
from tests.waiting import eventually

SHELL = ("/bin/sh", "-c", '"$0" "$@"; exit')  # so that the relay has another parent than this test


def client(env: dict[str, str], name: str, cwd: str = "/tmp", launcher: tuple[str, ...] = ()) -> Client:
    """Return the SDK's client on a real relay, which calls itself `name`; `launcher` stands between the two."""
    command, *args = (*launcher, *COMMAND)
    parameters = StdioServerParameters(command=command, args=args, env=env, cwd=cwd)
    return Client(parameters, client_info=Implementation(name=name, version="1"), mode="legacy")  # type: ignore[arg-type]


async def call(session: Client, tool: str, **arguments: Any) -> Any:
    """Return what a tool answers."""
    return json.loads((await session.call_tool(tool, arguments)).content[0].text)  # type: ignore[union-attr]


def hook(served: Any, event: str) -> None:
    """Send a hook event of the Claude process that this test plays: the relay's parent."""
    url, given = f"http://localhost/api/hooks/{event}", json.dumps({"session_id": "c-1", "cwd": "/tmp"})
    command = ["curl", "-sf", "--unix-socket", str(served.home.socket), "-H", f"X-Claude-Pid: {os.getpid()}"]
    subprocess.run([*command, "-H", "Content-Type: application/json", "-d", given, url], check=True)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("claude-code", "no other call is needed"),
        ("codex-mcp-client", "when you have handled them, call msg_ack"),
        ("gemini-cli-mcp-client", "when you have handled them, call msg_ack"),
        ("opencode", "If you make no other, call msg_ack"),
    ],
)
async def test_each_client_is_told_whether_it_must_acknowledge(steady: Any, name: str, told: str) -> None:
    async with client(steady.env | {"POSTINO_AGENT_NAME": steady.name}, name) as session:
        assert told in (session.instructions or "")


async def test_others_see_the_client_directory_and_state_of_a_session(served: Any, steady: Any, tmp_path: Any) -> None:
    env, name = steady.env | {"POSTINO_AGENT_NAME": steady.name}, steady.name

    async def listed() -> dict[str, Any]:
        return served.asked(f"agents/{name}")  # type: ignore[no-any-return]

    def reach() -> Any:
        return served.posted("messages", {"to": name, "body": "x"})["reach"]

    async with client(env, "claude-code", str(tmp_path)) as session, client(steady.env, "codex", "/", SHELL) as other:
        await call(session, "msg_check")
        entry = await eventually(lambda: (found := served.asked(f"agents/{name}"))["client"] and found, "it is noted")
        assert (entry["client"], entry["directory"], entry["kind"]) == ("claude-code", str(tmp_path), "agent")
        assert (entry["state"], reach()) == ("unknown", "online: gets it with its next read")

        hook(served, "UserPromptSubmit")
        assert ((await listed())["state"], reach()) == (
            "busy",
            "online and busy: will be told between two steps of its work",
        )
        hook(served, "StopFailure")
        assert ((await listed())["state"], reach()) == ("idle", "online and idle: will be told now")

        me = await call(other, "msg_whoami")
        assert {"name": name, "kind": "agent", "state": "idle"} in me["online"]
        everyone = (await call(other, "msg_list_agents"))["agents"]
        (seen,) = [each for each in everyone if each["name"] == name]
        assert (seen["state"], seen["client"], seen["directory"]) == ("idle", "claude-code", str(tmp_path))
    assert reach() == "offline for less than a minute: will be told at its next start"
    assert (await listed())["state"] == "unknown"


async def test_placeholders_that_a_client_has_not_expanded_count_as_unset_and_are_named(served: Any) -> None:
    with tempfile.TemporaryDirectory(prefix="po", dir="/tmp") as home:
        (Path(home) / ".postino").symlink_to(served.home.root)
        unset = {name: f"${{{name}:-}}" for name in ("POSTINO_AGENT_NAME", "POSTINO_HOME", "POSTINO_VALKEY_URL")}
        option = {"CLAUDE_PLUGIN_OPTION_AGENT_NAME": "${user_config.agent_name}"}

        async with client(served.env | unset | option | {"HOME": home}, "codex", home) as session:
            me = await call(session, "msg_whoami")

        assert "POSTINO_AGENT_NAME, or" not in me["named"]
        assert me["warning"] == (
            "CLAUDE_PLUGIN_OPTION_AGENT_NAME, POSTINO_AGENT_NAME, POSTINO_HOME, POSTINO_VALKEY_URL: "
            "the value is a placeholder that was not expanded; it counts as unset"
        )
        assert os.listdir(home) == [".postino"]  # noqa: PTH208 - no blocking Path in async code
    assert "placeholders_not_expanded" in served.home.log.read_text()
