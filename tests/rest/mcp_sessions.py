"""Mail and sessions for the tests of MCP over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from postino.rest.app import STATE
from tests.mcp_http import HttpClient

Open = Callable[..., Awaitable[HttpClient]]


async def front(api: Any) -> Any:
    return await api.client.app[STATE].mcp.http()


async def only_session(api: Any) -> Any:
    (found,) = (await front(api))._open.values()
    return found
