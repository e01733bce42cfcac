"""Parts of long lists of messages: what a caller asks for, and the page that answers it, with bodies as trees."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from msgspec.structs import replace

from postino.broker.people import PersonInbox
from postino.errors import BadPage
from postino.history_entry import HistoryPage
from postino.model import Broadcast, Message, Record
from postino.parts import Part, Place
from postino.rest.call import ApiCall
from postino.rest.history_records import Entry
from postino.rest.parse import entry_of
from postino.rest.records import Nothing, Paging

T = TypeVar("T")


class Parts(Paging, frozen=True, kw_only=True):
    """A part of a list, from `offset` on, or after or before an entry: `after` or `before` of an earlier page."""

    after: Entry | None = None
    before: Entry | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("offset", "after", "before") if getattr(self, name)]
        if len(given) > 1:
            raise BadPage(f"{' and '.join(given)} exclude one another; send one of them", field=given[-1])

    def place(self) -> Place:
        """Return where the part begins.

        Raises:
            BadPage: `after` or `before` is no entry.
        """
        return Place(self.offset, entry_of(self.after, "after"), entry_of(self.before, "before"))


class RenderedParts(Parts, frozen=True, kw_only=True):
    """A part of a list of texts; `render`: each with its body as a tree."""

    render: bool = False


class PartPage(Record, Generic[T], frozen=True, kw_only=True):
    """A part of a list, oldest first. With `before` or `after` in a request begins the page on that side of this one.

    They are null where nothing more is. `offset` is null in the answer to a request with one of them.
    """

    items: list[T]
    total: int
    limit: int
    offset: int | None
    before: str | None
    after: str | None


Texts = TypeVar("Texts", HistoryPage, PersonInbox, PartPage[Message], PartPage[Broadcast])


def page_of(asked: Parts, found: Part[T]) -> PartPage[T]:
    """Return the answer to a request for a part."""
    return PartPage(
        items=found.items,
        total=found.total,
        limit=asked.limit,
        offset=asked.offset if asked.after is None and asked.before is None else None,
        before=found.before,
        after=found.after,
    )


async def rendered(call: ApiCall[Any, Nothing], page: Texts) -> Texts:
    """Return a page; if the query says so with the bodies as trees, as far as there is time for them in one answer."""
    if not call.query.render:
        return page
    trees = await call.state.renderer.page([each.body for each in page.items])
    return replace(page, items=[replace(each, tree=tree) for each, tree in zip(page.items, trees, strict=True)])
