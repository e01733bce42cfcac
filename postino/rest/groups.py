"""Routes of groups: list, join, leave."""

from __future__ import annotations

from postino.rest.call import ApiCall
from postino.rest.records import Nothing, Page, Paging
from postino.several import Group, Member
from postino.values import check_group


async def listing(call: ApiCall[Paging, Nothing]) -> Page[Group]:
    """List the groups with their members."""
    asked = call.query
    return asked.page(*await call.broker.groups.page(asked.limit, asked.offset))


async def join(call: ApiCall[Nothing, Nothing]) -> Member:
    """Make an agent a member of a group, which exists from its first member on."""
    return await call.broker.groups.add(_group(call), call.agent())


async def leave(call: ApiCall[Nothing, Nothing]) -> Member:
    """Take an agent out of a group, which ends with its last member."""
    return await call.broker.groups.remove(_group(call), call.agent())


def _group(call: ApiCall[Nothing, Nothing]) -> str:
    return check_group(call.path["group"])
