"""A daemon broken on purpose: `python -m tests.faults.broken VARIANT`. What the checker must find.

Each variant changes one thing that a promise rests on, and nothing else.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from postino import __main__
from postino.errors import StoreAway
from postino.mcp import tools
from postino.store import inbox, scripts


def no_look_up() -> None:
    """A send does not look up whether its id was accepted before."""
    _edit("send", lambda source: _once(source, "\n  if existing then\n", "\n  if false then\n"))


def new_before_old() -> None:
    """A read takes new messages before those that were returned."""

    def edit(source: str) -> str:
        start = source.index("if leased_count > 0 then")
        end = source.index("local new, examined = {}, 0")
        last = source.index("if #ids > 0 then", end)
        return source[:start] + source[end:last] + source[start:end] + source[last:]

    _edit("read", edit)


def acknowledges_at_once() -> None:
    """A read acknowledges in the same step, as XREADGROUP with NOACK would."""
    whole = inbox.Inboxes.read

    async def read(self: Any, *names: Any, **options: Any) -> Any:
        return await whole(self, *names, **options | {"ack_now": True})

    inbox.Inboxes.read = read  # type: ignore[method-assign]


def acknowledges_an_error() -> None:
    """Every third `msg_read` answers an error, and acknowledges what that answer did not show."""
    reads = itertools.count(1)
    whole = tools.TOOLS["msg_read"].handler

    async def msg_read(call: tools.ToolCall, given: Any) -> Any:
        if next(reads) % 3:
            return await whole(call, given)
        session = call.session
        batch = await session.acting(lambda agent: session.broker.mail.read(agent, session.id, limit=3))
        await session.broker.mail.ack(batch.agent, session.id, [each.id for each in batch.items])
        raise StoreAway("broken on purpose", outcome="none")

    tools.TOOLS["msg_read"] = replace(tools.TOOLS["msg_read"], handler=msg_read)


def prolongs_the_unshown() -> None:
    """Every third `msg_read` loses its answer: its leases are extended for ever, and no later read begins with them."""
    read_whole = inbox.Inboxes.read
    reads = itertools.count(1)
    whole = tools.TOOLS["msg_read"].handler
    tasks = set()

    async def prolong(mail: Any, agent: str, session: str, ids: list[str]) -> None:
        while (await mail.extend(agent, session, ids)).acknowledged:  # noqa: ASYNC110
            await asyncio.sleep(0.2)

    async def msg_read(call: tools.ToolCall, given: Any) -> Any:
        if next(reads) % 3:
            return await whole(call, given)
        session, mail = call.session, call.session.broker.mail
        batch = await session.acting(lambda agent: mail.read(agent, session.id, limit=3))
        if batch.items:
            ids = [each.id for each in batch.items]
            tasks.add(asyncio.create_task(prolong(mail, batch.agent, session.id, ids)))
        raise StoreAway("broken on purpose", outcome="unknown")

    async def read(self: Any, *names: Any, **options: Any) -> Any:
        return await read_whole(self, *names, **options | {"shown": None})

    inbox.Inboxes.read = read  # type: ignore[method-assign]
    tools.TOOLS["msg_read"] = replace(tools.TOOLS["msg_read"], handler=msg_read)


def _edit(name: str, change: Callable[[str], str]) -> None:
    """Let a script be loaded with another source."""
    whole = scripts.load

    def load(folder: Any) -> Any:
        loaded = whole(folder)
        return loaded | {name: msgspec.structs.replace(loaded[name], source=change(loaded[name].source))}

    scripts.load = load


def _once(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


VARIANTS: dict[str, Callable[[], None]] = {
    each.__name__: each
    for each in (no_look_up, new_before_old, acknowledges_at_once, acknowledges_an_error, prolongs_the_unshown)
}

if __name__ == "__main__":
    VARIANTS[sys.argv[1]]()
    sys.argv = ["postino", "serve"]
    sys.exit(__main__.main())
