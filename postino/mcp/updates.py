"""Tell a client that has subscribed to its inbox of new mail."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from postino.errors import PostinoError
from postino.mcp.resources import INBOX
from postino.mcp.session import Session

COLLECT_S = 0.1  # after an arrival, so that a burst of mail makes one notification
RENAMED_S = 10.0  # after which a change of the session's agent is noticed that nothing told of


async def notify_of_mail(session: Session, put: Callable[[dict[str, Any]], object]) -> None:
    """Send the client a notification for each arrival while it is subscribed, until cancelled."""
    while True:
        await session.subscribed.wait()
        try:
            with session.broker.events.arrival(session.agent) as arrived:
                async with asyncio.timeout(RENAMED_S):
                    await arrived.wait()
        except TimeoutError:
            continue
        waits = session.is_waiting  # for a reply, which is then no news
        await asyncio.sleep(COLLECT_S)
        with contextlib.suppress(PostinoError):
            name = await session.name()
            if waits and not (await session.broker.agents.check(name)).unread_messages:
                continue  # there is no mail besides that reply
            if session.subscribed.is_set():
                params = {"uri": INBOX + name}
                put({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": params})
