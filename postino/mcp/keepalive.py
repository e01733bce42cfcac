"""Keep a session online, and its leases of what it was shown running."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from postino.errors import PostinoError
from postino.mcp.session import Session

PAUSE_S = 10.0  # a third of the 30 s after which a silent session counts as offline

log = structlog.get_logger()


class Keepalive:
    """Of one session that has just joined, and is online for 30 s by that."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._last = asyncio.get_running_loop().time()
        self._keeping: asyncio.Task[None] | None = None
        self._stopped = False

    async def run(self, is_used: Callable[[], bool]) -> None:
        """Keep the session online while it `is_used`, until cancelled."""
        pause = min(PAUSE_S, self._session.broker.settings.message_lease / 3)
        while True:
            await asyncio.sleep(pause)
            if is_used():
                await self._keep()

    def used(self) -> None:
        """Note a sign of life of a client that keeps no connection open: it is online for the next 20 to 30 s."""
        is_due = asyncio.get_running_loop().time() - self._last >= PAUSE_S
        if is_due and not self._stopped and (self._keeping is None or self._keeping.done()):
            self._keeping = asyncio.create_task(self._keep(), name="keepalive")

    def stop(self) -> None:
        """Note that the session ends: a sign of life that came with it must not make it online again."""
        self._stopped = True
        if self._keeping is not None:
            self._keeping.cancel()

    async def _keep(self) -> None:
        session = self._session
        self._last = asyncio.get_running_loop().time()
        try:
            await session.name()
            await session.broker.sessions.keepalive(session.id, session.hello.generation, session.shown())
        except PostinoError as error:
            log.warning("keepalive_failed", session=session.id, code=error.code)
