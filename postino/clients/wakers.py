"""Ways to start a turn in an idle session of another client. The line has its user's authority there.

Codex's own server takes a line from the relay; where it does not answer, the relay runs Codex's command, whose
arguments others can see: no message goes that way. opencode's plugin waits for a line in a request of its own.
"""

from __future__ import annotations

import asyncio
import functools
import secrets
from typing import Any

import msgspec
import structlog

from postino.mcp.connected import ConnectedSession, Waker

SERVER_S = 3.0  # for Codex's server, to which the relay gives a second
QUEUE_S = 20.0  # for `codex queue`, which took up to 8 s without Codex's own server; the relay kills it after 15
PROMPT_S = 10.0  # for the plugin to hand a line to opencode and ask again

_log = structlog.get_logger()


def codex_waker(connected: ConnectedSession) -> Waker:
    """Return what makes the relay give a line to the connected session of Codex."""

    async def ask(client: str, seconds: float, **what: str) -> bool | None:
        connected.take_back = None
        session = connected.claude_session
        try:
            answer = await connected.ask("wake", seconds, client=client, session_id=session, **what)
        except TimeoutError:
            _log.warning("wake_unanswered", session=connected.session.id, by=client, seconds=seconds)
            return None
        if error := answer.get("error"):
            _log.warning("wake_failed", session=connected.session.id, error=str(error)[:200])
        if queued := answer.get("queued"):
            connected.take_back = functools.partial(take_back, str(queued))
        return answer.get("ok") if isinstance(answer.get("ok"), bool) else None

    async def take_back(queued: str) -> bool:
        return await ask("codex-server", SERVER_S, take_back=queued) is True

    async def wake(text: str, has_messages: bool) -> bool | None:
        taken = await ask("codex-server", SERVER_S, text=text)
        return await ask("codex", QUEUE_S, text=text) if taken is False and not has_messages else taken

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

    async def wake(self, text: str, has_messages: bool) -> bool | None:
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
            return None
        finally:
            del self._connected.questions[id]
