"""The records that travel through postino, and the limits they keep.

Times leave postino as ISO 8601 in UTC with milliseconds; inside they are `*_ms`, milliseconds of
Valkey's clock since 1970.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from postino.errors import BadField, BadName, NameReserved

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
ID_PATTERN = r"[A-Za-z0-9._:-]{1,128}"
RESERVED = frozenset({"all", "human", "system", "postino"})
SYSTEM = "system"
ANONYMOUS = "anonymous"
MAX_BODY = 32_768  # characters
MAX_IDS = 200  # ids in one ack, nack, extend or requeue: as many as one read can give
MAX_PAGE = 200
DEFAULT_PAGE = 50
ANSWER_BUDGET = 24_000  # characters of one MCP read, below the 25,000-token cut of the known clients

#: what the scripts in lua/ emit
EVENTS = (
    *("msg_send", "msg_read", "msg_ack", "msg_nack", "msg_release", "msg_dead", "msg_requeue", "msg_expired"),
    *("msg_clear", "msg_notified", "dead_clear", "broadcast", "broadcast_read", "broadcast_clear"),
    *("agent_online", "agent_offline", "agent_rename", "agent_forget"),
)
#: what a stream of events says of itself
STREAM_EVENTS = ("connected", "gap", "dropped")

# their pattern is shown in the schemas; `check_*` refuses, in better words than msgspec's
Name = Annotated[str, Meta(extra_json_schema={"pattern": f"^{NAME_PATTERN}$"})]
Id = Annotated[str, Meta(extra_json_schema={"pattern": f"^{ID_PATTERN}$"})]
Text = Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": MAX_BODY})]
Ids = Annotated[list[Id], Meta(min_length=1, max_length=MAX_IDS)]
Limit = Annotated[int, Meta(ge=1, le=MAX_PAGE)]

Via = Literal["mcp", "http", "cli", "web", "system"]
State = Literal["queued", "leased", "acked", "dead", "expired", "cleared"]

_WORDS = {
    "`str`": "text",
    "`int`": "a whole number",
    "`float`": "a number",
    "`bool`": "true or false",
    "`array`": "a list",
    "`object`": "an object",
    "`null`": "null",
}
_NAME = re.compile(NAME_PATTERN)
_ID = re.compile(ID_PATTERN)
# C0 but \t \n \r, DEL and C1, bidi overrides and isolates, tag characters, lone surrogates
_REFUSED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f\ud800-\udfff]"
)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every record: immutable, built by keyword."""


class Draft(Record, frozen=True, kw_only=True):
    """A message as its sender hands it in, not yet accepted.

    Raises:
        BadName, BadField: when it is made; names the field.
    """

    id: str
    to: str
    body: str
    thread: str | None = None
    reply_to: str | None = None

    def __post_init__(self) -> None:
        check_id(self.id)
        check_name(self.to, "to")
        check_text(self.body, "body")
        for name in ("thread", "reply_to"):
            if (value := getattr(self, name)) is not None:
                check_id(value, name)


class BroadcastDraft(Record, frozen=True, kw_only=True):
    """A broadcast as its sender hands it in, not yet accepted.

    Raises:
        BadField: when it is made; names the field.
    """

    id: str
    body: str

    def __post_init__(self) -> None:
        check_id(self.id)
        check_text(self.body, "body")


class Sender(Record, frozen=True, kw_only=True):
    """Who sends, as the face that took the request knows it; `verified` when the face vouches for it."""

    name: str
    via: Via
    verified: bool = False
    session: str = ""  # must act as `name`: else nothing is stored, see store.WrongAgent


class Sent(Record, frozen=True, kw_only=True):
    """The answer to a send. `known` is false for a recipient nobody has seen; `names` are near ones."""

    ok: bool = True
    id: str
    to: str
    seq: int
    created: bool
    known: bool
    durability: str
    names: list[str] = []


class BroadcastSent(Record, frozen=True, kw_only=True):
    """The answer to a broadcast; `seq` is its gapless number."""

    ok: bool = True
    id: str
    seq: int
    created: bool
    durability: str


class Message(Record, frozen=True, kw_only=True):
    """A message as a reader gets it. `delivery` counts from 1; `redelivered` labels every repeat."""

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
    delivery: int = 0
    redelivered: bool = False


class Dead(Record, frozen=True, kw_only=True):
    """A message given up, with the reason: `max_deliveries`."""

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
    delivery: int = 0
    reason: str = ""
    died_at: str = ""


class Lease(Record, frozen=True, kw_only=True):
    """What a read leased to `consumer` for `lease_ms`; `more` could be read at once."""

    items: list[Message]
    more: bool
    consumer: str
    agent: str
    lease_ms: int


class Batch(Record, frozen=True, kw_only=True):
    """The outcome of a read: its `lease`, of which the first `resumed` items were held by the reader before.

    `died`: how many messages became dead letters instead.
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
        """Whether another read would give more at once."""
        return self.lease.more

    @property
    def agent(self) -> str:
        """The reader's present name."""
        return self.lease.agent


class Acknowledged(Record, frozen=True, kw_only=True):
    """What an ack or extend did to the ids; `rejected` are not leased to the caller."""

    ok: bool = True
    acknowledged: list[str]
    rejected: list[str]


class Returned(Record, frozen=True, kw_only=True):
    """What a nack gave back; `dead` are those whose last delivery this was."""

    ok: bool = True
    acknowledged: list[str]
    rejected: list[str]
    dead: list[str] = []


class MessageState(Record, frozen=True, kw_only=True):
    """The life of one message as its sender may ask for it. Times are None until they happened."""

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


