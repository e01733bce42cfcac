"""History: every message and broadcast once accepted, with the state of each message."""

from __future__ import annotations

import msgspec

from postino.model import HistoryEntry, HistoryPage, MessageState
from postino.store.agents import AgentTable, Names
from postino.store.entries import members
from postino.store.history import HistoryStream, StreamEntry
from postino.store.inbox import Inboxes

MAX_EXAMINED = 1_000  # entries per call, so that a search for a rare word does not occupy the store
_PAGE = 50  # entries per round trip: some megabytes if all bodies are of the maximum length


class History:
    """Searches the history."""

    def __init__(self, stream: HistoryStream, inboxes: Inboxes, agents: AgentTable) -> None:
        self._stream = stream
        self._inboxes = inboxes
        self._agents = agents

    async def search(
        self,
        *,
        agent: str | None = None,
        with_: str | None = None,
        q: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> HistoryPage:
        """Return accepted messages and broadcasts, newest first.

        `agent` is sender or recipient, under any of its names, and `with_` the other of the two. `q` is a part of the
        body, ignoring case, or the id. `before` is the entry that the page precedes. At most 1000 entries are
        examined; if `more`, the next page is the one before the returned `before`.
        """
        names = await self._agents.names()
        found: list[StreamEntry] = []
        examined, end = 0, f"({before}" if before else "+"
        last, more = before, True
        while more and examined < MAX_EXAMINED and len(found) < limit:
            page = await self._stream.page(end, _PAGE)
            more = len(page) == _PAGE
            for at, entry in enumerate(page):
                examined, last, end = examined + 1, entry.id, f"({entry.id}"
                if _wanted(entry, names, agent, with_, q):
                    found.append(entry)
                    if len(found) == limit:
                        more = more or at + 1 < len(page)
                        break
        items = await self._with_states(found, names)
        return HistoryPage(items=items, more=more, before=last if more else None)

    async def _with_states(self, found: list[StreamEntry], names: Names) -> list[HistoryEntry]:
        messages = [each for each in found if each.fields["kind"] == "message"]
        states = await self._inboxes.states(
            [(names.present(each.fields["to"]), each.fields["id"]) for each in messages]
        )
        known = {each.id: state for each, state in zip(messages, states, strict=True)}
        return [_entry(each, known.get(each.id)) for each in found]


def _wanted(entry: StreamEntry, names: Names, agent: str | None, with_: str | None, q: str | None) -> bool:
    fields = entry.fields
    parties = {names.present(fields["from"]), names.present(fields["to"])}
    if agent is not None and names.present(agent) not in parties:
        return False
    if with_ is not None and names.present(with_) not in parties:
        return False
    if agent is not None and with_ is not None and names.present(agent) == names.present(with_) and len(parties) > 1:
        return False
    return q is None or q == fields["id"] or q.casefold() in fields["body"].casefold()


def _entry(entry: StreamEntry, state: MessageState | None) -> HistoryEntry:
    fields = entry.fields
    plain = HistoryEntry(
        **members(fields),
        entry=entry.id,
        kind="broadcast" if fields["kind"] == "broadcast" else "message",
        to=fields["to"],
        thread=fields.get("thread") or None,
        reply_to=fields.get("reply_to") or None,
    )
    if state is None:
        return plain
    return msgspec.structs.replace(
        plain,
        state=state.state,
        deliveries=state.deliveries,
        reader=state.reader,
        leased_at=state.leased_at,
        lease_until=state.lease_until,
        settled_at=state.settled_at,
        reason=state.reason,
        notified=state.notified,
    )
