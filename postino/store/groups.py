"""Groups: mailing lists of agents, and messages to several agents at once."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from postino.model import Activity, Sender, digest, iso
from postino.several import Delivery, ManyDraft, Member
from postino.store.entries import Extras, decoded, digested, encoded, packed, pairs
from postino.store.spellings import present_names
from postino.store.store import Table, accepted
from postino.values import MAX_GROUPS, MAX_MEMBERS

_RECIPIENT_KEYS = ("inbox", "leases", "index", "dead", "past")  # as lua/send_many.lua has them
_PER_RECIPIENT = 6  # values of its reply
_TIMES_END = 10**13  # ms: times have 13 digits
MOST_NAMED = 10  # of the recipients of a list, in each message


class GroupEntry(msgspec.Struct):
    """The record of a group, as lua/lib/group.lua writes it."""

    name: str
    since: int
    members: list[str] = []


def group_entry(record: str | None) -> GroupEntry | None:
    """Return what a record tells, as lua/lib/group.lua takes it; None for none, and for one that a disk has altered."""
    found = decoded(record, GroupEntry)
    return found if found and found.members and 0 <= found.since < _TIMES_END else None


class Moved(Exception):
    """Recipients are known under other names by now: `names` are the present ones; none: the group has changed."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(names)
        self.names = names


def group_key(name: str) -> str:
    """Return what a group is found by: names that differ only in case are one."""
    return name.lower()


class GroupTable(Table):
    """Every group."""

    async def all(self) -> list[GroupEntry]:
        """Return every group whose record can be read, by name."""
        found = pairs(await self._store.query("HGETALL", self._store.keys.shared("groups")))
        return [entry for key in sorted(found) if (entry := group_entry(found[key])) is not None]

    async def record(self, name: str) -> str | None:
        """Return the record of a group as it is stored."""
        value: str | None = await self._store.call("HGET", self._store.keys.shared("groups"), group_key(name))
        return value

    async def titles(self, names: Sequence[str]) -> list[str | None]:
        """Return the names of groups as their first members wrote them; None for a group that does not exist."""
        found = await self._store.call("HMGET", self._store.keys.shared("groups"), *map(group_key, names))
        return [entry.name if (entry := group_entry(value)) else None for value in found]

    async def present(self, names: Sequence[str]) -> list[str]:
        """Return the present names of agents."""
        return await present_names(self._store.writes, self._store.keys.shared("agents"), names)

    async def join(self, group: str, agent: str) -> Member:
        """Make an agent a member. Repeating does nothing.

        Raises:
            GroupFull: nobody was added.
        """
        agent, (name, members, joined, known) = await self._store.run_named(
            "group_join",
            agent,
            group=group_key(group),
            title=group,
            max_members=MAX_MEMBERS,
            max_groups=MAX_GROUPS,
        )
        return Member(group=name, agent=agent, changed=bool(joined), members=int(members), known=bool(known))

    async def leave(self, group: str, agent: str) -> Member:
        """End a membership. Repeating does nothing."""
        agent, (name, members, left) = await self._store.run_named("group_leave", agent, group=group_key(group))
        return Member(group=name or group, agent=agent, changed=bool(left), members=int(members))

    async def send(self, names: list[str], many: ManyDraft, sender: Sender, record: str = "") -> list[Delivery]:
        """Accept a message once per id for each of `names`, or for none; `record`: of the group whose members they are.

        Raises:
            Moved: some are by now other agents, or the group has other members; nothing was stored.
            KeyReused, InboxFull: nothing was stored.
            StoreAway: `outcome` says whether it may have been stored.
        """
        marks, keys, draft = self._store.marks, self._store.keys, many.draft
        extras = Extras(
            expects=draft.expects,
            group=many.group,
            choices=draft.choices,
            sent_to=names[:MOST_NAMED] if many.group is None and len(names) > 1 else None,
            sent_to_total=len(names) if many.group is None and len(names) > MOST_NAMED else None,
        )
        values: dict[str, str | int] = {
            "names": msgspec.json.encode(names).decode(),
            "id": draft.id,
            "digest": digest(sender.name, draft.body, draft.thread, draft.reply_to, digested(extras)),
            "sender": sender.name,
            "message": packed(draft.id, sender, draft.body, draft.thread, draft.reply_to, encoded(extras)),
            "via": sender.via,
            "max_inbox": self._limits.max_inbox,
            "ttl_ms": self._limits.ttl_ms,
            "session": sender.session,
            "max_dead": self._limits.max_inbox,
            "marked_until": min(marks.until(sender.name, each) for each in names),
            "group": group_key(many.group or ""),
            "record": record,
        }
        more = [keys.of(kind, each) for each in names for kind in _RECIPIENT_KEYS]
        reply = await self._store.run("send_many", sender.name, values, more=more)
        if reply[0] in ("alias", "members"):
            raise Moved(reply[1:])
        marked, now, *flat = accepted(reply)
        rows = [flat[at : at + _PER_RECIPIENT] for at in range(0, len(flat), _PER_RECIPIENT)]
        for name, row in zip(names, rows, strict=True):
            if row[1]:
                marks.note(marked, sender.name, name)
        return [self._delivery(name, *map(int, row), now=int(now)) for name, row in zip(names, rows, strict=True)]

    def _delivery(
        self, name: str, seq: int, created: int, known: int, online: int, seen: int, person: int, *, now: int
    ) -> Delivery:
        away_s = (now - seen) / 1000
        activity, reach = self.outlook(name, online=bool(online), away_s=away_s, person=bool(person))
        return Delivery(
            to=name,
            seq=seq,
            created=bool(created),
            known=bool(known),
            online=bool(online),
            activity=activity,
            last_seen=iso(seen) if seen else None,
            reach=reach,
        )

    def outlook(self, agent: str, *, online: bool, away_s: float, person: bool) -> tuple[Activity, str]:
        """Return what a recipient does, and in words when it will know of a message. The store cannot say."""
        return "unknown", ""
