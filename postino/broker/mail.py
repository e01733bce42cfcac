"""Direct messages: each goes to one agent and stays until it is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import msgspec

from postino.broker.agents import Agents
from postino.broker.events import Events
from postino.broker.first_replies import FirstReplies
from postino.broker.guard import Guard
from postino.broker.housekeeping import Housekeeping
from postino.broker.limited_log import LimitedLog
from postino.broker.reach import nobody, reach, reach_person
from postino.errors import BadField, KeyReused, UnknownMessage
from postino.model import ANONYMOUS, SYSTEM, Activity, Draft, Sender, Sent
from postino.store.entries import number
from postino.store.groups import GroupTable
from postino.store.history import HistoryStream
from postino.store.inbox import Inboxes
from postino.store.index_entry import Known
from postino.store.keys import ALL
from postino.store.people import PeopleTable
from postino.store.store import Limits, Store
from postino.values import HUMAN

T = TypeVar("T")

NEAREST_S = 0.3  # a sender waits this long for the names that resemble unknown ones


class Mail(Inboxes):
    """The inboxes of all agents, as their senders and readers see them."""

    def __init__(
        self,
        store: Store,
        limits: Limits,
        agents: Agents,
        events: Events,
        housekeeping: Housekeeping,
        history: HistoryStream,
        guard: Guard,
        *,
        wakes: bool,
    ) -> None:
        super().__init__(store, limits)
        self._agents = agents
        self._events = events
        self._housekeeping = housekeeping
        self._history = history
        self._people = PeopleTable(store)
        self._groups = GroupTable(store, limits)
        self._guard = guard
        self._first_replies = FirstReplies()
        self._log = LimitedLog()
        self._wakes = wakes  # idle sessions are woken

    def on_death(self) -> None:
        """Send the notices of the dead letters now."""
        self._housekeeping.run_soon()

    def send(self, draft: Draft, sender: Sender) -> Coroutine[Any, Any, Sent]:
        """Accept a message once per id; when this returns, Valkey has stored it.

        A reply without a recipient goes to the sender of the message it answers; without a thread it is in that one's.

        Raises:
            UnknownMessage, BadField: that message is not one that the sender can answer.
            KeyReused: the id was accepted with other content.
            InboxFull: the recipient has to read first.
            TooFast: the loop guard has stopped the sender, or it and the recipient.
            StoreAway: if `outcome` is unknown, a retry with the same id is safe.
        """
        if draft.reply_to is None:
            return self._send(draft, sender)
        return self.in_thread(draft, sender, [draft.to or ""], lambda reply: self._send(reply, sender))

    async def in_thread(
        self, draft: Draft, sender: Sender, to: Sequence[str], send: Callable[[Draft], Awaitable[T]]
    ) -> T:
        """Send a draft by `send` to these agents, a reply as `addressed` has it; of a repeat the first thread counts.

        Raises:
            UnknownMessage, BadField: as `addressed`.
        """
        if draft.reply_to is None:
            return await send(draft)
        reply = await self.addressed(draft, sender.name, to)
        try:
            return await send(reply)
        except KeyReused:
            agents = [reply.to or ""] if draft.to is None else to
            stored = reply.thread if draft.thread else await self._stored_thread(agents, draft.id)
            if stored == reply.thread:
                raise
            # of a repeat the thread that was found then counts: by now another one is found, or none
            return await send(msgspec.structs.replace(reply, thread=stored))

    async def _send(self, draft: Draft, sender: Sender) -> Sent:
        to = draft.to or ""
        with self._guard.counting(sender, [to], draft.id) as counted:
            sent = await super().send(draft, sender)
            counted.created = int(sent.created)
        self._guard.note_name(sender.name, to, sent.to)
        if draft.reply_to is not None and (note := self.further_reply(draft, sent.to, sender)):
            sent = msgspec.structs.replace(sent, note=note)
        if sent.known:
            return sent
        ((near, words),) = await self.about_unknown([sent.to], self._agents.online_lately)
        return msgspec.structs.replace(sent, names=near, reach=words)

    def further_reply(self, draft: Draft, to: str, sender: Sender) -> str | None:
        """Return what the sender of an accepted message is told if it answers again what was answered before."""
        person = sender.via == "web" or sender.name.lower() in self._guard.people
        return self._first_replies.note(draft, to, sender, person=person)

    async def about_unknown(
        self, names: list[str], online: Callable[[], list[str]] = list
    ) -> list[tuple[list[str], str]]:
        """Return what senders to unknown names are told: similar names, first the group `#name`, and all in words.

        Takes NEAREST_S at most, however many the names are.
        """
        nearest = asyncio.gather(*map(self.nearest, names))
        groups, lists = await asyncio.gather(self._groups_called(names), nearest)
        found = [[*([f"#{group}"] if group else []), *near] for group, near in zip(groups, lists, strict=True)]
        return [(near, nobody(near, online())) for near in found]

    async def _groups_called(self, names: list[str]) -> Sequence[str | None]:
        try:
            async with asyncio.timeout(NEAREST_S):
                return await self._groups.titles(names)
        except Exception as error:  # as in `nearest`
            self._log.warning("nearest_failed", to=names[0], error=str(error) or type(error).__name__)
            return [None] * len(names)

    async def addressed(self, draft: Draft, sender: str, to: Sequence[str] = ()) -> Draft:
        """Return a reply with its recipient, and the thread of the message it answers unless it has one.

        With recipients, `to`, it may answer any id; its thread is found if `sender` got that message or sent it to one
        of them. Where different messages have the id, one that they know counts.

        Raises:
            UnknownMessage, BadField: without a recipient, and that message is not one that `sender` can answer.
        """
        if draft.reply_to is None or (draft.to is not None and (draft.thread or sender == ANONYMOUS)):
            return draft
        id = draft.reply_to
        about = await self._got(sender, id)
        if draft.to is not None:
            if about is None or about[0] not in to:
                about = await self._sent_to(to, sender, id) or about
            return draft if about is None else msgspec.structs.replace(draft, thread=about[1])
        if about is None:
            if any(await self.known([(ALL, id)])):
                raise BadField(f"reply_to: {id} is a broadcast; give the recipient in `to`", field="reply_to")
            raise UnknownMessage(
                f"reply_to: no message {id} is known in the inbox of {sender}; give the recipient in `to`",
                field="reply_to",
            )
        return _reply(draft, about[0], draft.thread or about[1])

    async def _got(self, agent: str, id: str) -> tuple[str, str | None] | None:
        """Return sender and thread of a message that an agent got; None: it is not known."""
        (about,) = await self.known([(agent, id)])
        if about is None and await self._agents.is_person(agent):
            if (opened := await self._people.opened_one((await self.present(agent), HUMAN), id)) is not None:
                return opened["from"], opened.get("thread") or None
            (about,) = await self.known([(HUMAN, id)])
        return None if about is None else (about.state.from_, await self._thread(about))

    async def _sent_to(self, to: Sequence[str], sender: str, id: str) -> tuple[str, str | None] | None:
        """Return sender and thread of a message that `sender` sent to one of these agents; None: it is not known."""
        for about in filter(None, await self.known([(each, id) for each in to])):
            if await self.present(about.state.from_) == await self.present(sender):
                return about.state.from_, await self._thread(about)
        return None

    async def _stored_thread(self, to: Sequence[str], id: str) -> str | None:
        """Return the thread of a message that one of these agents got, None if it has none or is not known."""
        about = next(filter(None, await self.known([(each, id) for each in to])), None)
        return None if about is None else await self._thread(about)

    async def _thread(self, about: Known) -> str | None:
        """Return the thread of a message, None if it has none or the history has it no longer."""
        id, accepted_ms, to = about.state.id, about.accepted_ms, about.state.to
        found = [
            each
            for each in await self._history.at(accepted_ms)
            if each.fields["id"] == id and number(each.fields["t"]) == accepted_ms
        ]
        if len(found) > 1:  # messages to others have the id as well, and came in the same ms
            found = [each for each in found if to in [await self.present(name) for name in each.recipients]]
        return (found[0].fields.get("thread") or None) if found else None

    def outlook(self, agent: str, *, online: bool, away_s: float, person: bool) -> tuple[Activity, str]:
        """Return what an agent does, and in words when it will know of a message, as far as this daemon knows."""
        activity = self._agents.activity(agent) if online else "unknown"
        if person:
            return activity, reach_person(agent, online=online, away_s=away_s)
        return activity, reach(activity, online=online, away_s=away_s, wakes=self._wakes)

    async def nearest(self, name: str) -> list[str]:
        """Return names similar to an unknown one, or none if that fails: the message is stored, whatever happens."""
        try:
            async with asyncio.timeout(NEAREST_S):
                return await self._agents.nearest(name)
        except Exception as error:  # also a record that another program damaged
            self._log.warning("nearest_failed", to=name, error=str(error) or type(error).__name__)
            return []

    async def wait(self, agent: str, seconds: float) -> None:
        """Return when a read of `agent` may give messages, or after `seconds`."""
        agent = await self.present(agent)
        with self._events.arrival(agent) as arrived:
            # checked after subscribing: earlier mail is counted here, later mail sets the event
            waiting = await self._agents.check(agent)
            if waiting.unread_messages or waiting.agent != agent:  # renamed meanwhile: mail arrives under the new name
                return
            due_ms = await self.due_in_ms(agent)
            if due_ms is not None:
                seconds = min(seconds, due_ms / 1000)
            try:
                async with asyncio.timeout(seconds):
                    await arrived.wait()
            except TimeoutError:
                return


def _reply(draft: Draft, to: str, thread: str | None) -> Draft:
    if to in (ANONYMOUS, SYSTEM):
        raise BadField(
            f"reply_to: the sender of {draft.reply_to} is {to}, who has no inbox; give another recipient in `to`",
            field="reply_to",
        )
    return msgspec.structs.replace(draft, to=to, thread=thread)
