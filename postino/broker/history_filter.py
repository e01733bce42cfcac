"""Which entries of the history a search asks for."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from postino.event_place import stream_parts
from postino.model import State
from postino.store.history import StreamEntry
from postino.store.names import Names

#: what a search can ask for -> the states of a message that fit
Fate = Literal["waiting", "read", "dead", "queued", "leased", "acked", "expired", "cleared"]
_GROUPS: dict[str, tuple[State, ...]] = {
    "waiting": ("queued", "leased"),
    "read": ("acked",),
    "dead": ("dead", "expired"),
}


#: `postino doctor` lets agents of its own write to themselves; only who names one of them, or the id, is shown that
_DOCTORS = re.compile(r"doctor-[0-9a-f]{8}-[a-z]+", re.IGNORECASE)


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What a search asks for; None: anything.

    `agent` is sender or recipient and `with_` the other of the two, `from_` and `to` are only that, all under any of
    their names. `thread` is that of the message, or its own id. `q` is a part of the body, ignoring case, or the id;
    `id` is only that.
    """

    agent: str | None = None
    with_: str | None = None
    from_: str | None = None
    to: str | None = None
    thread: str | None = None
    threaded: bool = False  # only messages that have a thread
    state: Fate | None = None
    q: str | None = None
    id: str | None = None
    after: str | None = None  # an entry: only later ones

    def parties(self) -> list[str]:
        """Return the names that an entry must have as sender or recipient."""
        return [each for each in (self.agent, self.with_, self.from_, self.to) if each]

    def is_over(self, entry: StreamEntry) -> bool:
        """Return whether neither `entry` nor any older one can fit."""
        return self.after is not None and stream_parts(entry.id) <= stream_parts(self.after)

    def fits(self, entry: StreamEntry, names: Names) -> bool:
        """Return whether an entry is asked for, as far as its fields tell."""
        fields = entry.fields
        sender, recipients = names.key(fields["from"]), {names.key(each) for each in entry.recipients}
        return (
            (
                bool(self.parties())
                or fields["id"] in (self.q, self.id)
                or not _is_doctors(fields["from"], entry.recipients)
            )
            and self._has_parties(sender, recipients, names)
            and (self.from_ is None or names.key(self.from_) == sender)
            and (self.to is None or names.key(self.to) in recipients)
            and (self.id is None or self.id == fields["id"])
            and (self.thread is None or self.thread in (fields.get("thread"), fields["id"]))
            and (not self.threaded or bool(fields.get("thread")))
            and not self.is_over(entry)
            and (self.state is None or fields["kind"] != "broadcast")
            and (self.q is None or self.q == fields["id"] or self.q.casefold() in fields["body"].casefold())
        )

    def fits_state(self, state: State | None) -> bool:
        """Return whether a message in this state is asked for."""
        return self.state is None or state in _GROUPS.get(self.state, (self.state,))

    def _has_parties(self, sender: str, recipients: set[str], names: Names) -> bool:
        one, other = (name and names.key(name) for name in (self.agent, self.with_))
        if one is None or other is None:
            return {one, other} - {None} <= {sender, *recipients}
        return (one == sender and other in recipients) or (other == sender and one in recipients)


ANYTHING = Search()


def _is_doctors(sender: str, recipients: list[str]) -> bool:
    """Return whether an agent of the doctor's has written to itself."""
    return recipients == [sender] and _DOCTORS.fullmatch(sender) is not None
