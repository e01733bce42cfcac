"""History: every message and broadcast once accepted, with the state of each message."""

from __future__ import annotations

import asyncio

import msgspec

from postino.broker.history_filter import ANYTHING, Search
from postino.errors import BadField
from postino.event_place import stream_parts
from postino.history_entry import HistoryEntry, HistoryPage, Receipt
from postino.model import State
from postino.store.agents import AgentTable
from postino.store.entries import extras_of, listed, number
from postino.store.history import NEWEST, HistoryStream, StreamEntry
from postino.store.inbox import Inboxes
from postino.store.index_entry import Known
from postino.store.names import Names
from postino.values import check_id

MAX_LOOKED = 5_000  # entries per call, so that a search for a rare word does not occupy the store
MAX_SECONDS = 1.0  # per call; long bodies take longer than short ones
MOST_SOUGHT = 20  # ids of one call that are sought beyond the newest part of the history
MOST_INDEXES = 500  # inboxes that are asked for an id, one look-up each
#: states of a message, the one furthest from its acknowledgement first
_PROGRESS: tuple[State, ...] = ("queued", "leased", "dead", "expired", "cleared", "acked")
#: what an entry says of its message's state
_OF_STATE = ("state", "deliveries", "reader", "leased_at", "lease_until", "settled_at", "reason", "notified")
_PART = 50  # entries of the first round trip: some megabytes if all bodies are of the maximum length
_TOGETHER = 200  # states that other callers wait behind: a page of messages to large groups has ten thousand
_PART_RECIPIENTS = 2_000  # whose states are asked for
_PART_CHARACTERS = 250_000  # of bodies, which the further round trips aim at


class History:
    """Searches the history."""

    def __init__(self, stream: HistoryStream, inboxes: Inboxes, agents: AgentTable) -> None:
        self._stream = stream
        self._inboxes = inboxes
        self._agents = agents

    async def search(self, search: Search = ANYTHING, *, before: str | None = None, limit: int = 50) -> HistoryPage:
        """Return the accepted messages and broadcasts that are asked for, newest first.

        Agents are found by an index, and messages with the id `q` or `id` are on the first page, however old; with `id`
        that page ends with them. Above 500 agents only broadcasts and what a named agent received is found so; the rest
        is found on its page. `before` is the entry that the page precedes. One call looks at 5000 entries at most, or
        for one second, and of a thread or an `id` not at what one looked at before. If `more`, there are entries that
        it did not look at: the next page is the one before `before`.
        """
        names = await self._agents.names()
        by_id = [] if before else await self._of_id(search.id or search.q, names, search.parties())
        found = await self._fitting(by_id, search, names, limit)
        known = {each.entry for each in found}
        if search.id and found and (search.parties() or len(names.agents) <= MOST_INDEXES):
            return HistoryPage(items=found, looked=len(by_id), more=True, before=NEWEST)
        key = search.id or search.thread
        to_end = bool(key) and await self._stream.note_newer()
        place = before or NEWEST
        party = names.all_of(search.parties()[0]) if search.parties() else []
        clock = asyncio.get_running_loop().time
        until, count, looked, more = clock() + MAX_SECONDS, _PART, 0, True
        while more and looked < MAX_LOOKED and len(found) < limit and clock() < until:
            part = await self._stream.part(party, place, count, key, to_end=to_end)
            entries = [each for each in part.entries if not search.is_over(each)]
            more = part.before is not None and len(entries) == len(part.entries)
            place, room = part.before or place, limit - len(found)
            fitting = await self._fitting([each for each in entries if each.id not in known], search, names, room)
            if len(fitting) == room:
                last = next(at for at, each in enumerate(entries) if each.id == fitting[-1].entry) + 1
                more, place = more or last < len(entries), fitting[-1].entry
                entries = entries[:last]
            looked += len(entries)
            found += fitting
            count = _next_count(part.entries)
        found.sort(key=lambda each: stream_parts(each.entry), reverse=True)
        return HistoryPage(items=found, looked=looked, more=more, before=place if more else None)

    async def sent(self, agent: str, ids: list[str] | None = None, limit: int = 10) -> list[HistoryEntry]:
        """Return what `agent` has sent, newest first: what has one of these ids, or the newest `limit`.

        Looks into the indexes, for 20 ids at most, and at the newest part of its history: first where that costs less.
        """
        if ids is None:
            return (await self.search(Search(from_=agent), limit=limit)).items
        wanted, place, looked, more = set(ids), None, 0, True
        names = await self._agents.names()
        by_index = len(wanted) * len(names.agents) <= MOST_INDEXES  # else that costs more than to look at a page
        found = await self._sent(agent, wanted, names) if by_index else {}
        while more and looked < MAX_LOOKED and wanted - {each.id for each in found.values()}:
            page = await self.search(Search(from_=agent), before=place, limit=200)
            found |= {each.entry: each for each in page.items if each.id in wanted}
            place, looked, more = page.before, looked + page.looked, page.more and page.looked > 0
        if not by_index:
            found |= await self._sent(agent, wanted - {each.id for each in found.values()}, names)
        return sorted(found.values(), key=lambda each: stream_parts(each.entry), reverse=True)

    async def _sent(self, agent: str, ids: set[str], names: Names) -> dict[str, HistoryEntry]:
        """Return of what `agent` has sent under up to 20 of these ids what the indexes know, by entry."""
        parts = await asyncio.gather(*(self._of_id(id, names, [agent]) for id in sorted(ids)[:MOST_SOUGHT]))
        entries = [each for part in parts for each in part]
        found = await self._fitting(entries, Search(from_=agent), names, len(entries))
        return {each.entry: each for each in found}

    async def _fitting(
        self, entries: list[StreamEntry], search: Search, names: Names, limit: int
    ) -> list[HistoryEntry]:
        """Return the first `limit` of `entries` that are asked for, with their states."""
        found = [each for each in entries if search.fits(each, names)]
        if search.state is None:
            return await self._with_states(found[:limit], names)
        return [each for each in await self._with_states(found, names) if search.fits_state(each.state)][:limit]

    async def _of_id(self, q: str | None, names: Names, parties: list[str]) -> list[StreamEntry]:
        """Return the entries whose id is `q`, as far as indexes know them, newest first.

        All inboxes are asked or, if there are many, those of `parties`.
        """
        try:
            id = check_id(q or "")
        except BadField:
            return []
        few = len(names.agents) <= MOST_INDEXES
        inboxes = [*names.agents] if few else [names.present(each) for each in parties]
        times = await self._inboxes.accepted_at(inboxes, id)
        parts = await asyncio.gather(*(self._stream.at(ms) for ms in times))
        found = {entry.id: entry for part in parts for entry in part if entry.fields["id"] == id}
        return list(found.values())

    async def _with_states(self, found: list[StreamEntry], names: Names) -> list[HistoryEntry]:
        wanted = [(names.present(to), each.fields["id"]) for each in found for to in each.recipients]
        looked_up: list[Known | None] = []
        for at in range(0, len(wanted), _TOGETHER):
            looked_up += await self._inboxes.known(wanted[at : at + _TOGETHER])
        known = iter(looked_up)
        return [_entry(each, [next(known) for _ in each.recipients]) for each in found]


