"""Housekeeping: takes silent sessions offline, ends what has outlived its time, notifies senders of dead letters."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from typing import NamedTuple

import structlog

from postino.errors import InboxFull, KeyReused, PostinoError, StoreAway
from postino.model import SYSTEM, Draft, Sender
from postino.store.agents import AgentTable
from postino.store.dead import DeadLetters, Notice
from postino.store.history import HistoryStream
from postino.store.inbox import Inboxes, Swept
from postino.store.keys import ALL
from postino.store.sessions import SessionTable
from postino.store.store import Store
from postino.tasks import cancelled

TICK_S = 5.0
STEP_MS = 1000  # that Valkey's clock goes back against ours in one tick: what this hides is to be found at once
SWEEP_S = 60.0  # or one lease, if shorter; it visits every inbox, so `run_soon` does not start one
PAUSE_S = 0.02  # after a batch that left work: some milliseconds of the server's time, so that requests get the rest
IDLE_MS = 600_000  # after which a consumer with nothing pending is deleted

#: reason of a dead letter -> clause for its sender
WHY = {
    "max_deliveries": "its last allowed delivery ended without acknowledgement",
    "expired": "it was not read and acknowledged within its time to live",
    "unopened": "nobody opened it within 30 days",
    "altered": "it was altered on disk, so it was not given out",
}

log = structlog.get_logger()


class Unread(NamedTuple):
    """All unacknowledged messages, and when the oldest of them was accepted, in ms; None: there are none.

    `oldest_of`: the same for each agent that has any.
    """

    messages: int
    oldest_ms: int | None
    oldest_of: dict[str, int]


class Housekeeping:
    """The daemon's periodic work on the store; several daemons may do it at once."""

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
        self.unread: Unread | None = None  # at the last sweep; None: there was none yet
        self._requested = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Start; notices left over from a crash are sent at once."""
        self._requested.set()
        self._task = asyncio.create_task(self._run(), name="housekeeping")

    async def close(self) -> None:
        """Stop."""
        await cancelled(self._task)

    def run_soon(self) -> None:
        """Run without waiting for the next tick, because a message has died."""
        self._requested.set()

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        swept, ahead_ms = clock(), 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._requested.wait()
            self._requested.clear()
            try:
                await self._sessions.expire_presence()
                before_ms, ahead_ms = ahead_ms, await self._store.now_ms() - clock() * 1000
                if ahead_ms < before_ms - STEP_MS or clock() - swept >= self._sweep_s:
                    swept = clock()
                    await self.sweep()
                await self.send_notices()
                await self._history.begin_index()
            except StoreAway:
                continue
            except Exception:  # one failure must not end the task
                log.exception("housekeeping_failed")

    async def send_notices(self) -> None:
        """Send each sender of a dead letter its notice, under an id that makes a repeat after a crash harmless."""
        full: set[str] = set()  # senders whose notices are sent once there is room
        for notice in await self._dead.notices():
            if notice.sender in full:
                continue
            async with self._errors_logged():
                try:
                    await self._send_notice(notice)
                    await self._dead.drop_notice(notice)
                except InboxFull:
                    full.add(notice.sender)

    async def _send_notice(self, notice: Notice) -> None:
        agent, id = notice.agent, notice.id
        why = WHY.get(notice.reason, notice.reason)
        place = "" if notice.reason == "unopened" else f" It lies in the dead letters of {agent} and can be requeued."
        body = f"Your message {id} to {agent} was given up: {why}.{place}"
        again = f":{notice.death}" if notice.death > 1 else ""
        for about in (id, f"{agent}:{id}"):  # an id may die in two inboxes; dead:<id> is then taken
            draft = Draft(id=notice_id(about + again), to=notice.sender, body=body, reply_to=id)
            with contextlib.suppress(KeyReused):
                await self._inboxes.send(draft, Sender(name=SYSTEM, via="system", verified=True))
                return

    async def sweep(self) -> None:
        """End expired messages and last deliveries in every inbox, and delete old ids, session records and history.

        All inboxes in turn, a bounded number of messages and ids of each, until there is nothing more to do.
        """
        names = [*(await self._agents.names()).agents, ALL]
        left: dict[str, Swept] = {}
        while names:
            left |= {name: swept for name in names if (swept := await self._sweep_one(name))}
            names = [name for name in names if name in left and left[name].more]
        oldest_of = {name: each.oldest_ms for name, each in left.items() if each.oldest_ms is not None}
        oldest = min(oldest_of.values(), default=None)
        self.unread = Unread(sum(each.unread for each in left.values()), oldest, oldest_of)
        await self._sessions.forget_sessions()
        await self._history.trim()

    async def _sweep_one(self, name: str) -> Swept | None:
        async with self._errors_logged():
            swept = await self._inboxes.sweep(name, IDLE_MS)
            if swept.more:
                await asyncio.sleep(PAUSE_S)
            return swept
        return None  # it has failed

    @contextlib.asynccontextmanager
    async def _errors_logged(self) -> AsyncIterator[None]:
        """Log a failure, such as a key damaged by another program, and go on; raise StoreAway if the store is away."""
        try:
            yield
        except PostinoError as error:
            await self._store.now_ms()
            log.warning("housekeeping_step_failed", error=error.message)


def notice_id(id: str) -> str:
    """Return the id of the notice about `id`, itself a valid id of at most 128 characters."""
    whole = f"dead:{id}"
    return whole if len(whole) <= 128 else f"dead:{hashlib.blake2b(id.encode(), digest_size=16).hexdigest()}"
