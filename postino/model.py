"""The records that every part of postino exchanges, and their limits.

Times are ISO 8601 in UTC with milliseconds in answers, and `*_ms` inside: milliseconds of Valkey's clock since 1970.
"""

from __future__ import annotations

import functools
import hashlib
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec

from postino.errors import BadField
from postino.values import ANONYMOUS as ANONYMOUS
from postino.values import SYSTEM as SYSTEM
from postino.values import check_choices, check_id, check_recipient, check_text, check_title

ANSWER_BUDGET = 24_000  # characters of one MCP read; known clients truncate an answer at 25,000 tokens

#: types of the events that the scripts in lua/ emit
EVENTS = (
    *("msg_send", "msg_read", "msg_ack", "msg_nack", "msg_release", "msg_dead", "msg_requeue", "msg_expired"),
    *("msg_clear", "msg_notified", "dead_clear", "broadcast", "broadcast_read", "broadcast_clear"),
    *("agent_online", "agent_offline", "agent_rename", "agent_forget", "group_join", "group_leave", "too_fast"),
    "msg_done",
)
#: types of the events about an event stream itself
STREAM_EVENTS = ("connected", "gap", "dropped", "store_away", "store_back")
_MS = [f".{ms:03}Z" for ms in range(1000)]  # to format one takes longer than all the rest of a time

Via = Literal["mcp", "http", "cli", "web", "system"]
State = Literal["queued", "leased", "acked", "dead", "expired", "cleared"]
Kind = Literal["agent", "human"]
Expects = Literal["reply", "none"]  # what a sender expects of the recipient
Activity = Literal["busy", "idle", "asking", "unknown"]
#: a body as a tree of tags and texts, see postino/render/tree.py; null: it is to be shown as written
Tree = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": ["array", "null"]})]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every record: immutable, keyword arguments only."""


class Draft(Record, frozen=True, kw_only=True):
    """A message to send. Making one raises BadName or BadField, naming the field, if a member is not allowed.

    Without `to` it goes to the sender of the message `reply_to`.
    """

    id: str
    to: str | None = None
    body: str
    thread: str | None = None
    reply_to: str | None = None
    expects: Expects | None = None
    choices: list[str] | None = None

    def __post_init__(self) -> None:
        check_id(self.id)
        if self.to is not None:
            msgspec.structs.force_setattr(self, "to", check_recipient(self.to))
        elif self.reply_to is None:
            raise BadField("to is missing; without it, `reply_to` says which message this answers", field="to")
        check_text(self.body, "body")
        if self.thread is not None:
            check_title(self.thread)
        if self.reply_to is not None:
            check_id(self.reply_to, "reply_to")
        if self.choices is not None:
            check_choices(self.choices)


class BroadcastDraft(Record, frozen=True, kw_only=True):
    """A broadcast to send. Making one raises BadField, naming the field, if a member is not allowed."""

    id: str
    body: str

    def __post_init__(self) -> None:
        check_id(self.id)
        check_text(self.body, "body")


class Sender(Record, frozen=True, kw_only=True):
    """The sender of a message or broadcast; `verified` if postino knows it to be this agent."""

    name: str
    via: Via
    verified: bool = False
    session: str = ""  # must act as `name`: else nothing is stored, see store.WrongAgent


class Done(Record, frozen=True, kw_only=True):
    """The request was carried out."""

    ok: bool = True


class Sent(Done, frozen=True, kw_only=True):
    """The answer to a send. `known` is false if the recipient has never been seen; `names` lists similar names.

    `online`, `state` and `lastSeen` are the recipient's; `reach` says in words when it will know of the message.
    `reply` is there if the sender waited for one: null if none came, and `note` says what becomes of it then. It also
    says so if this is a further answer to one message.
    """

    id: str
    to: str
    seq: int
    created: bool
    known: bool
    durability: str
    names: list[str] = []
    online: bool = False
    activity: Activity = msgspec.field(name="state", default="unknown")
    last_seen: str | None = msgspec.field(name="lastSeen", default=None)
    reach: str = ""
    reply: Message | msgspec.UnsetType | None = msgspec.UNSET
    note: str | msgspec.UnsetType = msgspec.UNSET


