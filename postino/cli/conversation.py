"""The conversation of the demo: two MCP clients, each with its own relay, and one HTTP request."""

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
from postino.daemon.process import DaemonInfo
from postino.errors import PostinoError
from postino.json_text import Json

#: write the pid, then become the relay: the demo kills it, and the SDK does not report the pid
_RECORD_PID = 'echo $$ >"$0" && exec "$@"'


class Agent:
    """One session of a coding agent: an MCP client and the relay that it starts."""

    def __init__(self, name: str, environ: dict[str, str]) -> None:
        self.name = name
        self._pid_file = Path(environ["POSTINO_HOME"], f"{name}.pid")
        self._client = McpClient(
            StdioServerParameters(
                command="/bin/sh",
                args=["-c", _RECORD_PID, str(self._pid_file), sys.executable, "-m", "postino", "mcp"],
                env=environ | {"POSTINO_AGENT_NAME": name},
            ),
            read_timeout_seconds=30,  # the relay itself answers with an error after 20
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
            PostinoError: the tool answered with an error.
        """
        result = await self._client.call_tool(tool, arguments)
        text = "".join(getattr(part, "text", "") for part in result.content)
        if result.is_error:
            raise PostinoError(f"{tool}: {text}")
        answer: Json = result.structured_content or json.loads(text)
        return answer

    def kill(self) -> None:
        """End the relay as in a crash."""
        os.kill(int(self._pid_file.read_text()), signal.SIGKILL)


async def converse(story: Story, environ: dict[str, str], daemon: DaemonInfo) -> None:
    """Run the conversation step by step."""
    async with Agent("ada", environ) as ada:
        story.line("ada", "is an MCP client; it runs `postino mcp`, as Claude Code does")
        async with Agent("bob", environ) as bob:
            story.line("bob", "is another MCP client")
            await _send(story, ada, "bob", QUESTION)
            await _read(story, bob)
            bob.kill()
            story.line("bob", "is killed (kill -9) before it acknowledges the message")
        async with Agent("bob", environ) as bob:
            story.line("bob", "starts again, as a new session")
            await _read(story, bob)
            await _send(story, bob, "ada", ANSWER)
            await _read(story, ada)
            await _post(story, environ, daemon)
            await _read(story, ada)
            await _broadcast(story, ada, bob)
            await _rename(story, ada, bob)
            await _show_states(story, daemon, ada, bob)


QUESTION = "The build is red since your last commit. Can you look at it?"
ANSWER = "Fixed: a path with a space in it. Tests pass again."


async def _send(story: Story, agent: Agent, to: str, body: str) -> None:
    sent = await agent.call("msg_send", to=to, body=body)
    story.line(agent.name, f"msg_send to {to}: accepted, {DURABLE.get(str(sent.get('durability')), '')}", body=body)


DURABLE = {"fsync": "and on disk", "volatile": "but this Valkey does not write it to disk"}


async def _read(story: Story, agent: Agent) -> None:
    batch = await agent.call("msg_read")
    if not batch["messages"]:
        story.line(agent.name, "msg_read: nothing")
    for message in batch["messages"]:
        again = f", redelivered: delivery {message['delivery']}" if message.get("redelivered") else ""
        known = "" if message.get("verified") else ", not verified"
        story.line(agent.name, f"msg_read: from {message['from']}{known}{again}", body=message["body"])


async def _post(story: Story, environ: dict[str, str], daemon: DaemonInfo) -> None:
    asked = json.dumps({"to": "ada", "from": "ci", "body": "Deployed build 812."})
    line = ["curl", "-s", f"{daemon.url}/api/messages", "-H", "Content-Type: application/json", "-d", asked]
    if not shutil.which("curl"):
        story.line("ci", "would send a message with curl, which is not installed here")
        return
    story.line("ci", shlex.join(line))
    direct = {name: text for name, text in environ.items() if not name.lower().endswith("_proxy")}
    curl = await asyncio.create_subprocess_exec(*line, env=direct, stdout=asyncio.subprocess.PIPE)
    answer, _ = await curl.communicate()
    story.line("postino", answer.decode().strip())


async def _broadcast(story: Story, ada: Agent, bob: Agent) -> None:
    body = "Code freeze from noon on: no merges, please."
    await ada.call("msg_broadcast", body=body)
    story.line("ada", "msg_broadcast, to everyone", body=body)
    for item in (await bob.call("msg_broadcasts"))["broadcasts"]:
        story.line("bob", f"msg_broadcasts: from {item['from']}", body=item["body"])


async def _rename(story: Story, ada: Agent, bob: Agent) -> None:
    await bob.call("msg_rename", name="builder")
    story.line("bob", "msg_rename: is builder from now on")
    bob.name = "builder"
    await _ask(story, ada, bob)


async def _ask(story: Story, ada: Agent, bob: Agent) -> None:
    """Let one wait for the reply of the other, under the name that it had."""
    question = "Which file was it?"
    story.line("ada", "msg_ask to bob, and waits", body=question)
    asking = asyncio.create_task(ada.call("msg_ask", to="bob", body=question))
    try:
        messages: list[Json] = []
        while not messages and not asking.done():
            messages = (await bob.call("msg_read"))["messages"]
        for each in messages:
            story.line(bob.name, "msg_read, then msg_send with `reply_to` and no recipient", body="ci/paths.py.")
            await bob.call("msg_send", body="ci/paths.py.", reply_to=each["id"], expects="none")
        reply = (await asking)["reply"]
        story.line("ada", f"msg_ask: the reply of {reply['from']}, read by that", body=reply["body"])
    finally:
        asking.cancel()


async def _show_states(story: Story, daemon: DaemonInfo, ada: Agent, bob: Agent) -> None:
    await asyncio.sleep(0.1)  # a call within 50 ms of a read acknowledges nothing
    for agent in (ada, bob):
        waiting = await agent.call("msg_check")
        story.line(agent.name, f"msg_check: {waiting['unreadMessages']} unread; this call acknowledges the read")
    story.line("you", "postino history")
    with Client(Path(daemon.socket)) as client:
        for entry in reversed(client.history()["items"]):
            state = entry["state"] or entry["kind"]
            times = f", delivered {entry['deliveries']} times" if entry["deliveries"] > 1 else ""
            story.line("", f"{entry['from']} → {entry['to']}: {state}{times}", body=entry["body"])
