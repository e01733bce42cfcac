"""The broker: opened once per daemon, used by every face."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any
from urllib.parse import quote

import structlog

from postino import __version__
from postino.broker.agents import Agents
from postino.broker.announce import Announcements
from postino.broker.chores import SWEEP_S, Chores
from postino.broker.feed import EventFeed
from postino.broker.hints import Hints
from postino.broker.mail import Mail
from postino.broker.past import Past
from postino.broker.whereabouts import Whereabouts
from postino.config import Settings
from postino.errors import PostinoError
from postino.model import Health, iso
from postino.store import whereabouts
from postino.store.embedded import EmbeddedValkey
from postino.store.feed import Broadcasts
from postino.store.inbox import Inboxes, Limits
from postino.store.journal import Journal
from postino.store.probe import Probe, probe, shown
from postino.store.roster import Roster
from postino.store.store import Store

SAMPLED = 50  # inboxes looked at for the oldest unread message

log = structlog.get_logger()


class Broker(Agents, Mail, Announcements, Whereabouts, Past):
    """One open broker. Made by `open`, ended by `close`."""

    embedded: EmbeddedValkey | None
    probed: Probe

    @classmethod
    async def open(cls, settings: Settings) -> Broker:
        """Reach Valkey (the embedded one is started or adopted), probe it and start following the events.

        Raises:
            StoreAway: no usable server; names its URL without the password.
        """
        embedded = None if settings.valkey_url else EmbeddedValkey(settings.home)
        url = settings.valkey_url or f"unix://{quote(await embedded.start())}"  # type: ignore[union-attr]
        store = Store(url, settings.key_prefix)
        asker = store.asker()
        try:
            probed = await probe(asker, url)
        finally:
            await asker.aclose()
        for warning in probed.warnings:
            log.warning("valkey_settings", warning=warning)
        limits = Limits(
            ttl_ms=settings.msg_ttl * 1000,
            lease_ms=settings.message_lease * 1000,
            max_deliveries=settings.max_deliveries,
            max_inbox=settings.max_inbox,
        )
        journal, roster, inboxes = Journal(store, limits), Roster(store, limits), Inboxes(store, limits)
        broker = cls(
            settings=settings,
            store=store,
            inboxes=inboxes,
            announcements=Broadcasts(store, ttl_ms=limits.ttl_ms, most=settings.max_broadcasts),
            roster=roster,
            journal=journal,
            feed=EventFeed(store, journal, lambda: broker.repair()),
            chores=Chores(inboxes, roster, journal, sweep_s=min(SWEEP_S, settings.message_lease)),
            hints=Hints(roster),
            whereabouts=whereabouts.Whereabouts(store, limits),
            durability=probed.durability,
        )
        broker.embedded, broker.probed = embedded, probed
        store.open()
        try:
            await broker.feed.open()
        except PostinoError:
            await store.close()
            raise
        broker.chores.open()
        return broker

    async def close(self) -> None:
        """Stop following and let go of Valkey; the embedded server goes on, unless nobody would find it any more."""
        await self.chores.close()
        await self.feed.close()
        if self.embedded is not None and not self.embedded.kept():
            with contextlib.suppress(PostinoError):  # it has ended already
                self.embedded.end_lost(await self.store.call("INFO", "server"))
        await self.store.close()

    def kept(self) -> bool:
        """Return whether Valkey writes where the next daemon will look: not into an embedded server's removed files."""
        return self.embedded is None or self.embedded.kept()

    async def repair(self) -> None:
        """Restart the embedded Valkey if it has died; leave any other server alone."""
        if self.embedded is None:
            return
        try:
            if await self.embedded.ensure():
                log.warning("valkey_restarted")
        except (PostinoError, OSError) as error:  # a full disk, a home that was removed: told, and tried again
            log.error("valkey_restart_failed", error=str(error))

    async def health(self) -> Health:
        """Make a round trip to Valkey and tell how it went; never raises."""
        server = "embedded" if self.embedded else shown(self.store.url)
        try:
            await self.store.call("PING")
        except PostinoError as error:
            return Health(ok=False, valkey=False, durability=self.durability, server=server, error=error.message)
        return Health(
            ok=True, valkey=True, durability=self.durability, server=server, warnings=list(self.probed.warnings)
        )

    async def stats(self) -> dict[str, Any]:
        """Return counts over all agents; the oldest unread message is that of the first 50 inboxes with mail."""
        names = await self.roster.names()
        keys = self.store.keys
        lengths = await asyncio.gather(*(self.store.call("XLEN", keys.of("inbox", name)) for name in names.agents))
        with_mail = [name for name, length in zip(names.agents, lengths, strict=True) if length][:SAMPLED]
        oldest = await asyncio.gather(*(self.inboxes.look(name, 1, 0) for name in with_mail))
        times = [items[0].timestamp for items, _ in oldest if items]
        live = await self.roster.live()
        online = sum(1 for entry in names.agents.values() if any(session in live for session in entry.sessions))
        return {
            "version": __version__,
            "messageTtl": self.settings.msg_ttl,
            "agentCount": len(names.agents),
            "onlineCount": online,
            "messageCount": sum(int(length) for length in lengths),
            "broadcastCount": int(await self.store.call("XLEN", keys.shared("broadcasts"))),
            "oldestUnread": min(times, default=None),
            "time": iso(await self.roster.now_ms()),
        }
