"""Parts of long lists of messages: what a caller asks for, and the page that answers it."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from postino.errors import BadPage
from postino.model import Broadcast, Message, Record
from postino.parts import Part, Place
from postino.rest.call import ApiCall
from postino.rest.history_records import Entry
from postino.rest.parse import entry_of
from postino.rest.records import Nothing, Paging
from postino.rest.render import with_trees

T = TypeVar("T")
Text = TypeVar("Text", Message, Broadcast)


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


async def text_page(call: ApiCall[RenderedParts, Nothing], found: Part[Text]) -> PartPage[Text]:
    """Return the answer to a request for a part, with the bodies as trees if it says so."""
    page = page_of(call.query, found)
    if not call.query.render:
        return page
    return msgspec.structs.replace(page, items=await with_trees(call.state.renderer, found.items))
