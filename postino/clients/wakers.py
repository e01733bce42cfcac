"""Ways to start a turn in an idle session of another client. The line has the user's authority: it holds no body.

Codex has a command that queues a prompt; the relay runs it, because it has the client's environment. opencode's plugin
waits for a line in a request of its own.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable

import msgspec

from postino.mcp.connected import ConnectedSession

QUEUE_S = 20.0  # for `codex queue`, which took up to 8 s without Codex's own daemon
PROMPT_S = 10.0  # for the plugin to hand a line to opencode and ask again


def queue_waker(connected: ConnectedSession) -> Callable[[str], Awaitable[bool]]:
    """Return what makes the relay run `codex queue` for the connected session."""

    async def wake(text: str) -> bool:
        msg_id = _new_id()
        line = {"postino": "wake", "client": "codex", "text": text, "msg_id": msg_id}
        return await _answered(
            connected, msg_id, QUEUE_S, lambda: connected.put(line | {"session_id": connected.claude_session})
        )

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
        msg_id = _new_id()
        line = msgspec.json.encode({"wake": text, "woken": msg_id})
        return await _answered(self._connected, msg_id, PROMPT_S, lambda: self._line.set_result(line))


async def _answered(connected: ConnectedSession, msg_id: str, seconds: float, send: Callable[[], object]) -> bool:
    answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    connected.pending_wakes[msg_id] = answer
    try:
        send()
        async with asyncio.timeout(seconds):
            return await answer
    except TimeoutError:
        return False
    finally:
        del connected.pending_wakes[msg_id]


def _new_id() -> str:
    return f"postino-{secrets.token_hex(8)}"
