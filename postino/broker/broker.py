"""The broker: its parts, opened together once per daemon and used by every face."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import structlog

from postino import __version__
from postino.broker.agents import Agents
from postino.broker.asks import Asks
from postino.broker.broadcasts import Broadcasts
from postino.broker.claude import ClaudeProcesses
from postino.broker.dead import Dead
from postino.broker.events import Events
from postino.broker.groups import Groups
from postino.broker.guard import Guard
from postino.broker.history import History
from postino.broker.housekeeping import SWEEP_S, Housekeeping
from postino.broker.mail import Mail
from postino.broker.people import People
from postino.broker.sessions import Sessions
from postino.broker.threads import Threads
from postino.broker.transfer import Transfer
from postino.config import Settings
from postino.errors import PostinoError
from postino.home_store import HomeStore
from postino.model import Health, iso
from postino.store.agents import MANY, SHARE, AgentTable
from postino.store.dead import DeadLetters
from postino.store.history import HistoryStream
from postino.store.identity import Identity
from postino.store.inbox import Inboxes
from postino.store.notifier import NotifierTable
from postino.store.people import PeopleTable
from postino.store.sessions import SessionTable
from postino.store.store import Limits, Store
from postino.store.transfer import TransferTable
from postino.store.valkey.embedded import EmbeddedValkey
from postino.store_address import without_credentials
from postino.tasks import cancelled

EMBEDDED_PATIENCE_S = 10.0  # in which a server that was just started must answer: the machine may be busy
FOLLOW_S = 1.0  # between two looks at where the store is
ASK_S = 5.0  # between two questions to the server about itself
WRITE_S = 1.0  # between two writes that only try whether the store takes them
SAMPLED = 50  # inboxes that are searched for the oldest unread message

log = structlog.get_logger()


class Broker:
    """An open broker. Create it by `open`, end it by `close`."""

    def __init__(self, settings: Settings, store: Store, embedded: EmbeddedValkey | None) -> None:
        limits = Limits(
            ttl_ms=settings.msg_ttl * 1000,
            lease_ms=settings.message_lease * 1000,
            max_deliveries=settings.max_deliveries,
            max_inbox=settings.max_inbox,
        )
        table, live, inboxes = AgentTable(store, limits), SessionTable(store, limits), Inboxes(store, limits)
        history, sweep_s = HistoryStream(store, limits), min(SWEEP_S, settings.message_lease)
        self.settings = settings
        self.embedded = embedded
        #: is given the name of each tool that a model called, its seconds, and the code with which it was refused
        self.on_tool_call: Callable[[str, float, str | None], object] = lambda *_: None
        self._store = store
        self._write: asyncio.Task[str | None] | None = None  # the last one tried, for `health`
        self._written = 0.0
        self._counted: dict[str, Any] = {}  # of `stats`
        self._counted_until = 0.0  # loop time
        self._asking: asyncio.Task[None] | None = None
        self._table = table
        self._name_warnings: list[str] = []
        self._live = live
        self.housekeeping = Housekeeping(
            store, inboxes, DeadLetters(store, limits), history, table, live, sweep_s=sweep_s
        )
        self.events = Events(store, self.restart_valkey)
        self.guard = Guard(send_rate=settings.send_rate, pair_rate=settings.pair_rate, tell=self.events.note_too_fast)
        self.events.counters.append(self.guard.count)
        self.agents = Agents(table, live)
        self.sessions = Sessions(live, table)
        self.people = People(PeopleTable(store), table, live)
        self.people.on_names = self.guard.note_people
        self.agents.own_person = lambda: self.people.here
        self.claude = ClaudeProcesses(store, limits, table, live, self.sessions)
        self.mail = Mail(
            store,
            limits,
            self.agents,
            self.events,
            self.housekeeping,
            history,
            self.guard,
            wakes=settings.wake != "off",
        )
        self.asks = Asks(self.mail, self.events, history, table)
        self.groups = Groups(store, limits, self.agents, self.mail, self.guard)
        self.dead = Dead(store, limits, self.agents)
        self.broadcasts = Broadcasts(store, table, live, self.guard, ttl_ms=limits.ttl_ms, most=settings.max_broadcasts)
        self.history = History(history, inboxes, table)
        self.threads = Threads(self.history)
        self.notifier = NotifierTable(store)
        self.transfer = Transfer(store, TransferTable(store, limits))

    @classmethod
    async def open(cls, settings: Settings, remembered: HomeStore | None = None) -> Broker:
        """Start or adopt the embedded Valkey if no other is set, probe the server and start following the events.

        `remembered` is the store that must be found there.

        Raises:
            StoreAway: no usable server; the message names its URL without the password.
            WrongStore: it is another store, or its data has a newer format; nothing was changed in it.
        """
        embedded = None if settings.valkey_url else EmbeddedValkey(settings.home, settings.max_memory)
        url = settings.valkey_url or f"unix://{quote(await embedded.start())}"  # type: ignore[union-attr]
        here = HomeStore(settings.valkey_url, settings.key_prefix)
        explain = embedded.full_disk if embedded else None
        store = Store(url, settings.key_prefix, Identity(here, remembered), explain, settings.replicas)
        broker = cls(settings, store, embedded)
        store.open()
        try:
            await store.connect(EMBEDDED_PATIENCE_S if embedded else 0.0)
            await broker.start()
        except (PostinoError, asyncio.CancelledError):
            await store.close()
            raise
        return broker

    async def start(self) -> None:
        """Follow the events, keep house and ask what the server is, until `close`."""
        await self.events.open()
        self._name_warnings = (await self._table.names()).warnings()
        self.housekeeping.open()
        self._asking = asyncio.create_task(self._ask_server(), name="ask-server")

    async def close(self, *, and_server: bool = False) -> None:
        """Stop following and disconnect.

        The embedded server keeps running, unless its data directory is gone, or `and_server` ends it.
        """
        await cancelled(self._asking, self._write)
        await self.housekeeping.close()
        await self.guard.close()
        await self.events.close()
        if self.embedded is not None and not self.embedded.data_in_place():
            with contextlib.suppress(PostinoError):  # it has ended already
                self.embedded.kill_detached(await self._store.server_info())
        await self._store.close()
        if and_server and self.embedded is not None and self.embedded.data_in_place():
            await self.embedded.stop()

    @property
    def durability(self) -> str:
        """`replicated`, `fsync` if an accepted message is on disk, `volatile` if it may be lost or that is unknown."""
        return self._store.durability

    @property
    def store_id(self) -> str:
        """The store's own id."""
        return self._store.identity.id or ""

    def on_store_id(self, changed: Callable[[str], object]) -> None:
        """Call `changed` with the store's new id when it was emptied and a daemon of another home gave it one."""
        self._store.identity.on_change = changed

    def data_in_place(self) -> bool:
        """Return whether the next daemon will find the data: the embedded server's directory was not removed."""
        return self.embedded is None or self.embedded.data_in_place()

    async def restart_valkey(self) -> None:
        """Restart the embedded Valkey if it has died; do nothing for any other server."""
        if self.embedded is None:
            return
        try:
            if await self.embedded.ensure():
                log.warning("valkey_restarted")
        except (PostinoError, OSError) as error:  # e.g. a full disk; the caller tries again
            log.error("valkey_restart_failed", error=str(error))

    async def _ask_server(self) -> None:
        """Ask every few seconds what the server is: its settings, role and rights may change while it runs."""
        asked = time.monotonic()
        while True:
            await asyncio.sleep(min(FOLLOW_S, ASK_S))
            try:
                await self._store.follow()
                if time.monotonic() - asked >= ASK_S:
                    asked = time.monotonic()
                    await self._store.ask_server()
            except Exception:  # one failure must not end the task
                log.exception("ask_server_failed")

    async def health(self) -> Health:
        """Return whether a send would be accepted now; never raises. `valkey` says whether Valkey answers at all."""
        server = "embedded" if self.embedded else without_credentials(self._store.url)
        answers, refused = await asyncio.gather(_reason(self._store.now_ms()), self._refused())
        return Health(
            ok=not (answers or refused),
            valkey=not answers,
            durability=self.durability,
            server=server,
            warnings=[*(self.embedded.notes if self.embedded else ()), *self._store.warnings, *self._name_warnings],
            error=answers or refused,
        )

    async def _refused(self) -> str | None:
        """Return why a write is refused, or None. One write at most per second is tried, for all who ask."""
        if self._write is None or (self._write.done() and time.monotonic() - self._written >= WRITE_S):
            self._written = time.monotonic()
            self._write = asyncio.create_task(_reason(self._store.try_write()), name="try-write")
        return await asyncio.shield(self._write)

    async def figures(self) -> dict[str, float]:
        """Return counts whose cost does not depend on how many agents there are; mail is as the last sweep left it."""
        found = await self._store.figures()
        unread = self.housekeeping.unread
        if unread is None:
            return found
        age_ms = 0 if unread.oldest_ms is None else await self._store.now_ms() - unread.oldest_ms
        return found | {"unread": unread.messages, "oldest_s": max(0, age_ms) / 1000}

    @property
    def round_trips(self) -> int:
        """Writes to Valkey by this daemon, each of one or more calls."""
        return sum(each.round_trips for each in self._store.connections)

    def on_store_call(self, observe: Callable[[float], object]) -> None:
        """Give the seconds of every call to Valkey to `observe`."""
        for each in self._store.connections:
            each.on_call = observe

    async def stats(self) -> dict[str, Any]:
        """Return counts over all agents; `oldestUnread` covers the first 50 inboxes with mail.

        Above MANY agents they may be as old as SHARE times the time it took to count them, some seconds.
        """
        clock = asyncio.get_running_loop().time
        if clock() > self._counted_until:
            began = clock()
            self._counted = await self._count()
            many = self._counted["agentCount"] > MANY
            self._counted_until = clock() + SHARE * (clock() - began) if many else 0.0
        return self._counted | {"time": iso(await self._store.now_ms())}

    async def _count(self) -> dict[str, Any]:
        names = await self._table.names()
        self._name_warnings = names.warnings()
        agents = [*names.agents]
        lengths = await asyncio.gather(*(self.mail.length(name) for name in agents))
        with_mail = [name for name, length in zip(agents, lengths, strict=True) if length][:SAMPLED]
        oldest = await asyncio.gather(*(self.mail.peek(name, 1, 0) for name in with_mail))
        times = [items[0].timestamp for items, _ in oldest if items]
        live = await self._live.live()
        return {
            "version": __version__,
            "messageTtl": self.settings.msg_ttl,
            "agentCount": len(agents),
            "onlineCount": len(names.online(live)),
            "messageCount": sum(lengths),
            "broadcastCount": await self.broadcasts.count(),
            "oldestUnread": min(times, default=None),
        }


async def _reason(call: Awaitable[object]) -> str | None:
    """Return the sentence with which a call is refused, or None."""
    try:
        await call
    except PostinoError as error:
        return error.message
    return None
