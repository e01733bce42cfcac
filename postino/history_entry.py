"""The records of what was once accepted, as a search of the history finds it."""

from __future__ import annotations

from typing import Literal

import msgspec

from postino.model import Expects, Record, State, Tree


class Receipt(Record, frozen=True, kw_only=True):
    """The state of a message to several agents for one of them; None: nothing is known any more."""

    to: str
    state: State | None
    deliveries: int = 0
    settled_at: str | None = None
    reason: str | None = None
    notified: str = "none"


class HistoryEntry(Record, frozen=True, kw_only=True):
    """An accepted message or broadcast and its state. `entry` is its position, for `before`.

    One to several agents has their `recipients`, `to` names them or the group, and `state` is that of the one who is
    furthest from having acknowledged it. A broadcast that is sought by its id tells who has seen it, as the list of all
    broadcasts does.
    """

    entry: str
    kind: Literal["message", "broadcast"]
    id: str
    seq: int
    from_: str = msgspec.field(name="from")
    verified: bool
    via: str
    to: str
    body: str
    timestamp: str
    thread: str | None = None
    reply_to: str | None = None
    expects: Expects | msgspec.UnsetType = msgspec.UNSET
    group: str | msgspec.UnsetType = msgspec.UNSET
    choices: list[str] | msgspec.UnsetType = msgspec.UNSET
    state: State | None = None
    deliveries: int = 0
    reader: str | None = None
    leased_at: str | None = None
    lease_until: str | None = None
    settled_at: str | None = None
    reason: str | None = None
    notified: str = "none"
    recipients: list[Receipt] | msgspec.UnsetType = msgspec.UNSET
    seen: int | msgspec.UnsetType = msgspec.UNSET
    agents: int | msgspec.UnsetType = msgspec.UNSET
    seen_by: list[str] | msgspec.UnsetType = msgspec.field(name="seenBy", default=msgspec.UNSET)
    not_seen_by: list[str] | msgspec.UnsetType = msgspec.field(name="notSeenBy", default=msgspec.UNSET)
    altered: bool | msgspec.UnsetType = msgspec.UNSET
    tree: Tree | msgspec.UnsetType = msgspec.UNSET


class HistoryPage(Record, frozen=True, kw_only=True):
    """A page of history, newest first: what fits among the `looked` entries that were looked at.

    While `more`, older entries were not looked at yet: the next page is the one `before` this `before`.
    """

    items: list[HistoryEntry]
    looked: int = 0
    more: bool
    before: str | None = None