class BroadcastSent(Done, frozen=True, kw_only=True):
    """The answer to a broadcast; `seq` is its gapless number."""

    id: str
    seq: int
    created: bool
    durability: str


class Stored(Record, frozen=True, kw_only=True):
    """What a message and a dead letter have in common. `delivery` counts from 1.

    `choices` is there only if the sender offers some: a reply to the message whose body is one of them chooses it.
    `sent_to` is there if it went to a list: up to ten of the recipients, of `sent_to_total` where there are more.
    `altered`, here and below, is there only if it is true: the content is not what was accepted; the disk changed it.
    """

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
    sent_to: list[str] | msgspec.UnsetType = msgspec.UNSET
    sent_to_total: int | msgspec.UnsetType = msgspec.UNSET
    delivery: int = 0
    altered: bool | msgspec.UnsetType = msgspec.UNSET


class Message(Stored, frozen=True, kw_only=True):
    """A message as a reader gets it. `redelivered` marks every repeat.

    `tree`, here and below, is the body as a tree, where the caller asked for it and there was the time to make it.
    """

    redelivered: bool = False
    tree: Tree | msgspec.UnsetType = msgspec.UNSET


class OpenMessage(Message, frozen=True, kw_only=True):
    """A message in a person's inbox. `opened_at` and `opened_by` are None until somebody has seen it.

    `to` is the person, or `human` for a message to all people, which another of them may have opened.
    """

    opened_at: str | None = None
    opened_by: str | None = None


class Dead(Stored, frozen=True, kw_only=True):
    """A dead letter: a message that was given up. `reason` is `max_deliveries`, `expired` or `altered`."""

    reason: str = ""
    died_at: str = ""


class Lease(Record, frozen=True, kw_only=True):
    """The messages that a read leased to `consumer` for `lease_ms`; `more`: further ones can be read now."""

    items: list[Message]
    more: bool
    consumer: str
    agent: str
    lease_ms: int


class Batch(Record, frozen=True, kw_only=True):
    """The result of a read: its `lease`, of which the reader held the first `resumed` items before.

    `died` counts the messages that became dead letters instead.
    """

    lease: Lease
    resumed: int = 0
    died: int = 0

    @property
    def items(self) -> list[Message]:
        """The leased messages."""
        return self.lease.items

    @property
    def more(self) -> bool:
        """Whether further messages can be read now."""
        return self.lease.more

    @property
    def agent(self) -> str:
        """The reader's current name."""
        return self.lease.agent


class Acknowledged(Done, frozen=True, kw_only=True):
    """The answer to an ack or extend; the `rejected` ids are not leased to the caller."""

    acknowledged: list[str]
    rejected: list[str]


class Returned(Acknowledged, frozen=True, kw_only=True):
    """The answer to a nack; the `dead` ids had their last delivery."""

    dead: list[str] = []


class MessageState(Record, frozen=True, kw_only=True):
    """The state of one message, for its sender. A time is None until the event has happened."""

    id: str
    to: str
    from_: str = msgspec.field(name="from")
    seq: int
    state: State
    timestamp: str
    deliveries: int = 0
    reader: str | None = None
    leased_at: str | None = None
    lease_until: str | None = None
    settled_at: str | None = None
    reason: str | None = None
    notified: str = "none"
    notified_at: str | None = None


class StoredBroadcast(Record, frozen=True, kw_only=True):
    """What all forms of a broadcast have in common; an agent gets no body of one that is `altered`."""

    id: str
    seq: int
    from_: str = msgspec.field(name="from")
    verified: bool
    via: str
    body: str
    timestamp: str
    altered: bool | msgspec.UnsetType = msgspec.UNSET


class UnseenBroadcast(StoredBroadcast, frozen=True, kw_only=True):
    """A broadcast that an agent has not seen as far as is known; `redelivered`: it was given to it before."""

    redelivered: bool = False


