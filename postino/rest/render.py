"""Bodies as trees: the route that renders one, and the rendering of the bodies in a list."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from postino.errors import RateLimited
from postino.history_entry import HistoryEntry
from postino.model import Broadcast, Message, OpenMessage
from postino.rest.call import ApiCall
from postino.rest.history_records import RenderBody, Rendered
from postino.rest.records import Nothing

if TYPE_CHECKING:
    from postino.render.renderer import Renderer

MOST = 300  # renderings a minute, each up to 120 ms of the one thread that renders; a preview asks for two a second

Item = TypeVar("Item", Message, OpenMessage, Broadcast, HistoryEntry)


async def render(call: ApiCall[Nothing, RenderBody]) -> Rendered:
    """Render a body, as for a preview while it is being written. Nothing is stored."""
    if call.body.body not in call.state.renderer and (wait_s := call.state.renderings.count(MOST)):
        raise RateLimited(
            f"{MOST} texts were rendered within a minute; repeat this in {wait_s} s", retry_after_s=wait_s
        )
    return Rendered(tree=await call.state.renderer.one(call.body.body))


async def with_trees(renderer: Renderer, items: list[Item]) -> list[Item]:
    """Return `items` with the trees of their bodies, as far as they can be made in the time of one answer."""
    trees = await renderer.page([each.body for each in items])
    return [msgspec.structs.replace(each, tree=tree) for each, tree in zip(items, trees, strict=True)]
