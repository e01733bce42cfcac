"""Wake an idle session that has mail: its relay, a child of the session, hands it one line that says so.

A busy session is told by its hooks. A broadcast wakes nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets

import structlog

from postino.broker import Broker
from postino.broker.claude import Waiting
from postino.broker.events import ARRIVALS, Subscription
from postino.broker.sessions import process_key
from postino.claude import notice
from postino.errors import PostinoError
from postino.mcp.connected import ConnectedSession, ConnectedSessions

GATHER_S = 0.1  # a burst wakes once
GAP_S = 5.0  # between two wakes of one session: Claude Code 2.1.330 dropped 40 of 70 lines sent at once
ANSWER_S = 2.0  # for the relay, which gives the session's socket half a second
LONGEST_S = 300.0  # between two tries to reach a session that cannot be reached
DOUBLINGS = 6  # until then

_log = structlog.get_logger()


class Wakes:
    """Who is to be woken. `mode`: `auto` (inbox socket), `channel` (notifications/claude/channel) or `off`."""

    def __init__(self, broker: Broker, sessions: ConnectedSessions, mode: str) -> None:
        self._broker = broker
        self._sessions = sessions
        self._mode = mode
        self._agents: set[str] = set()
        self._late: set[ConnectedSession] = set()
        self._due = asyncio.Event()
        sessions.returned = self.look  # mail may have come while its daemon was away

    async def run(self) -> None:
        """Wake whom mail reaches, for ever."""
        while self._mode != "off":
            try:
                await self._serve()
            except* Exception:  # nobody would notice but by never being woken
                _log.exception("wakes_failed")
            await asyncio.sleep(GAP_S)
            for connected in self._sessions:  # whatever came meanwhile
                self.look(connected)

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            while True:
                await self._due.wait()
                await asyncio.sleep(GATHER_S)
                self._due.clear()
                agents, self._agents = self._agents, set()
                late, self._late = self._late, set()
                for connected, name in await self._chosen(agents, late):
                    group.create_task(self._wake(connected, name))

    def look(self, connected: ConnectedSession) -> None:
        """Wake `connected` if there is mail that it was not told of."""
        self._late.add(connected)
        self._due.set()

    async def _listen(self) -> None:
        while True:
            async with self._broker.events.subscribe(1024) as events:
                await self._follow(events)
            for connected in self._sessions:  # too much came at once to be told one by one
                self.look(connected)
            await asyncio.sleep(GATHER_S)

    async def _follow(self, events: Subscription) -> None:
        while (event := await events.get()) is not None:
            if event.type in ARRIVALS:
                self._agents.add(str(event.data.get("to")))
                self._due.set()

    async def _chosen(self, agents: set[str], late: set[ConnectedSession]) -> list[tuple[ConnectedSession, str]]:
        """Return whom to wake: of the sessions that share an agent, the one whose last wake is longest ago."""
        chosen: dict[str, ConnectedSession] = {}
        for connected in sorted(self._sessions, key=lambda each: each.woken_at):
            if self._may(connected):
                with contextlib.suppress(PostinoError):
                    name = await connected.session.name()
                    if name in agents or connected in late:
                        chosen.setdefault(name, connected)
        return [(connected, name) for name, connected in chosen.items()]

    def _may(self, connected: ConnectedSession) -> bool:
        if connected.idle is False or connected.waking or not connected.initialized:
            return False
        return self._mode == "channel" or connected.session.hello.claude_socket is not None

    async def _wake(self, connected: ConnectedSession, name: str) -> None:
        loop = asyncio.get_running_loop()
        wait = connected.woken_at + GAP_S - loop.time() if connected.woken_at else 0
        if wait > 0:
            loop.call_later(wait, self.look, connected)
            return
        with contextlib.suppress(PostinoError):  # the next mail, or the next prompt, tries again
            process, claude = _process(connected), connected.claude or connected.session.hello.claude_session_id or ""
            waiting = await self._broker.claude.unnotified(name, process, claude)
            if not waiting.new_unread or not self._may(connected):
                return
            if await self._reach(connected, waiting):
                connected.unreached = 0
                await self._broker.claude.mark_notified(waiting, process, claude, broadcasts=True, how=self._way)
                _log.info("woken", session=connected.session.id, agent=name, way=self._way)
            else:
                self._try_later(connected)

    def _try_later(self, connected: ConnectedSession) -> None:
        connected.unreached = min(connected.unreached + 1, DOUBLINGS)
        if connected.retry is not None:
            connected.retry.cancel()
        wait = min(GAP_S * 2**connected.unreached, LONGEST_S)
        connected.retry = asyncio.get_running_loop().call_later(wait, self._again, connected)

    def _again(self, connected: ConnectedSession) -> None:
        if connected in self._sessions:
            self.look(connected)

    @property
    def _way(self) -> str:
        return "channel" if self._mode == "channel" else "socket"

    async def _reach(self, connected: ConnectedSession, waiting: Waiting) -> bool:
        """Hand the session its line; its end tells two lines of equal counts apart, which the client would drop."""
        connected.woken_at = asyncio.get_running_loop().time()
        said = notice.line(waiting.agent, waiting.unread, waiting.unseen, waiting.senders)
        mark = waiting.new_ids[-1][:32]
        connected.woken_by = f"{said}; newest id {mark}"
        if self._mode == "channel":
            return self._notify(connected, connected.woken_by, waiting)
        return await self._write(connected, connected.woken_by)

    def _notify(self, connected: ConnectedSession, text: str, waiting: Waiting) -> bool:
        # keys and values as the client asks: letters, digits and _ only, and all of them strings
        senders = ", ".join(notice.safe(waiting.senders))
        meta = {"agent": waiting.agent, "unread": str(waiting.unread), "senders": senders}
        params = {"content": text, "meta": meta}
        connected.put({"jsonrpc": "2.0", "method": "notifications/claude/channel", "params": params})
        return True

    async def _write(self, connected: ConnectedSession, text: str) -> bool:
        msg_id = f"postino-{secrets.token_hex(8)}"
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        connected.waking[msg_id] = answer
        connected.put({"postino": "wake", "text": text, "msg_id": msg_id, "session_id": connected.claude})
        try:
            async with asyncio.timeout(ANSWER_S):
                return await answer
        except TimeoutError:
            return False
        finally:
            del connected.waking[msg_id]


def _process(connected: ConnectedSession) -> str:
    hello = connected.session.hello
    return hello.process or process_key(hello.host, 0, hello.session)
