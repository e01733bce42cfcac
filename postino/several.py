"""The records of messages to several agents, and of groups."""

from __future__ import annotations

import msgspec

from postino.model import Activity, Done, Draft, Record
from postino.values import check_recipient, check_recipients


class ManyDraft(Record, frozen=True, kw_only=True):
    """A message to several agents: `to` is a list of 1 to 50 of them, or `#` and the name of a group.

    `draft` has its content; the recipient in it does not count. Making one raises BadName or BadField if `to` is wrong.
    """

    to: str | list[str]
    draft: Draft

    def __post_init__(self) -> None:
        check_recipients(self.to)
        if not isinstance(self.to, str):
            msgspec.structs.force_setattr(self, "to", [check_recipient(each) for each in self.to])

    @property
    def group(self) -> str | None:
        """The name of the group, None for a list."""
        return self.to.removeprefix("#") if isinstance(self.to, str) else None


def addressed(to: str | list[str] | None) -> tuple[str | None, str | list[str] | None]:
    """Return the recipient for a draft, and `to` again if it is several agents: the first is then one of their names.

    Raises:
        BadName, BadField: `to` is not an agent, `#` and a group, or a list of agents.
    """
    if to is None or (isinstance(to, str) and not to.startswith("#")):
        return to, None
    check_recipients(to)
    return to.removeprefix("#") if isinstance(to, str) else to[0], to


class Delivery(Record, frozen=True, kw_only=True):
    """What became of a message to several agents for one of them; members as those of `Sent`."""

    to: str
    seq: int
    created: bool
    known: bool
    online: bool
    activity: Activity = msgspec.field(name="state", default="unknown")
    last_seen: str | None = msgspec.field(name="lastSeen", default=None)
    reach: str = ""
    names: list[str] = []


class SentMany(Done, frozen=True, kw_only=True):
    """The answer to a send to several agents, of which all or none were written to.

    `created` is false if each of them had the message already. `group` is null for a list. `note` as that of `Sent`.
    """

    id: str
    group: str | None
    created: bool
    durability: str
    recipients: list[Delivery]
    note: str | msgspec.UnsetType = msgspec.UNSET


class Group(Record, frozen=True, kw_only=True):
    """A mailing list: a message to `#` and its name goes to each of the `members`."""

    name: str
    members: list[str]
    since: str


class Member(Done, frozen=True, kw_only=True):
    """The answer to a join or leave: whether it `changed` anything, and how many members the group now has.

    `known` is false if nobody has been seen under the name. `names` lists similar names: of agents in that case, of
    groups if somebody leaves a group that does not exist, which `note` says.
    """

    group: str
    agent: str
    changed: bool
    members: int
    known: bool = True
    names: list[str] = []
    note: str | msgspec.UnsetType = msgspec.UNSET
