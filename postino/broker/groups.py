"""Groups of agents, and messages to several agents: to the members of a group, or to a list."""

from __future__ import annotations

import difflib
from collections import Counter

import msgspec
from msgspec.structs import replace

from postino.broker.agents import Agents
from postino.broker.guard import Guard
from postino.broker.mail import Mail
from postino.errors import BadField, EmptyGroup, StoreAway, UnknownGroup
from postino.model import Activity, Draft, Sender, iso
from postino.several import Delivery, Group, ManyDraft, Member, SentMany
from postino.store.groups import GroupTable, Moved, group_entry
from postino.store.store import Limits, Store

_MAX_HOPS = 4  # renames and changes of a group that one send follows


class Groups(GroupTable):
    """Mailing lists, and what is sent to several agents at once."""

    def __init__(self, store: Store, limits: Limits, agents: Agents, mail: Mail, guard: Guard) -> None:
        super().__init__(store, limits)
        self._guard = guard
        self._agents = agents
        self._mail = mail

    async def page(self, limit: int, offset: int) -> tuple[list[Group], int]:
        """Return groups by name, with their members by their present names, and how many there are."""
        found = await self.all()
        names = await self._agents.names()
        return [
            Group(
                name=each.name,
                members=sorted({names.present(member) for member in each.members}, key=str.lower),
                since=iso(each.since),
            )
            for each in found[offset : offset + limit]
        ], len(found)

    async def add(self, group: str, agent: str) -> Member:
        """Make an agent a member of a group, which exists from its first member on. Repeating does nothing.

        Raises:
            GroupFull: nobody was added.
        """
        joined = await self.join(group, agent)
        return joined if joined.known else replace(joined, names=await self._mail.nearest(joined.agent))

    async def remove(self, group: str, agent: str) -> Member:
        """Take an agent out of a group, which ends with its last member. Repeating does nothing.

        If there is no such group, the answer says so and names similar ones: who repeats a call gets no refusal.
        """
        left = await self.leave(group, agent)
        if left.changed or left.members:
            return left
        unknown = await self._unknown(group)
        return replace(left, names=unknown.detail["names"], note=unknown.message)

    async def send_many(self, many: ManyDraft, sender: Sender) -> SentMany:
        """Accept a message once per id for each agent of a list, or for each member of a group but the sender.

        When this returns, Valkey has stored it for all of them; when it raises, for none.

        Raises:
            UnknownGroup, EmptyGroup: there is nobody to write to.
            BadField: a list names an agent twice, under one name or two.
            KeyReused: one of them has the id with other content.
            InboxFull: one of them has to read first.
            TooFast: the loop guard has stopped the sender, or it and one of them.
            StoreAway: if `outcome` is unknown, a retry with the same id is safe.
        """
        record, names, many = await self._recipients(many, sender)

        async def send(draft: Draft) -> SentMany:
            return await self._send(record, names, replace(many, draft=draft), sender)

        return await self._mail.in_thread(many.draft, sender, names, send)

    async def _send(self, record: str, names: list[str], many: ManyDraft, sender: Sender) -> SentMany:
        for _ in range(_MAX_HOPS):
            try:
                with self._guard.counting(sender, names, many.draft.id) as counted:
                    recipients = await self.send(names, many, sender, record)
                    counted.created = sum(each.created for each in recipients)
            except Moved as moved:
                record, names, many = await self._recipients(many, sender) if many.group else ("", moved.names, many)
                _refuse_duplicates(names, many)
                continue
            notes = [self._mail.further_reply(many.draft, each.to, sender) for each in recipients]
            return SentMany(
                id=many.draft.id,
                group=many.group,
                created=any(each.created for each in recipients),
                durability=self._store.durability,
                recipients=await self._with_hints(recipients),
                note=next(filter(None, notes), msgspec.UNSET),
            )
        raise StoreAway("the recipients are renamed again and again", outcome="none")

    async def _recipients(self, many: ManyDraft, sender: Sender) -> tuple[str, list[str], ManyDraft]:
        """Return the record of the group, its members without the sender, and the draft with its name as it is spelled.

        Of a list there is no record: ''.
        """
        if many.group is None:
            return "", [*many.to], many
        record = await self.record(many.group)
        if record is None:
            raise await self._unknown(many.group)
        if (group := group_entry(record)) is None:
            raise UnknownGroup(f"the record of #{many.group} was altered; its members have to join again", names=[])
        own, *members = await self.present([sender.name, *group.members])
        others = [each for each in dict.fromkeys(members) if each.lower() != own.lower()]
        if not others:
            raise EmptyGroup(f"nobody but {sender.name} is in #{group.name}; nothing was sent")
        return record, others, replace(many, to=f"#{group.name}")

    async def _with_hints(self, recipients: list[Delivery]) -> list[Delivery]:
        """Return recipients, those whose names are unknown with what their sender should look at."""
        unknown = [each.to for each in recipients if not each.known]
        hints = dict(zip(unknown, await self._mail.about_unknown(unknown), strict=True)) if unknown else {}
        found = []
        for each in recipients:
            near, words = hints.get(each.to, (each.names, each.reach))
            found.append(replace(each, names=near, reach=words))
        return found

    async def _unknown(self, group: str) -> UnknownGroup:
        near, agent = await self._similar(group), await self._agents.known(group)
        hint = f"; {agent} is an agent: write to it without #" if agent else ""
        hint += f"; did you mean {', '.join(f'#{each}' for each in near)}?" if near else ""
        return UnknownGroup(f"there is no group #{group}{hint}", names=near)

    async def _similar(self, group: str) -> list[str]:
        known = {each.name.lower(): each.name for each in await self.all()}
        return [known[each] for each in difflib.get_close_matches(group.lower(), known, 3)]

    def outlook(self, agent: str, *, online: bool, away_s: float, person: bool) -> tuple[Activity, str]:
        """Return what an agent does, and in words when it will know of a message, as far as this daemon knows."""
        return self._mail.outlook(agent, online=online, away_s=away_s, person=person)


def _refuse_duplicates(names: list[str], many: ManyDraft) -> None:
    """Raise BadField if a list names one agent by two of its names."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice and many.group is None:
        given = " and ".join(each for each, name in zip(many.to, names, strict=True) if name == twice[0])
        raise BadField(f"to: {given} are names of one agent, {twice[0]}; name it once", field="to")
