"""Wake an idle session that has mail: its relay, a child of the session, hands it one line that says so.

A busy session is told by its hooks. A broadcast wakes nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets

import structlog

from postino.broker import Broker
from postino.broker.feed import Subscription
from postino.broker.sessions import process_key
from postino.broker.whereabouts import Waiting
from postino.daemon import hook_text
from postino.errors import PostinoError
from postino.mcp.tabs import Tab, Tabs

ARRIVALS = frozenset({"msg_send", "msg_requeue", "msg_release", "msg_nack"})  # after these somebody has mail
GATHER_S = 0.1  # a burst wakes once
GAP_S = 5.0  # between two wakes of one session: Claude Code 2.1.330 dropped 40 of 70 lines sent at once
ANSWER_S = 2.0  # for the relay, which gives the session's socket half a second
LONGEST_S = 300.0  # between two tries to reach a session that can not be reached
DOUBLINGS = 6  # until then

_log = structlog.get_logger()


class Wakes:
    """Who is to be woken. `mode`: `auto` (inbox socket), `channel` (notifications/claude/channel) or `off`."""

    def __init__(self, broker: Broker, tabs: Tabs, mode: str) -> None:
        self._broker = broker
        self._tabs = tabs
        self._mode = mode
        self._agents: set[str] = set()
        self._late: set[Tab] = set()
        self._due = asyncio.Event()
        tabs.returned = self.look  # mail may have come while its daemon was away

    async def run(self) -> None:
        """Wake whom mail reaches, for ever."""
        while self._mode != "off":
            try:
                await self._serve()
            except* Exception:  # nobody would notice but by never being woken
                _log.exception("wakes_failed")
            await asyncio.sleep(GAP_S)
            for tab in self._tabs:  # whatever came meanwhile
                self.look(tab)

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            while True:
                await self._due.wait()
                await asyncio.sleep(GATHER_S)
                self._due.clear()
                agents, self._agents = self._agents, set()
                late, self._late = self._late, set()
                for tab, name in await self._chosen(agents, late):
                    group.create_task(self._wake(tab, name))

    def look(self, tab: Tab) -> None:
        """Wake `tab` if there is mail that it was not told of."""
        self._late.add(tab)
        self._due.set()

    async def _listen(self) -> None:
        while True:
            async with self._broker.feed.subscribe(1024) as events:
                await self._follow(events)
            for tab in self._tabs:  # too much came at once to be told one by one
                self.look(tab)
            await asyncio.sleep(GATHER_S)

    async def _follow(self, events: Subscription) -> None:
        while (event := await events.get()) is not None:
            if event.type in ARRIVALS:
                self._agents.add(str(event.data.get("to")))
                self._due.set()

    async def _chosen(self, agents: set[str], late: set[Tab]) -> list[tuple[Tab, str]]:
        """Return whom to wake: of the sessions that share an agent, the one whose last wake is longest ago."""
        chosen: dict[str, Tab] = {}
        for tab in sorted(self._tabs, key=lambda each: each.woken_at):
            if self._may(tab):
                with contextlib.suppress(PostinoError):
                    name = await tab.session.name()
                    if name in agents or tab in late:
                        chosen.setdefault(name, tab)
        return [(tab, name) for name, tab in chosen.items()]

    def _may(self, tab: Tab) -> bool:
        if tab.idle is False or tab.waking or not tab.initialized:
            return False
        return self._mode == "channel" or tab.session.hello.claude_socket is not None

    async def _wake(self, tab: Tab, name: str) -> None:
        loop = asyncio.get_running_loop()
        wait = tab.woken_at + GAP_S - loop.time() if tab.woken_at else 0
        if wait > 0:
            loop.call_later(wait, self.look, tab)
            return
        with contextlib.suppress(PostinoError):  # the next mail, or the next prompt, tries again
            process, claude = _process(tab), tab.claude or tab.session.hello.claude_session_id or ""
            waiting = await self._broker.announce(name, process, claude)
            if not waiting.new_unread or not self._may(tab):
                return
            if await self._reach(tab, waiting):
                tab.unreached = 0
                await self._broker.tell(waiting, process, claude, broadcasts=True, how=self._way)
                _log.info("woken", session=tab.session.id, agent=name, way=self._way)
            else:
                self._try_later(tab)

    def _try_later(self, tab: Tab) -> None:
        tab.unreached = min(tab.unreached + 1, DOUBLINGS)
        if tab.retry is not None:
            tab.retry.cancel()
        wait = min(GAP_S * 2**tab.unreached, LONGEST_S)
        tab.retry = asyncio.get_running_loop().call_later(wait, self._again, tab)

    def _again(self, tab: Tab) -> None:
        if tab in self._tabs:
            self.look(tab)

    @property
    def _way(self) -> str:
        return "channel" if self._mode == "channel" else "socket"

    async def _reach(self, tab: Tab, waiting: Waiting) -> bool:
        """Hand the session its line; its end tells two lines of equal counts apart, which the client would drop."""
        tab.woken_at = asyncio.get_running_loop().time()
        said = hook_text.line(waiting.agent, waiting.unread, waiting.unseen, waiting.senders)
        mark = waiting.new_ids[-1][:32]
        tab.woken_by = f"{said}; newest id {mark}"
        if self._mode == "channel":
            return self._notify(tab, tab.woken_by, waiting)
        return await self._write(tab, tab.woken_by)

    def _notify(self, tab: Tab, text: str, waiting: Waiting) -> bool:
        # keys and values as the client asks: letters, digits and _ only, and all of them strings
        senders = ", ".join(hook_text.safe(waiting.senders))
        meta = {"agent": waiting.agent, "unread": str(waiting.unread), "senders": senders}
        params = {"content": text, "meta": meta}
        tab.put({"jsonrpc": "2.0", "method": "notifications/claude/channel", "params": params})
        return True

    async def _write(self, tab: Tab, text: str) -> bool:
        msg_id = f"postino-{secrets.token_hex(8)}"
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        tab.waking[msg_id] = answer
        tab.put({"postino": "wake", "text": text, "msg_id": msg_id, "session_id": tab.claude})
        try:
            async with asyncio.timeout(ANSWER_S):
                return await answer
        except TimeoutError:
            return False
        finally:
            del tab.waking[msg_id]


def _process(tab: Tab) -> str:
    hello = tab.session.hello
    return hello.process or process_key(hello.host, 0, hello.session)
