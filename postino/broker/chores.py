"""Housekeeping: silent sessions go offline, what outlived its time ends, senders hear of dead letters."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator

import structlog

from postino.errors import InboxFull, KeyReused, PostinoError, StoreAway
from postino.model import SYSTEM, Draft, Sender
from postino.store.inbox import Inboxes
from postino.store.journal import Journal, Notice
from postino.store.roster import Roster

TICK_S = 5.0
SWEEP_S = 60.0  # or one lease; one inbox after the other, so a nudge, which comes with each dead letter, causes none
IDLE_MS = 600_000  # a consumer with nothing pending is dropped after ten minutes

log = structlog.get_logger()


class Chores:
    """The daemon's background work on the store; several daemons may do it at once."""

    def __init__(self, inboxes: Inboxes, roster: Roster, journal: Journal, *, sweep_s: float = SWEEP_S) -> None:
        self._inboxes = inboxes
        self._roster = roster
        self._journal = journal
        self._sweep_s = sweep_s
        self._nudged = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Start; notices left by a crash are sent first."""
        self._nudged.set()
        self._task = asyncio.create_task(self._work(), name="chores")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def nudge(self) -> None:
        """Look now: a message has died."""
        self._nudged.set()

    async def _work(self) -> None:
        clock = asyncio.get_running_loop().time
        swept = clock()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._nudged.wait()
            self._nudged.clear()
            try:
                await self._roster.expire_presence()
                if clock() - swept >= self._sweep_s:
                    swept = clock()
                    await self.sweep()
                await self.tell_senders()
            except StoreAway:
                continue
            except Exception:  # one that fails must not end the others for good
                log.exception("chores_failed")

    async def tell_senders(self) -> None:
        """Send each sender of a dead letter its notice; the id makes a repeat after a crash harmless."""
        for notice in await self._journal.notices():
            async with self._alone():
                with contextlib.suppress(InboxFull):  # told when there is room
                    await self._tell(notice)
                    await self._journal.told(notice)

    async def _tell(self, notice: Notice) -> None:
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
        for name in (await self._roster.names()).agents:
            async with self._alone():
                await self._inboxes.sweep(name, IDLE_MS)
        await self._roster.forget_sessions()
        await self._journal.forget_history()

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Let one that fails, as in an inbox another program has spoilt, stop no other; a store that is away does."""
        try:
            yield
        except PostinoError as error:
            await self._roster.now_ms()
            log.warning("chore_failed", error=error.message)


def notice_id(id: str) -> str:
    """Return the id of the notice on `id`, which must itself be a valid id of at most 128 characters."""
    whole = f"dead:{id}"
    return whole if len(whole) <= 128 else f"dead:{hashlib.blake2b(id.encode(), digest_size=16).hexdigest()}"
