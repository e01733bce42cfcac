"""What the REST API takes and gives beyond the records of the model: one class for each body, query and answer."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta, field

from postino.model import DEFAULT_PAGE, Announcement, Id, Ids, Limit, Name, Record, Text

T = TypeVar("T")

WAIT_S = 60  # longest long poll: below the 90 s after which common proxies give up
DELAY_MS = 86_400_000  # longest delay of a nack, a day: as long as a message lives by default

Offset = Annotated[int, Meta(ge=0, le=1_000_000)]


class Asked(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what a caller hands in: an unknown field is refused."""


class Nothing(Asked, frozen=True, kw_only=True):
    """No parameters, or an empty body."""


class Paging(Asked, frozen=True, kw_only=True):
    """Which part of a list."""

    limit: Limit = DEFAULT_PAGE
    offset: Offset = 0


class SendBody(Asked, frozen=True, kw_only=True):
    """A message to one agent."""

    to: Name
    body: Text
    from_: Name | None = field(name="from", default=None)
    id: Id | None = None
    thread: Id | None = None
    reply_to: Id | None = None


class BroadcastBody(Asked, frozen=True, kw_only=True):
    """A message to all."""

    body: Text
    from_: Name | None = field(name="from", default=None)
    id: Id | None = None


class ReadQuery(Asked, frozen=True, kw_only=True):
    """How to read; each may stand in the query or in the body."""

    limit: Limit | None = None
    wait: Annotated[float, Meta(ge=0, le=WAIT_S)] | None = None
    ack: Literal["lease", "now"] | None = None
    resume: bool | None = None
    consumer: Id | None = None


class SettleBody(Asked, frozen=True, kw_only=True):
    """Which leased messages; the consumer may stand in X-Postino-Consumer instead."""

    ids: Ids
    consumer: Id | None = None


class NackBody(Asked, frozen=True, kw_only=True):
    """Which leased messages to give back, and how long nobody shall get them."""

    ids: Ids
    consumer: Id | None = None
    delay_ms: Annotated[int, Meta(ge=0, le=DELAY_MS)] | None = None


class BroadcastReadQuery(Asked, frozen=True, kw_only=True):
    """How many broadcasts to read; in the query or in the body."""

    limit: Limit | None = None


class RenameBody(Asked, frozen=True, kw_only=True):
    """The new name."""

    name: Name


class RequeueBody(Asked, frozen=True, kw_only=True):
    """Which dead letters; absent: all."""

    ids: Ids | None = None


class HistoryQuery(Asked, frozen=True, kw_only=True):
    """Which part of the history: sent or received by `agent`, with `with`, holding `q`, before an entry."""

    agent: Name | None = None
    with_: Name | None = field(name="with", default=None)
    q: str | None = None
    before: str | None = None
    limit: Limit = DEFAULT_PAGE


class EventsQuery(Asked, frozen=True, kw_only=True):
    """Which events: after the id `since`, of one agent, of some types (`a,b`); `as`: who the caller is."""

    since: str | None = None
    agent: Name | None = None
    type: str | None = None
    as_: Name | None = field(name="as", default=None)


class CodeBody(Asked, frozen=True, kw_only=True):
    """A sign-in code."""

    code: str


class Page(Record, Generic[T], frozen=True, kw_only=True):
    """A part of a list."""

    items: list[T]
    total: int
    limit: int
    offset: int


class Rejected(Record, frozen=True, kw_only=True, omit_defaults=True):
    """The 409 of an ack, nack or extend: some of the ids are not this consumer's; the others are settled."""

    ok: bool
    code: str
    error: str
    retryable: bool
    acknowledged: list[str]
    rejected: list[str]
    dead: list[str] = []


class FeedPart(Record, frozen=True, kw_only=True):
    """The broadcasts an agent had not seen; `missed` more were trimmed before it came."""

    items: list[Announcement]
    more: bool
    missed: int
    agent: str


class Cleared(Record, frozen=True, kw_only=True):
    """How many were dropped."""

    ok: bool = True
    cleared: int


class Requeued(Record, frozen=True, kw_only=True):
    """The ids that are back at the tail of the inbox."""

    ok: bool = True
    requeued: list[str]


class SignInCode(Record, frozen=True, kw_only=True):
    """Where the page is (`url`; None: TCP is off), and the code in it; no code where no token is wanted."""

    ok: bool = True
    code: str | None
    url: str | None
    expires_s: int


class SignedIn(Record, frozen=True, kw_only=True):
    """The token, for this browser tab; None where none is wanted."""

    ok: bool = True
    token: str | None


class Done(Record, frozen=True, kw_only=True):
    """It is done."""

    ok: bool = True


class Forgotten(Record, frozen=True, kw_only=True):
    """The names that were forgotten."""

    ok: bool = True
    forgotten: list[str]


class HealthReport(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Whether mail can be taken now; `uptime` in seconds, `server` without its password."""

    ok: bool
    valkey: bool
    durability: str
    uptime: int
    version: str
    server: str
    url: str | None = None
    warnings: list[str] = []
    error: str | None = None


class RatesReport(Record, frozen=True, kw_only=True):
    """What happened in the last 60 seconds, whoever did it."""

    sent: int
    read: int
    acknowledged: int
    dead: int
    broadcasts: int


class StatsReport(Record, frozen=True, kw_only=True):
    """Counts over all agents. `oldestUnread` is that of the first inboxes with mail, not of all."""

    version: str
    message_ttl: int = field(name="messageTtl")
    agent_count: int = field(name="agentCount")
    online_count: int = field(name="onlineCount")
    message_count: int = field(name="messageCount")
    broadcast_count: int = field(name="broadcastCount")
    oldest_unread: str | None = field(name="oldestUnread")
    time: str
    rates: RatesReport


class Refusal(Record, frozen=True, kw_only=True):
    """Every failure. More members where they apply: field, position, outcome, names, allow, acknowledged, rejected."""

    ok: bool = False
    code: str
    error: str
    retryable: bool
    field: str | None = None
    position: int | None = None
    outcome: str | None = None
    names: list[str] | None = None


def schema(kinds: list[Any]) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    """Return a JSON schema reference for each of `kinds`, and the components they refer to."""
    return msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
