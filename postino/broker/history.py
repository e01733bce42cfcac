"""History: what was accepted, with the state of each message."""

from __future__ import annotations

from postino.model import HistoryEntry, HistoryPage, MessageState, iso
from postino.store.agents import AgentTable, Names
from postino.store.history import HistoryStream, Said
from postino.store.inbox import Inboxes

LOOKED_AT = 1_000  # entries per call: a rare word in a long history must not block the store
_PAGE = 50  # entries per round trip: with the longest bodies some megabytes


class History:
    """Every accepted message and broadcast, newest first."""

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

        `agent`: sent or received by it under any of its names; `with_`: the other party too; `q`: the body
        holds this text, whatever the case, or it is the id; `before`: only older than this place. At most 1000
        entries are looked at; `more` says that the page is not the end, `before` where the next one begins.
        """
        names = await self._agents.names()
        found: list[Said] = []
        looked, place = 0, f"({before}" if before else "+"
        last, more = before, True
        while more and looked < LOOKED_AT and len(found) < limit:
            page = await self._stream.page(place, _PAGE)
            more = len(page) == _PAGE
            for at, said in enumerate(page):
                looked, last, place = looked + 1, said.entry, f"({said.entry}"
                if _wanted(said, names, agent, with_, q):
                    found.append(said)
                    if len(found) == limit:
                        more = more or at + 1 < len(page)
                        break
        items = await self._with_states(found, names)
        return HistoryPage(items=items, more=more, before=last if more else None)

    async def _with_states(self, found: list[Said], names: Names) -> list[HistoryEntry]:
        messages = [each for each in found if each.fields["kind"] == "message"]
        states = await self._inboxes.states(
            [(names.present(each.fields["to"]), each.fields["id"]) for each in messages]
        )
        known = {each.entry: state for each, state in zip(messages, states, strict=True)}
        return [_entry(each, known.get(each.entry)) for each in found]


def _wanted(said: Said, names: Names, agent: str | None, with_: str | None, q: str | None) -> bool:
    fields = said.fields
    parties = {names.present(fields["from"]), names.present(fields["to"])}
    if agent is not None and names.present(agent) not in parties:
        return False
    if with_ is not None and names.present(with_) not in parties:
        return False
    if agent is not None and with_ is not None and names.present(agent) == names.present(with_) and len(parties) > 1:
        return False
    return q is None or q == fields["id"] or q.casefold() in fields["body"].casefold()


def _entry(said: Said, state: MessageState | None) -> HistoryEntry:
    fields = said.fields
    return HistoryEntry(
        entry=said.entry,
        kind="broadcast" if fields["kind"] == "broadcast" else "message",
        id=fields["id"],
        seq=int(fields["seq"]),
        from_=fields["from"],
        verified=bool(fields["verified"]),
        via=fields["via"],
        to=fields["to"],
        body=fields["body"],
        timestamp=iso(int(fields["t"])),
        thread=fields.get("thread") or None,
        reply_to=fields.get("reply_to") or None,
        state=state.state if state else None,
        deliveries=state.deliveries if state else 0,
        reader=state.reader if state else None,
        leased_at=state.leased_at if state else None,
        lease_until=state.lease_until if state else None,
        settled_at=state.settled_at if state else None,
        reason=state.reason if state else None,
        notified=state.notified if state else "none",
    )