def _next_count(entries: list[StreamEntry]) -> int:
    """Return how many entries the next round trip asks for, when they are as long as these."""
    many = len(entries) or 1
    length = sum(len(each.fields["body"]) for each in entries) // many
    recipients = sum(len(each.recipients) for each in entries) // many
    return max(_PART, min(10 * _PART, _PART_CHARACTERS // (length + 1), _PART_RECIPIENTS // (recipients + 1)))


def _entry(entry: StreamEntry, of_each: list[Known | None]) -> HistoryEntry:
    """Return an entry, marked if it does not fit the digest of its id, which may by now stand for a later message."""
    fields, known = entry.fields, next((each for each in of_each if each is not None), None)
    same = known is not None and number(fields["t"]) in (0, known.accepted_ms)
    is_broadcast = fields["kind"] == "broadcast"
    extras = {name: value for name, value in extras_of(fields).items() if name not in ("sent_to", "sent_to_total")}
    plain = HistoryEntry(
        **listed(fields, known.digest if known is not None and same else ""),
        entry=entry.id,
        kind="broadcast" if is_broadcast else "message",
        to=f"#{extras['group']}" if "group" in extras else ", ".join(entry.recipients),
        thread=fields.get("thread") or None,
        reply_to=fields.get("reply_to") or None,
        **extras,
    )
    if known is None or is_broadcast:
        return plain
    if len(entry.recipients) > 1 or "group" in extras:
        receipts = [_receipt(*each) for each in zip(entry.recipients, of_each, strict=True)]
        furthest = min((each.state for each in receipts if each.state), key=_PROGRESS.index)
        return msgspec.structs.replace(plain, state=furthest, recipients=receipts)
    return msgspec.structs.replace(plain, **{name: getattr(known.state, name) for name in _OF_STATE})


def _receipt(to: str, known: Known | None) -> Receipt:
    if known is None:
        return Receipt(to=to, state=None)
    return Receipt(**{name: getattr(known.state, name) for name in Receipt.__struct_fields__})
