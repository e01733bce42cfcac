"""What is said in the demo: two MCP clients, each with a relay of its own, and one line of HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import signal
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from mcp import Client as McpClient
from mcp import StdioServerParameters

from postino.cli.story import Story
from postino.client import Client
from postino.daemon.process import Running
from postino.errors import PostinoError

Json = dict[str, Any]

#: writes its pid and becomes the relay: the SDK does not tell whom it started, and the demo wants to kill it
_KNOWN_BY_PID = 'echo $$ >"$0" && exec "$@"'


class Agent:
    """One session of a coding agent: an MCP client and the relay it starts."""

    def __init__(self, name: str, environ: dict[str, str]) -> None:
        self.name = name
        self._pid_file = Path(environ["POSTINO_HOME"], f"{name}.pid")
        self._client = McpClient(
            StdioServerParameters(
                command="/bin/sh",
                args=["-c", _KNOWN_BY_PID, str(self._pid_file), sys.executable, "-m", "postino", "mcp"],
                env=environ | {"POSTINO_AGENT_NAME": name},
            ),
            read_timeout_seconds=10,
        )

    async def __aenter__(self) -> Agent:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def call(self, tool: str, **arguments: Any) -> Json:
        """Call a tool and return its structured answer.

        Raises:
            PostinoError: the tool refused.
        """
        result = await self._client.call_tool(tool, arguments)
        text = "".join(getattr(part, "text", "") for part in result.content)
        if result.is_error:
            raise PostinoError(f"{tool}: {text}")
        answer: Json = result.structured_content or json.loads(text)
        return answer

    def kill(self) -> None:
        """End the relay as a crash would."""
        os.kill(int(self._pid_file.read_text()), signal.SIGKILL)


async def converse(story: Story, environ: dict[str, str], running: Running) -> None:
    """Play the conversation, in order, each step waiting for the one before."""
    async with Agent("ada", environ) as ada:
        story.tell("ada", "is an MCP client; it runs `postino mcp`, as Claude Code would")
        async with Agent("bob", environ) as bob:
            story.tell("bob", "is another one")
            await _say(story, ada, "bob", QUESTION)
            await _hear(story, bob)
            bob.kill()
            story.tell("bob", "is killed (kill -9) before it could do anything about it: nothing was acknowledged")
        async with Agent("bob", environ) as bob:
            story.tell("bob", "is back, as a new session")
            await _hear(story, bob)
            await _say(story, bob, "ada", ANSWER)
            await _hear(story, ada)
            await _post(story, environ, running)
            await _hear(story, ada)
            await _to_all(story, ada, bob)
            await _new_name(story, ada, bob)
            await _what_became(story, running, ada, bob)


QUESTION = "The build is red since your last commit. Can you look at it?"
ANSWER = "Fixed: a path with a space in it. Tests pass again."


async def _say(story: Story, agent: Agent, to: str, body: str) -> None:
    sent = await agent.call("msg_send", to=to, body=body)
    story.tell(agent.name, f"msg_send to {to}: accepted, {DURABLE.get(str(sent.get('durability')), '')}", body=body)


DURABLE = {"fsync": "and on disk", "volatile": "but this Valkey does not write it to disk"}


async def _hear(story: Story, agent: Agent) -> None:
    batch = await agent.call("msg_read")
    if not batch["messages"]:
        story.tell(agent.name, "msg_read: nothing")
    for message in batch["messages"]:
        again = f", redelivered: delivery {message['delivery']}" if message.get("redelivered") else ""
        known = "" if message.get("verified") else ", not verified"
        story.tell(agent.name, f"msg_read: from {message['from']}{known}{again}", body=message["body"])


async def _post(story: Story, environ: dict[str, str], running: Running) -> None:
    asked = json.dumps({"to": "ada", "from": "ci", "body": "Deployed build 812."})
    line = ["curl", "-s", f"{running.url}/api/messages", "-H", "Content-Type: application/json", "-d", asked]
    if not shutil.which("curl"):
        story.tell("ci", "would post a message by curl, which is not installed here")
        return
    story.tell("ci", shlex.join(line))
    direct = {name: text for name, text in environ.items() if not name.lower().endswith("_proxy")}
    curl = await asyncio.create_subprocess_exec(*line, env=direct, stdout=asyncio.subprocess.PIPE)
    answer, _ = await curl.communicate()
    story.tell("postino", answer.decode().strip())


async def _to_all(story: Story, ada: Agent, bob: Agent) -> None:
    body = "Freeze from noon on: no merges, please."
    await ada.call("msg_broadcast", body=body)
    story.tell("ada", "msg_broadcast, to everyone", body=body)
    for item in (await bob.call("msg_broadcasts"))["broadcasts"]:
        story.tell("bob", f"msg_broadcasts: from {item['from']}", body=item["body"])


async def _new_name(story: Story, ada: Agent, bob: Agent) -> None:
    await bob.call("msg_rename", name="builder")
    story.tell("bob", "msg_rename: is builder from now on")
    await _say(story, ada, "bob", "Thank you!")
    bob.name = "builder"
    await _hear(story, bob)


async def _what_became(story: Story, running: Running, ada: Agent, bob: Agent) -> None:
    await asyncio.sleep(0.1)  # a call that comes sooner could have been sent before the answer was seen
    for agent in (ada, bob):
        waiting = await agent.call("msg_check")
        story.tell(agent.name, f"msg_check: {waiting['unreadMessages']} unread; that it asks acknowledges what it read")
    story.tell("you", "postino history")
    with Client(Path(running.socket)) as client:
        for entry in reversed(client.history()["items"]):
            state = entry["state"] or entry["kind"]
            times = f", delivered {entry['deliveries']} times" if entry["deliveries"] > 1 else ""
            story.tell("", f"{entry['from']} → {entry['to']}: {state}{times}", body=entry["body"])
