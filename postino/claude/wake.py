"""Wake idle sessions that have mail: the relay, a child of the session, writes one line to its inbox.

A busy session is notified by its hooks. A broadcast wakes nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets

import structlog

from postino.broker import Broker
from postino.broker.claude import Waiting
from postino.broker.events import ARRIVALS, Subscription
from postino.claude import notice
from postino.errors import PostinoError
from postino.mcp.connected import ConnectedSession, ConnectedSessions

COLLECT_S = 0.1  # pause before a round of wakes, so that a burst of mail wakes once
MIN_GAP_S = 5.0  # between two wakes of one session: Claude Code 2.1.330 dropped 40 of 70 lines sent at once
RELAY_S = 2.0  # for the relay's answer; the relay gives the inbox socket half a second
MAX_RETRY_S = 300.0  # between two wakes of a session that cannot be reached
MAX_DOUBLINGS = 6  # of MIN_GAP_S: 5 s * 2**6 exceeds MAX_RETRY_S
EVENT_BUFFER = 1024  # events; when it overflows, every session is checked instead

_log = structlog.get_logger()


class Wakes:
    """Decides which session to wake and when. `mode`: `auto` (inbox socket), `channel` (MCP notification) or `off`."""

    def __init__(self, broker: Broker, sessions: ConnectedSessions, mode: str) -> None:
        self._broker = broker
        self._sessions = sessions
        self._mode = mode
        self._agents: set[str] = set()  # that have got mail since the last round
        self._scheduled: set[ConnectedSession] = set()
        self._due = asyncio.Event()
        sessions.on_reconnect = self.schedule  # mail may have arrived while the session had no daemon

    async def run(self) -> None:
        """Wake sessions until cancelled."""
        while self._mode != "off":
            try:
                await self._serve()
            except* Exception:  # without this, wakes would end for good and unnoticed
                _log.exception("wakes_failed")
            await asyncio.sleep(MIN_GAP_S)
            self._schedule_all()

    def schedule(self, connected: ConnectedSession) -> None:
        """Wake `connected` in the next round if it has mail that it was not notified of."""
        self._scheduled.add(connected)
        self._due.set()

    def _schedule_all(self) -> None:
        for connected in self._sessions:
            self.schedule(connected)

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            while True:
                await self._due.wait()
                await asyncio.sleep(COLLECT_S)
                self._due.clear()
                agents, self._agents = self._agents, set()
                scheduled, self._scheduled = self._scheduled, set()
                for connected, agent in await self._choose(agents, scheduled):
                    group.create_task(self._wake(connected, agent))

    async def _listen(self) -> None:
        while True:
            async with self._broker.events.subscribe(EVENT_BUFFER) as events:
                await self._follow(events)
            self._schedule_all()
            await asyncio.sleep(COLLECT_S)

    async def _follow(self, events: Subscription) -> None:
        """Note who gets mail, until the subscription overflows."""
        while (event := await events.get()) is not None:
            if event.type in ARRIVALS:
                self._agents.add(str(event.data.get("to")))
                self._due.set()

    async def _choose(self, agents: set[str], scheduled: set[ConnectedSession]) -> list[tuple[ConnectedSession, str]]:
        """Return sessions to wake with their agents: of those that share an agent, the one woken longest ago."""
        chosen: dict[str, ConnectedSession] = {}
        for connected in sorted(self._sessions, key=lambda each: each.last_wake_at):
            if self._can_wake(connected):
                with contextlib.suppress(PostinoError):
                    agent = await connected.session.name()
                    if agent in agents or connected in scheduled:
                        chosen.setdefault(agent, connected)
        return [(connected, agent) for agent, connected in chosen.items()]

    def _can_wake(self, connected: ConnectedSession) -> bool:
        if connected.idle is False or connected.pending_wakes or not connected.initialized:
            return False
        if connected.client:
            return connected.waker is not None and connected.claude_session is not None
        return self._mode == "channel" or connected.session.hello.claude_socket is not None

    async def _wake(self, connected: ConnectedSession, agent: str) -> None:
        loop = asyncio.get_running_loop()
        pause = connected.last_wake_at + MIN_GAP_S - loop.time() if connected.last_wake_at else 0
        if pause > 0:
            loop.call_later(pause, self.schedule, connected)
            return
        with contextlib.suppress(PostinoError):  # the next mail, or the next prompt, tries again
            claude_session = connected.claude_session or connected.session.hello.claude_session_id or ""
            waiting = await self._broker.claude.unnotified(agent, connected.process, claude_session)
            if not waiting.new_unread or not self._can_wake(connected):
                return
            if not await self._deliver(connected, waiting):
                self._retry(connected)
                return
            connected.failed_wakes = 0
            how = connected.woken_by or ("channel" if self._mode == "channel" else "socket")
            await self._broker.claude.mark_notified(
                waiting, connected.process, claude_session, broadcasts=True, how=how
            )
            _log.info("session_woken", session=connected.session.id, agent=agent, how=how)

    def _retry(self, connected: ConnectedSession) -> None:
        """Schedule another wake, each later than the one before."""
        connected.failed_wakes = min(connected.failed_wakes + 1, MAX_DOUBLINGS)
        if connected.retry is not None:
            connected.retry.cancel()
        pause = min(MIN_GAP_S * 2**connected.failed_wakes, MAX_RETRY_S)
        connected.retry = asyncio.get_running_loop().call_later(pause, self._schedule_if_connected, connected)

    def _schedule_if_connected(self, connected: ConnectedSession) -> None:
        if connected in self._sessions:
            self.schedule(connected)

    async def _deliver(self, connected: ConnectedSession, waiting: Waiting) -> bool:
        """Send the line and return whether the client took it.

        The line ends in the newest id: the client drops one that equals an earlier line, and counts can be equal.
        """
        connected.last_wake_at = asyncio.get_running_loop().time()
        line = notice.mail_line(waiting.unread, waiting.unseen, waiting.senders)
        connected.wake_text = f"{line}; newest id {notice.shortened_id(waiting.new_ids[-1])}"
        if connected.waker is not None:
            return await connected.waker(connected.wake_text)
        if self._mode == "channel":
            self._send_to_channel(connected, waiting)
            return True  # the client never says whether it took the notification
        return await self._send_to_inbox(connected)

    def _send_to_channel(self, connected: ConnectedSession, waiting: Waiting) -> None:
        # the client drops `meta` keys with other characters than letters, digits and _, and values that are not strings
        senders = ", ".join(notice.sender_names(waiting.senders))
        meta = {"agent": waiting.agent, "unread": str(waiting.unread), "senders": senders}
        params = {"content": connected.wake_text, "meta": meta}
        connected.put({"jsonrpc": "2.0", "method": "notifications/claude/channel", "params": params})

    async def _send_to_inbox(self, connected: ConnectedSession) -> bool:
        msg_id = f"postino-{secrets.token_hex(8)}"
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        connected.pending_wakes[msg_id] = answer
        wake = {"postino": "wake", "text": connected.wake_text, "msg_id": msg_id}
        connected.put(wake | {"session_id": connected.claude_session})
        try:
            async with asyncio.timeout(RELAY_S):
                return await answer
        except TimeoutError:
            return False
        finally:
            del connected.pending_wakes[msg_id]
