"""Ask and wait: a message, and the first message that answers it by its id.

The wait is for messages behind a place in the asker's inbox that is noted before the message is sent, so no reply can
slip by; the events only say when to look. Whoever waited gets the reply leased, ahead of what came before it; where
somebody else was faster, a copy labelled as such. The same ask, repeated under its id, waits on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog

from postino.broker.events import Events
from postino.broker.mail import Mail
from postino.errors import BadField, PostinoError, StoreAway
from postino.event_place import stream_parts
from postino.model import Draft, Message, Sender, Sent
from postino.store.agents import AgentTable
from postino.store.entries import message, number
from postino.store.history import NEWEST, HistoryStream
from postino.tasks import first_of

LOOK_S = 10.0  # between two looks without an event, which a failover may have lost
AWAY_S = 0.5  # between two looks while the store is away
MAX_LOOKED = 4_000  # entries of the history, for a reply that another reader has taken
_PART = 200

#: leases a message by its id; None: somebody else has it
Take = Callable[[str], Awaitable[Message | None]]

log = structlog.get_logger()


class Asks:
    """Sends messages whose senders wait for the reply."""

    def __init__(self, mail: Mail, events: Events, history: HistoryStream, agents: AgentTable) -> None:
        self._mail = mail
        self._events = events
        self._history = history
        self._agents = agents

    async def send(self, draft: Draft, sender: Sender) -> Ask:
        """Send a message that expects a reply; await `Ask.reply` next.

        Raises:
            BadField: it is for its own sender, who would wait for itself.
            as Mail.send
        """
        if draft.expects == "none":
            raise BadField("expects: none contradicts waiting for a reply; leave it out", field="expects")
        to = draft.to or (await self._mail.addressed(draft, sender.name)).to
        draft = msgspec.structs.replace(draft, to=to, expects="reply")
        asker = await self._mail.present(sender.name)
        if asker == await self._mail.present(to or ""):
            raise BadField(f"to: {to} is the sender, who would wait for itself; ask another agent", field="to")
        place = await self._mail.newest(asker)
        sent = await self._mail.send(draft, sender)
        return Ask(self, sent, asker, place if sent.created else "0-0")

    async def find(self, ask: Ask, until: float, ends: set[asyncio.Future[Any]]) -> str | None:
        """Return the id of the first reply that is in the asker's inbox by the loop time `until`, or None.

        One of `ends` ends the wait sooner.
        """
        clock = asyncio.get_running_loop().time
        while True:
            pause = LOOK_S
            agent = ask.asker
            with self._events.arrival(agent) as arrived:
                try:
                    # looked for after subscribing: earlier mail is found here, later mail sets the event
                    ask.asker = await self._mail.present(agent)
                    if (found := await self._scan(ask)) is not None:
                        return found
                except StoreAway:
                    pause = AWAY_S
                left = until - clock()
                if left <= 0 or any(each.done() for each in ends):
                    return None
                if ask.asker == agent:
                    await first_of(arrived.wait(), ends, min(left, pause))

    async def _scan(self, ask: Ask) -> str | None:
        while found := await self._mail.after(ask.asker, ask.place, _PART):
            for ask.place, fields in found:
                if fields.get("reply_to") == ask.sent.id:
                    return fields.get("id")
        return None

    async def copy(self, ask: Ask) -> Message | None:
        """Return the first reply that another reader has or had, labelled as redelivered; None if there is none."""
        names = (await self._agents.names()).all_of(ask.asker)
        (asked,) = await self._mail.known([(ask.sent.to, ask.sent.id)])
        since, looked, found = asked.accepted_ms if asked else 0, 0, None
        place: str | None = NEWEST
        while place is not None and looked < MAX_LOOKED and stream_parts(place)[0] >= since:
            part = await self._history.part(names, place, _PART)
            for entry in part.entries:
                if entry.fields.get("reply_to") == ask.sent.id and not set(names).isdisjoint(entry.recipients):
                    found = entry
            place, looked = part.before, looked + len(part.entries)
        if found is None:
            return None
        (known,) = await self._mail.known([(ask.asker, found.fields["id"])])
        if known is None or known.state.state == "queued" or known.accepted_ms != number(found.fields["t"]):
            return None
        return message(ask.asker, found.fields, known.digest, delivery=known.state.deliveries, redelivered=True)


class Ask(msgspec.Struct):
    """A message that was sent, and the wait for its reply. `asker` is its sender's present name."""

    asks: Asks
    sent: Sent
    asker: str
    place: str  # in the asker's inbox, behind which the reply is looked for
    waited: float = 0.0

    async def reply(self, seconds: float, take: Take, *ends: asyncio.Future[Any]) -> Message | None:
        """Return the first reply of the next `seconds`, leased by `take`; None if there is none, or one of `ends` is.

        Never fails because the store is away: then the reply comes as ordinary mail.
        """
        clock = asyncio.get_running_loop().time
        began, ended = clock(), set(ends)
        try:
            rounds = [began + seconds] if self.sent.created else [began, began + seconds]  # what there is already first
            for until in rounds:
                found = await self.asks.find(self, until, ended)
                if any(each.done() for each in ended):
                    return None
                reply = None if found is None else await take(found)
                if reply is not None or (reply := await self.asks.copy(self)) is not None:
                    return reply
        except StoreAway as error:
            log.warning("reply_not_taken", id=self.sent.id, error=error.message)
        except PostinoError as error:
            log.warning("reply_not_taken", id=self.sent.id, code=error.code)
        finally:
            self.waited = clock() - began
        return None

    def answer(self, reply: Message | None) -> Sent:
        """Return the answer to the ask, which says so where there is no reply."""
        if reply is not None:
            return msgspec.structs.replace(self.sent, reply=reply)
        note = f"no reply within {self.waited:.0f} s; it will come as ordinary mail: do not ask again"
        note += f"; {self.sent.note}" if self.sent.note else ""
        return msgspec.structs.replace(self.sent, reply=None, note=note)
