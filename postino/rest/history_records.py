"""The records of the REST API for the history, its threads and rendered bodies."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from postino.broker.history_filter import Fate
from postino.model import Done, Tree
from postino.rest.records import Asked
from postino.schema import AnyName, Id, Limit, Text, Thread
from postino.values import DEFAULT_PAGE, TEXT_PATTERN, check_any_name, check_id, check_text, check_thread

QUERY = 256  # characters of a text to search for

_SoughtText = Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": QUERY, "pattern": TEXT_PATTERN})]
Entry = Annotated[str, Meta(extra_json_schema={"pattern": "^[0-9]{1,19}-[0-9]{1,19}$"})]


class InboxQuery(Asked, frozen=True, kw_only=True):
    """How much of a person's inbox, before an entry; `render`: each message with its body as a tree."""

    limit: Limit = DEFAULT_PAGE
    before: Entry | None = None
    render: bool = False


class RenderBody(Asked, frozen=True, kw_only=True):
    """A body to render."""

    body: Text

    def __post_init__(self) -> None:
        check_text(self.body, "body")


class Rendered(Done, frozen=True, kw_only=True):
    """A body as a tree; null: it is to be shown as written."""

    tree: Tree


class HistoryQuery(Asked, frozen=True, kw_only=True):
    """A part of the history: sent or received by `agent`, the other party `with`, containing `q`, before an entry.

    `q` is a text in the body, or the id, and `id` only that. `from` and `to` are sender and recipient. `state` is one
    state, or `waiting` (queued or leased), `read` (acked) or `dead` (dead or expired). `after` is an entry, too.
    `render`: each with its body as a tree.
    """

    agent: AnyName | None = None
    with_: AnyName | None = field(name="with", default=None)
    from_: AnyName | None = field(name="from", default=None)
    to: AnyName | None = None
    thread: Thread | None = None
    state: Fate | None = None
    q: _SoughtText | None = None
    id: Id | None = None
    after: Entry | None = None
    before: Entry | None = None
    limit: Limit = DEFAULT_PAGE
    render: bool = False

    def __post_init__(self) -> None:
        for name, value in (("agent", self.agent), ("with", self.with_), ("from", self.from_), ("to", self.to)):
            if value is not None:
                check_any_name(value, name)
        if self.thread is not None:
            check_thread(self.thread)
        if self.q is not None:
            check_text(self.q, "q", longest=QUERY)
        if self.id is not None:
            check_id(self.id)


class ThreadsQuery(Asked, frozen=True, kw_only=True):
    """Threads, those of `agent`, before an entry of the history."""

    agent: AnyName | None = None
    before: Entry | None = None
    limit: Limit = DEFAULT_PAGE

    def __post_init__(self) -> None:
        if self.agent is not None:
            check_any_name(self.agent, "agent")


class ThreadQuery(Asked, frozen=True, kw_only=True):
    """A part of a thread, before an entry. `render`: each message with its body as a tree."""

    before: Entry | None = None
    limit: Limit = DEFAULT_PAGE
    render: bool = False
