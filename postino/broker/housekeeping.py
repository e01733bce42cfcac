"""Housekeeping: silent sessions go offline, what outlived its time ends, senders hear of dead letters."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator

import structlog

from postino.errors import InboxFull, KeyReused, PostinoError, StoreAway
from postino.model import SYSTEM, Draft, Sender
from postino.store.agents import AgentTable
from postino.store.dead import DeadLetters, Notice
from postino.store.history import HistoryStream
from postino.store.inbox import Inboxes
from postino.store.sessions import SessionTable
from postino.store.store import Store

TICK_S = 5.0
SWEEP_S = 60.0  # or one lease; one inbox after the other, so a nudge, which comes with each dead letter, causes none
IDLE_MS = 600_000  # a consumer with nothing pending is dropped after ten minutes

log = structlog.get_logger()


class Housekeeping:
    """The daemon's background work on the store; several daemons may do it at once."""

    def __init__(
        self,
        store: Store,
        inboxes: Inboxes,
        dead: DeadLetters,
        history: HistoryStream,
        agents: AgentTable,
        sessions: SessionTable,
        *,
        sweep_s: float = SWEEP_S,
    ) -> None:
        self._store = store
        self._inboxes = inboxes
        self._dead = dead
        self._history = history
        self._agents = agents
        self._sessions = sessions
        self._sweep_s = sweep_s
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Start; notices left by a crash are sent first."""
        self._woken.set()
        self._task = asyncio.create_task(self._work(), name="housekeeping")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def wake(self) -> None:
        """Look now: a message has died."""
        self._woken.set()

    async def _work(self) -> None:
        clock = asyncio.get_running_loop().time
        swept = clock()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._woken.wait()
            self._woken.clear()
            try:
                await self._sessions.expire_presence()
                if clock() - swept >= self._sweep_s:
                    swept = clock()
                    await self.sweep()
                await self.send_notices()
            except StoreAway:
                continue
            except Exception:  # one that fails must not end the others for good
                log.exception("housekeeping_failed")

    async def send_notices(self) -> None:
        """Send each sender of a dead letter its notice; the id makes a repeat after a crash harmless."""
        for notice in await self._dead.notices():
            async with self._alone():
                with contextlib.suppress(InboxFull):  # told when there is room
                    await self._send_notice(notice)
                    await self._dead.drop_notice(notice)

    async def _send_notice(self, notice: Notice) -> None:
        agent, id = notice.agent, notice.id
        body = (
            f"Your message {id} to {agent} was given up: its last allowed delivery ended without "
            f"acknowledgement. It lies in the dead letters of {agent} and can be requeued."
        )
        again = f":{notice.death}" if notice.death > 1 else ""
        for about in (id, f"{agent}:{id}"):  # one id may die in several inboxes; the first death took dead:<id>
            draft = Draft(id=notice_id(about + again), to=notice.sender, body=body, reply_to=id)
            with contextlib.suppress(KeyReused):
                await self._inboxes.send(draft, Sender(name=SYSTEM, via="system", verified=True))
                return

    async def sweep(self) -> None:
        """End what has outlived its time or its last delivery: in every inbox; of the sessions, in the history."""
        for name in (await self._agents.names()).agents:
            async with self._alone():
                await self._inboxes.sweep(name, IDLE_MS)
        await self._sessions.forget_sessions()
        await self._history.trim()

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Let one that fails, as in an inbox another program has spoilt, stop no other; a store that is away does."""
        try:
            yield
        except PostinoError as error:
            await self._store.now_ms()
            log.warning("housekeeping_step_failed", error=error.message)


def notice_id(id: str) -> str:
    """Return the id of the notice on `id`, which must itself be a valid id of at most 128 characters."""
    whole = f"dead:{id}"
    return whole if len(whole) <= 128 else f"dead:{hashlib.blake2b(id.encode(), digest_size=16).hexdigest()}"
