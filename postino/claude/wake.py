"""Wake idle sessions that have mail: the relay, a child of the session, writes one line to its inbox.

A busy session is notified by its hooks. An interrupt (Esc) runs no hook, so a session that counts as busy and has been
silent for SILENCE_S may be idle: then the client's own registry is asked. A broadcast wakes nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from postino.broker import Broker
from postino.broker.events import ARRIVALS
from postino.claude.wake_line import WakeLines
from postino.errors import PostinoError
from postino.mcp.connected import BURST, ConnectedSession, ConnectedSessions
from postino.model import Event

COLLECT_S = 0.02  # pause before a round of wakes, for mail that is sent at once
MIN_GAP_S = 5.0  # between two wakes of one session, on average: Claude Code 2.1.330 dropped 40 of 70 lines sent at once
SILENCE_S = 60.0  # without a hook after which a session that counts as busy may have been interrupted
LOOK_S = 5.0  # between two questions whether such a session is idle
ANSWER_S = 2.0  # for the relay to answer that
WAITING_S = 1.0  # between two looks at a session that waits for a reply
MAX_RETRY_S = 300.0  # between two wakes of a session that cannot be reached
MAX_DOUBLINGS = 6  # of MIN_GAP_S: 5 s * 2**6 exceeds MAX_RETRY_S

_log = structlog.get_logger()


class Wakes:
    """Decides which session to wake and when. `mode`: `auto` (inbox socket), `channel` (MCP notification) or `off`."""

    def __init__(self, broker: Broker, sessions: ConnectedSessions, mode: str) -> None:
        self._broker = broker
        self._sessions = sessions
        self._mode = mode
        self._lines = WakeLines(broker, sessions, mode)
        self._agents: set[str] = set()  # that have got mail since the last round
        self._scheduled: set[ConnectedSession] = set()
        self._due = asyncio.Event()
        self.on_wake: Callable[[str, bool], object] = lambda *_: None  # is given the way and the result of each wake
        sessions.on_reconnect = self.schedule  # mail may have arrived while the session had no daemon

    async def run(self) -> None:
        """Wake sessions until cancelled."""
        while self._mode != "off":
            try:
                with self._broker.events.counted_by(self._note):
                    await self._serve()
            except* Exception:  # without this, wakes would end for good and unnoticed
                _log.exception("wakes_failed")
            await asyncio.sleep(MIN_GAP_S)
            self._schedule_all()

    def schedule(self, connected: ConnectedSession) -> None:
        """Wake `connected` in the next round if it has mail that it was not notified of."""
        self._scheduled.add(connected)
        self._due.set()

    def look_later(self, connected: ConnectedSession) -> None:
        """Look in SILENCE_S whether `connected` was interrupted in a round of tool calls, which no hook reports."""
        if connected.retry is None:
            self._schedule_in(connected, SILENCE_S)

    def _schedule_all(self) -> None:
        for connected in self._sessions:
            connected.waking = False
            self.schedule(connected)

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                await self._due.wait()
                await asyncio.sleep(COLLECT_S)
                self._due.clear()
                agents, self._agents = self._agents, set()
                scheduled, self._scheduled = self._scheduled, set()
                for connected, agent in await self._choose(agents, scheduled):
                    group.create_task(self._wake(connected, agent))

    def _note(self, event: Event) -> None:
        """Note who gets mail; where events are missing it may be anybody."""
        if event.type in ARRIVALS:
            self._agents.add(str(event.data.get("to")))
            self._due.set()
        elif event.type == "gap":
            self._schedule_all()

    async def _choose(self, agents: set[str], scheduled: set[ConnectedSession]) -> list[tuple[ConnectedSession, str]]:
        """Return sessions to wake with their agents: of those that share an agent, the one woken longest ago."""
        chosen: dict[str, ConnectedSession] = {}
        for connected in sorted(self._sessions, key=_order):
            if not self._can_wake(connected):
                continue
            with contextlib.suppress(PostinoError):
                agent = await connected.session.name()
                if (agent in agents or connected in scheduled) and not self._waits(connected):
                    chosen.setdefault(agent, connected)
        return [(connected, agent) for agent, connected in chosen.items()]

    def _can_wake(self, connected: ConnectedSession) -> bool:
        return not connected.waking and self.reaches(connected)

    def reaches(self, connected: ConnectedSession) -> bool:
        """Return whether there is a way to wake `connected`."""
        if self._mode == "off" or not connected.initialized:
            return False
        if connected.client:
            return connected.waker is not None and connected.claude_session is not None
        return self._mode == "channel" or connected.session.hello.claude_socket is not None

    def _waits(self, connected: ConnectedSession) -> bool:
        """Return whether `connected` is not to be woken yet; then it is scheduled for when it may be."""
        now = asyncio.get_running_loop().time()
        pause = _pause(connected, now)
        if connected.session.is_waiting:  # for a reply, in a turn
            pause = max(pause, WAITING_S)
        if connected.idle is False:
            pause = max(pause, connected.last_hook_at + SILENCE_S - now)
        if pause > 0:
            self._schedule_in(connected, pause)
        return pause > 0

    async def _wake(self, connected: ConnectedSession, agent: str) -> None:
        if not self._can_wake(connected):
            return
        connected.waking = True
        try:
            with contextlib.suppress(PostinoError):  # the next mail, or the next prompt, tries again
                claude_session = connected.claude_session or connected.session.hello.claude_session_id or ""
                waiting = await self._broker.claude.unnotified(agent, connected.process, claude_session)
                if not (waiting.new_unread or connected.session.has_open_round()):
                    return
                if not await self._is_idle(connected):
                    return
                if connected.session.has_open_round():
                    await connected.session.give_back_interrupted(asyncio.get_running_loop().time())
                    waiting = await self._broker.claude.unnotified(agent, connected.process, claude_session)
                if not waiting.new_unread:
                    return
                took = await self._lines.deliver(connected, waiting, claude_session)
                connected.woken = took
                self.on_wake(self._lines.way(connected), took)
                if took:
                    connected.failed_wakes = 0
                    self.schedule(connected)  # for mail that arrived meanwhile
                else:
                    self._retry(connected)
        finally:
            connected.waking = False

    async def _is_idle(self, connected: ConnectedSession) -> bool:
        """Return whether a session may be woken: hooks or registry say that it is idle, or nothing is known of it."""
        if connected.idle is not False or self._mode == "channel" or connected.client:
            return connected.idle is not False
        heard = connected.last_hook_at
        status: str | None = None
        with contextlib.suppress(TimeoutError):
            status = (await connected.ask("status", ANSWER_S)).get("status")
        if connected.last_hook_at != heard or connected not in self._sessions:
            self.schedule(connected)
            return False
        if status in ("busy", "waiting"):
            self._schedule_in(connected, LOOK_S)
            return False
        if status == "idle":
            connected.idle = True
        return True

    def _retry(self, connected: ConnectedSession) -> None:
        """Schedule another wake, each later than the one before."""
        connected.failed_wakes = min(connected.failed_wakes + 1, MAX_DOUBLINGS)
        self._schedule_in(connected, min(MIN_GAP_S * 2**connected.failed_wakes, MAX_RETRY_S))

    def _schedule_in(self, connected: ConnectedSession, seconds: float) -> None:
        if connected.retry is not None:
            connected.retry.cancel()
        connected.retry = asyncio.get_running_loop().call_later(seconds, self._schedule_if_connected, connected)

    def _schedule_if_connected(self, connected: ConnectedSession) -> None:
        connected.retry = None
        if connected in self._sessions:
            self.schedule(connected)


def _order(connected: ConnectedSession) -> tuple[bool, float]:
    return connected.idle is False, connected.wakes_at[-1] if connected.wakes_at else 0.0


def _pause(connected: ConnectedSession, now: float) -> float:
    """Return the seconds until `connected` may be woken again.

    Where the turn that the last wake began has ended there is no gap, except after BURST wakes in quick succession.
    """
    wakes = connected.wakes_at
    if not wakes:
        return 0.0
    if connected.idle_since > wakes[-1]:
        return wakes[0] + BURST * MIN_GAP_S - now if len(wakes) == BURST else 0.0
    return wakes[-1] + MIN_GAP_S - now
