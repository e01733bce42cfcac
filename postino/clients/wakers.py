"""Ways to start a turn in an idle session of another client. The line has the user's authority: it holds no body.

Codex has a command that queues a prompt; the relay runs it, because it has the client's environment. opencode's plugin
waits for a line in a request of its own.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from postino.mcp.connected import ConnectedSession

QUEUE_S = 20.0  # for `codex queue`, which took up to 8 s without Codex's own daemon
PROMPT_S = 10.0  # for the plugin to hand a line to opencode and ask again


def queue_waker(connected: ConnectedSession) -> Callable[[str], Awaitable[bool]]:
    """Return what makes the relay run `codex queue` for the connected session."""

    async def wake(text: str) -> bool:
        try:
            answer = await connected.ask(
                "wake", QUEUE_S, client="codex", text=text, session_id=connected.claude_session
            )
        except TimeoutError:
            return False
        return answer.get("ok") is True

    return wake


class PluginWaker:
    """One request of opencode's plugin that waits for a line."""

    def __init__(self, connected: ConnectedSession) -> None:
        self._connected = connected
        self._line: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def next_line(self, seconds: float) -> bytes:
        """Return the line to start a turn with, as JSON with its id; nothing after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                return await self._line
        except TimeoutError:
            return b""

    async def wake(self, text: str) -> bool:
        """Hand `text` to the plugin; return whether its next request says that a turn has started."""
        if self._line.done():
            return False
        id = f"postino-{secrets.token_hex(8)}"
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._connected.questions[id] = answer
        self._line.set_result(msgspec.json.encode({"wake": text, "woken": id}))
        try:
            async with asyncio.timeout(PROMPT_S):
                return (await answer).get("ok") is True
        except TimeoutError:
            return False
        finally:
            del self._connected.questions[id]
