"""The records of the REST API that are not in the model: one for each body, query and answer."""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeVar

from msgspec import Meta, field

from postino.errors import BadField
from postino.model import EVENTS, STREAM_EVENTS, Done, Expects, Record, UnseenBroadcast
from postino.schema import AnyName, Choices, Id, Ids, Limit, Name, Recipient, Recipients, Text, Title
from postino.values import (
    DEFAULT_PAGE,
    EVENT_ID,
    check_any_name,
    check_id,
    check_name,
)

T = TypeVar("T")

WAIT_S = 60  # longest long poll: common proxies time out after 90 s
DELAY_MS = 86_400_000  # longest delay of a nack: a day, the default time to live of a message

_TYPE = "|".join((*STREAM_EVENTS, *EVENTS))
_TYPES = f"^({_TYPE})(,({_TYPE}))*$"
Offset = Annotated[int, Meta(ge=0, le=1_000_000)]


class Asked(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what a caller sends. An unknown field is an error, and a record with a wrong member cannot be made."""


class Nothing(Asked, frozen=True, kw_only=True):
    """No parameters, or an empty body."""


class PageQuery(Asked, frozen=True, kw_only=True):
    """How to show the page. `demo`: with a made-up mailroom."""

    demo: bool = False


class Paging(Asked, frozen=True, kw_only=True):
    """A part of a list."""

    limit: Limit = DEFAULT_PAGE
    offset: Offset = 0

    def page(self, items: list[T], total: int) -> Page[T]:
        """Return the answer with the items that were asked for."""
        return Page(items=items, total=total, limit=self.limit, offset=self.offset)


class AgentsQuery(Paging, frozen=True, kw_only=True):
    """Which agents to list."""

    online: bool = False


class SendBody(Asked, frozen=True, kw_only=True):
    """A message to one agent, a list of agents, or `#` and a group.

    Without `to` it goes to the sender of the message `reply_to`, which the agent `from` got.
    """

    to: Recipient | Recipients | None = None
    body: Text
    from_: Name | None = field(name="from", default=None)
    id: Id | None = None
    thread: Title | None = None
    reply_to: Id | None = None
    choices: Choices | None = None
    expects: Expects | None = None
    wait_reply: Annotated[float, Meta(gt=0, le=WAIT_S)] | None = None
    ack: Literal["lease", "now"] | None = None
    consumer: Id | None = None

    def __post_init__(self) -> None:  # the other members are checked with the draft
        if self.from_ is not None:
            check_name(self.from_, "from")
        if self.wait_reply is None and (self.ack is not None or self.consumer is not None):
            name = "consumer" if self.ack is None else "ack"
            raise BadField(f"{name} is of a reply that is waited for; give `wait_reply`, or leave it out", field=name)


class BroadcastBody(Asked, frozen=True, kw_only=True):
    """A broadcast."""

    body: Text
    from_: Name | None = field(name="from", default=None)
    id: Id | None = None

    def __post_init__(self) -> None:  # the other members are checked with the draft
        if self.from_ is not None:
            check_name(self.from_, "from")


class ReadQuery(Asked, frozen=True, kw_only=True):
    """How to read. Each member can be in the query or in the body."""

    limit: Limit | None = None
    wait: Annotated[float, Meta(ge=0, le=WAIT_S)] | None = None
    ack: Literal["lease", "now"] | None = None
    resume: bool | None = None
    consumer: Id | None = None


class MessageIds(Asked, frozen=True, kw_only=True):
    """Messages in one inbox."""

    ids: Ids

    def __post_init__(self) -> None:
        _check_ids(self.ids)


class SettleBody(MessageIds, frozen=True, kw_only=True):
    """Leased messages. The consumer can be in the header X-Postino-Consumer instead."""

    consumer: Id | None = None


class NackBody(SettleBody, frozen=True, kw_only=True):
    """Leased messages to return to the inbox, and for how long they are not delivered again."""

    delay_ms: Annotated[int, Meta(ge=0, le=DELAY_MS)] | None = None


class BroadcastReadQuery(Asked, frozen=True, kw_only=True):
    """How to read broadcasts, in the query or in the body. By default they count as seen at once (`ack: now`)."""

    limit: Limit | None = None
    ack: Literal["lease", "now"] | None = None


class SeenBody(Asked, frozen=True, kw_only=True):
    """The id of the last broadcast that was seen: it and all earlier ones are not returned again."""

    id: Id

    def __post_init__(self) -> None:
        check_id(self.id)


class RenameBody(Asked, frozen=True, kw_only=True):
    """The new name."""

    name: Name

    def __post_init__(self) -> None:
        check_name(self.name)


class RequeueBody(Asked, frozen=True, kw_only=True):
    """Dead letters; all of them if `ids` is absent."""

    ids: Ids | None = None

    def __post_init__(self) -> None:
        _check_ids(self.ids or [])


class EventsQuery(Asked, frozen=True, kw_only=True):
    """Events after the id `since`, of one agent, of some types (`a,b`)."""

    since: Annotated[str, Meta(extra_json_schema={"pattern": EVENT_ID})] | None = None
    agent: AnyName | None = None
    type: Annotated[str, Meta(extra_json_schema={"pattern": _TYPES})] | None = None
    as_: Annotated[str | None, Meta(extra_json_schema={"deprecated": True})] = field(name="as", default=None)

    def __post_init__(self) -> None:
        if self.agent is not None:
            check_any_name(self.agent, "agent")
        if self.as_ is not None:
            raise BadField(
                "as: send the header X-Postino-As instead; an address alone must not change anything", field="as"
            )


class Page(Record, Generic[T], frozen=True, kw_only=True):
    """A part of a list."""

    items: list[T]
    total: int
    limit: int
    offset: int


class Rejected(Record, frozen=True, kw_only=True, omit_defaults=True):
    """The 409 of an ack, nack or extend: the `rejected` ids are not leased to this consumer; the others are done."""

    ok: bool
    code: str
    error: str
    retryable: bool
    acknowledged: list[str]
    rejected: list[str]
    dead: list[str] = []


class UnseenBroadcasts(Record, frozen=True, kw_only=True):
    """The broadcasts that an agent had not seen; `missed` more were trimmed before."""

    items: list[UnseenBroadcast]
    more: bool
    missed: int
    agent: str


class Seen(Done, frozen=True, kw_only=True):
    """The cursor of the agent is at that broadcast, or further."""

    agent: str


class Cleared(Done, frozen=True, kw_only=True):
    """How many were deleted."""

    cleared: int


class Requeued(Done, frozen=True, kw_only=True):
    """The ids that were moved to the tail of the inbox."""

    requeued: list[str]


class ImportQuery(Asked, frozen=True, kw_only=True):
    """How to import. `check`: only read the file, store nothing."""

    check: bool = False


class Abandoned(Done, frozen=True, kw_only=True):
    """The answer to the end of an import that was interrupted. `abandoned` is false if there was none."""

    abandoned: bool


class Forgotten(Done, frozen=True, kw_only=True):
    """The agents that were forgotten."""

    forgotten: list[str]


class NotifyReport(Record, frozen=True, kw_only=True, omit_defaults=True):
    """How people are notified while no page is open. `error`: why the last try failed, and `since` when all have."""

    service: str
    error: str | None = None
    since: str | None = None


class HealthReport(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Whether a message can be accepted now. `uptime` is in seconds; `server` has no password."""

    ok: bool
    valkey: bool
    durability: str
    uptime: int
    version: str
    server: str
    url: str | None = None
    warnings: list[str] = []
    error: str | None = None
    notify: NotifyReport | None = None


class RatesReport(Record, frozen=True, kw_only=True):
    """Counts of the last 60 seconds, over all agents."""

    sent: int
    read: int
    acknowledged: int
    dead: int
    broadcasts: int


class StatsReport(Record, frozen=True, kw_only=True):
    """Counts over all agents. `oldestUnread` is from the first inboxes with messages, not from all."""

    version: str
    message_ttl: int = field(name="messageTtl")
    max_inbox: int = field(name="maxInbox")
    agent_count: int = field(name="agentCount")
    online_count: int = field(name="onlineCount")
    message_count: int = field(name="messageCount")
    broadcast_count: int = field(name="broadcastCount")
    oldest_unread: str | None = field(name="oldestUnread")
    time: str
    rates: RatesReport


class Refusal(Record, frozen=True, kw_only=True):
    """An error. Further members where they apply: field, position, line, names, allow, acknowledged, rejected.

    `too_fast` has its `reason`, and the agent `to` whom it is. With `outcome: unknown`, `id` is the one under which a
    send or broadcast can be repeated safely.
    """

    ok: bool = False
    code: str
    error: str
    retryable: bool
    field: str | None = None
    position: int | None = None
    outcome: Literal["none", "unknown"] | None = None
    id: Id | None = None
    names: list[str] | None = None
    line: int | None = None
    retry_after_s: int | None = None
    reason: str | None = None
    to: str | None = None


def _check_ids(ids: list[str]) -> None:
    for each in ids:
        check_id(each, "ids")
