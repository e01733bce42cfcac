"""The broker: its parts, opened together once per daemon and used by every face."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any
from urllib.parse import quote

import structlog

from postino import __version__
from postino.broker.agents import Agents
from postino.broker.broadcasts import Broadcasts
from postino.broker.claude import ClaudeProcesses
from postino.broker.dead import Dead
from postino.broker.events import Events
from postino.broker.history import History
from postino.broker.housekeeping import SWEEP_S, Housekeeping
from postino.broker.mail import Mail
from postino.broker.sessions import Sessions
from postino.broker.transfer import Transfer
from postino.config import Settings
from postino.errors import PostinoError
from postino.home_store import HomeStore, without_credentials
from postino.model import Health, iso
from postino.store.agents import AgentTable
from postino.store.dead import DeadLetters
from postino.store.events import EventStream
from postino.store.history import HistoryStream
from postino.store.inbox import Inboxes
from postino.store.probe import Probe, probe
from postino.store.sessions import SessionTable
from postino.store.store import Limits, Store
from postino.store.transfer import TransferTable
from postino.store.valkey.embedded import EmbeddedValkey

SAMPLED = 50  # inboxes that are searched for the oldest unread message

log = structlog.get_logger()


class Broker:
    """An open broker. Create it by `open`, end it by `close`."""

    def __init__(self, settings: Settings, store: Store, probed: Probe, embedded: EmbeddedValkey | None) -> None:
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
        self._store = store
        self.probed = probed
        self._table = table
        self._live = live
        self.housekeeping = Housekeeping(
            store, inboxes, DeadLetters(store, limits), history, table, live, sweep_s=sweep_s
        )
        self.events = Events(EventStream(store), self.restart_valkey)
        self.agents = Agents(table, live)
        self.sessions = Sessions(live)
        self.claude = ClaudeProcesses(store, limits, table, live, self.sessions)
        self.mail = Mail(store, limits, self.agents, self.events, self.housekeeping)
        self.dead = Dead(store, limits, self.agents)
        self.broadcasts = Broadcasts(store, table, ttl_ms=limits.ttl_ms, most=settings.max_broadcasts)
        self.history = History(history, inboxes, table)
        self.transfer = Transfer(store, TransferTable(store, limits), self.dead)

    @classmethod
    async def open(cls, settings: Settings, remembered: HomeStore | None = None) -> Broker:
        """Start or adopt the embedded Valkey if no other is set, probe the server and start following the events.

        `remembered` is the store that must be found there.

        Raises:
            StoreAway: no usable server; the message names its URL without the password.
            WrongStore: it is another store, or its data has a newer format; nothing was changed in it.
        """
        embedded = None if settings.valkey_url else EmbeddedValkey(settings.home)
        url = settings.valkey_url or f"unix://{quote(await embedded.start())}"  # type: ignore[union-attr]
        store = Store(url, settings.key_prefix)
        prober = store.probe_client()
        try:
            probed = await probe(prober, url)
            await store.identify(prober, HomeStore(settings.valkey_url, settings.key_prefix), remembered)
        finally:
            await prober.aclose()
        for warning in probed.warnings:
            log.warning("valkey_warning", warning=warning)
        store.durability = probed.durability
        broker = cls(settings, store, probed, embedded)
        store.open()
        try:
            await broker.events.open()
        except PostinoError:
            await store.close()
            raise
        broker.housekeeping.open()
        return broker

    async def close(self) -> None:
        """Stop following and disconnect. The embedded server keeps running, unless its data directory is gone."""
        await self.housekeeping.close()
        await self.events.close()
        if self.embedded is not None and not self.embedded.data_in_place():
            with contextlib.suppress(PostinoError):  # it has ended already
                self.embedded.kill_detached(await self._store.server_info())
        await self._store.close()

    @property
    def durability(self) -> str:
        """`fsync` if an accepted message is on disk; `volatile` if it may be lost, or if that is unknown."""
        return self._store.durability

    @property
    def store_id(self) -> str:
        """The store's own id."""
        return self._store.id

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

    async def health(self) -> Health:
        """Return whether Valkey answers; never raises."""
        server = "embedded" if self.embedded else without_credentials(self._store.url)
        try:
            await self._store.ping()
        except PostinoError as error:
            return Health(ok=False, valkey=False, durability=self.durability, server=server, error=error.message)
        return Health(
            ok=True, valkey=True, durability=self.durability, server=server, warnings=list(self.probed.warnings)
        )

    async def stats(self) -> dict[str, Any]:
        """Return counts over all agents; `oldestUnread` covers the first 50 inboxes with mail."""
        names = await self._table.names()
        lengths = await asyncio.gather(*(self.mail.length(name) for name in names.agents))
        with_mail = [name for name, length in zip(names.agents, lengths, strict=True) if length][:SAMPLED]
        oldest = await asyncio.gather(*(self.mail.peek(name, 1, 0) for name in with_mail))
        times = [items[0].timestamp for items, _ in oldest if items]
        live = await self._live.live()
        online = sum(1 for entry in names.agents.values() if any(session in live for session in entry.sessions))
        return {
            "version": __version__,
            "messageTtl": self.settings.msg_ttl,
            "agentCount": len(names.agents),
            "onlineCount": online,
            "messageCount": sum(lengths),
            "broadcastCount": await self.broadcasts.count(),
            "oldestUnread": min(times, default=None),
            "time": iso(await self._store.now_ms()),
        }