class Broadcast(StoredBroadcast, frozen=True, kw_only=True):
    """A broadcast in the list of all: `seen` of the `agents` known agents have read past it.

    `seenBy` and `notSeenBy` name up to ten of each, those first that have read least.
    """

    seen: int
    agents: int
    seen_by: list[str] = msgspec.field(name="seenBy", default_factory=list)
    not_seen_by: list[str] = msgspec.field(name="notSeenBy", default_factory=list)
    tree: Tree | msgspec.UnsetType = msgspec.UNSET


class Departure(Record, frozen=True, kw_only=True):
    """A line among the broadcasts, which nobody has sent: an agent has left, and is not back."""

    kind: Literal["departure"] = "departure"
    from_: str = msgspec.field(name="from", default=SYSTEM)
    agent: str
    timestamp: str

    @property
    def ms(self) -> int:
        """When it was, in milliseconds."""
        return round(datetime.fromisoformat(self.timestamp).timestamp() * 1000)


class BroadcastBatch(Record, frozen=True, kw_only=True):
    """The broadcasts of one read. `cursor` is the position after the last; `missed` were trimmed before that."""

    items: list[UnseenBroadcast]
    more: bool
    missed: int
    cursor: str
    agent: str


class Agent(Record, frozen=True, kw_only=True):
    """A known agent. `messageCount` counts unacknowledged messages; `lastSeen` is None if it never called.

    `oldestUnread` is the time since which the first of them waits, None if there is none.

    `client` and `directory` are those of its latest session, None where they are not known. `state` is known for the
    sessions of this daemon whose client reports it.
    """

    name: str
    kind: Kind = "agent"
    online: bool
    activity: Activity = msgspec.field(name="state", default="unknown")
    client: str | None = None
    directory: str | None = None
    message_count: int = msgspec.field(name="messageCount")
    unread: int = 0
    oldest_unread: str | None = msgspec.field(name="oldestUnread", default=None)
    dead: int = 0
    last_seen: str | None = msgspec.field(name="lastSeen")
    sessions: int = 0
    aliases: list[str] = []
    groups: list[str] = []


class Check(Record, frozen=True, kw_only=True):
    """The messages that a read would return now, and the unseen broadcasts, of one agent."""

    agent: str
    unread_messages: int = msgspec.field(name="unreadMessages")
    unseen_broadcasts: int = msgspec.field(name="unseenBroadcasts")


class Renamed(Done, frozen=True, kw_only=True):
    """The answer to a rename: messages to `old` and to the other `aliases` go to `name`."""

    name: str
    old: str
    aliases: list[str]


class WhoAmI(Record, frozen=True, kw_only=True):
    """Which agent a caller of the API is; None: postino does not know. What it sends as that agent is `verified`."""

    agent: str | None
    verified: bool


class Health(Record, frozen=True, kw_only=True):
    """Whether mail can be accepted now. `durability` is `fsync` when an accepted message is on disk."""

    ok: bool
    valkey: bool
    durability: str
    server: str
    warnings: list[str] = []
    error: str | None = None


class Event(Record, frozen=True, kw_only=True):
    """An event, without message bodies. `id` is the stream ID and the SSE id."""

    id: str
    type: str
    data: dict[str, str | int | list[str]]


def iso(ms: int) -> str:
    """Return `ms` of Valkey's clock as ISO 8601 in UTC."""
    return f"{_second(ms // 1000)}{_MS[ms % 1000]}"


@functools.lru_cache(1024)  # a busy daemon names the same seconds again and again
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")


def digest(sender: str, body: str, thread: str | None, reply_to: str | None, extras: str = "") -> str:
    """Return the fingerprint that decides whether a repeated id has the same content.

    `extras` is the JSON of what few messages have, '' for nothing.
    """
    content = msgspec.json.encode([sender, body, thread, reply_to, *([msgspec.Raw(extras.encode())] if extras else [])])
    return hashlib.blake2b(content, digest_size=16).hexdigest()