class Announcement(Record, frozen=True, kw_only=True):
    """A broadcast as one agent reads it."""

    id: str
    seq: int
    from_: str = msgspec.field(name="from")
    verified: bool
    via: str
    body: str
    timestamp: str


class Broadcast(Announcement, frozen=True, kw_only=True):
    """A broadcast in the list of all. `seen` agents of the `agents` known ones have passed it."""

    seen: int
    agents: int


class BroadcastBatch(Record, frozen=True, kw_only=True):
    """What one read of the feed gave. `cursor` is the place behind its last item; `missed` left unread."""

    items: list[Announcement]
    more: bool
    missed: int
    cursor: str
    agent: str


class HistoryEntry(Record, frozen=True, kw_only=True):
    """An accepted message or broadcast (`kind`) and what became of it. `entry` is its place, for `before`."""

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
    state: State | None = None
    deliveries: int = 0
    reader: str | None = None
    leased_at: str | None = None
    lease_until: str | None = None
    settled_at: str | None = None
    reason: str | None = None
    notified: str = "none"


class HistoryPage(Record, frozen=True, kw_only=True):
    """A page of history, newest first; the next page is `before` the last item's `entry` while `more`."""

    items: list[HistoryEntry]
    more: bool
    before: str | None = None


class Agent(Record, frozen=True, kw_only=True):
    """A known agent. `messageCount` is unacknowledged mail; `lastSeen` is None for a name only written to."""

    name: str
    online: bool
    message_count: int = msgspec.field(name="messageCount")
    unread: int = 0
    dead: int = 0
    last_seen: str | None = msgspec.field(name="lastSeen")
    sessions: int = 0
    aliases: list[str] = []


class Check(Record, frozen=True, kw_only=True):
    """What waits for an agent: messages a read could return now, and unseen broadcasts."""

    agent: str
    unread_messages: int = msgspec.field(name="unreadMessages")
    unseen_broadcasts: int = msgspec.field(name="unseenBroadcasts")


class Renamed(Record, frozen=True, kw_only=True):
    """The answer to a rename: mail to `old` and the other `aliases` arrives at `name`."""

    ok: bool = True
    name: str
    old: str
    aliases: list[str]


class Joined(Record, frozen=True, kw_only=True):
    """The agent a session acts as. `shared` counts the other live sessions of that agent."""

    agent: str
    shared: int
    derived: bool


class Health(Record, frozen=True, kw_only=True):
    """Whether mail can be accepted now. `durability` is `fsync` when an accepted message is on disk."""

    ok: bool
    valkey: bool
    durability: str
    server: str
    warnings: list[str] = []
    error: str | None = None


class Event(Record, frozen=True, kw_only=True):
    """Something that happened: no bodies. `id` is the stream ID and the SSE id."""

    id: str
    type: str
    data: dict[str, str | int | list[str]]


def iso(ms: int) -> str:
    """Return `ms` of Valkey's clock as ISO 8601 in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def check_text(value: str, field: str, *, longest: int = MAX_BODY) -> str:
    """Return `value` if it is 1 to `longest` characters of displayable Unicode.

    Raises:
        BadField: names the field, and for a refused character its position from 0.
    """
    if not value:
        raise BadField(f"{field} must not be empty", field=field)
    if len(value) > longest:
        raise BadField(f"{field} has {len(value)} characters; at most {longest} are allowed", field=field)
    found = _REFUSED.search(value)
    if found:
        raise BadField(
            f"{field} holds the refused character U+{ord(found.group()):04X} at position {found.start()}",
            field=field,
            position=found.start(),
        )
    return value


def check_name(value: str, field: str = "name") -> str:
    """Return `value` if it can name an agent.

    Raises:
        BadName: names the field and says what a name may be.
    """
    check_party(value, field)
    if value.lower() in RESERVED:
        raise NameReserved(f"{field}: {value!r} is reserved; all, human, system and postino are", field=field)
    return value


def check_party(value: str, field: str) -> str:
    """Return `value` if it can stand in what is looked for: an agent, or `system`, which sends notices.

    Raises:
        BadName: names the field and says what a name may be.
    """
    if not _NAME.fullmatch(value):
        raise BadName(f"{field} must be 1 to 64 of A-Z a-z 0-9 . _ - and begin with a letter or digit", field=field)
    return value


def check_id(value: str, field: str = "id") -> str:
    """Return `value` if it can identify a message.

    Raises:
        BadField: names the field.
    """
    if not _ID.fullmatch(value):
        raise BadField(f"{field} must be 1 to 128 of A-Z a-z 0-9 . _ : -", field=field)
    return value


def digest(sender: str, body: str, thread: str | None, reply_to: str | None) -> str:
    """Return the fingerprint that decides whether a repeated id brings the same content."""
    content = msgspec.json.encode([sender, body, thread, reply_to])
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def visible(text: str) -> str:
    """Return `text` with every control character made visible, for terminals, hooks and logs."""
    return _REFUSED.sub(lambda found: f"\\u{{{ord(found.group()):x}}}", text)


def worded(problem: str) -> str:
    """Return what msgspec found wrong with a field in words that a person knows."""
    problem = problem.replace(" | null`", "`")  # what may be left out need not be called null
    for code, words in _WORDS.items():
        problem = problem.replace(code, words)
    problem = problem.replace("Invalid enum value", "not a known value:").replace("Expected", "must be")
    return (
        problem.replace(", got ", ", not ")
        .replace("of length >=", "with at least")
        .replace("of length <=", "with at most")
    )
