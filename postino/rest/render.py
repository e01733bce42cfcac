"""The route that renders a body as a tree."""

from __future__ import annotations

from postino.errors import RateLimited
from postino.rest.call import ApiCall
from postino.rest.history_records import RenderBody, Rendered
from postino.rest.records import Nothing

MOST = 300  # renderings a minute, each up to 120 ms of the one thread that renders; a preview asks for two a second


async def render(call: ApiCall[Nothing, RenderBody]) -> Rendered:
    """Render a body, as for a preview while it is being written. Nothing is stored."""
    if call.body.body not in call.state.renderer and (wait_s := call.state.renderings.count(MOST)):
        raise RateLimited(
            f"{MOST} texts were rendered within a minute; repeat this in {wait_s} s", retry_after_s=wait_s
        )
    return Rendered(tree=await call.state.renderer.one(call.body.body))
