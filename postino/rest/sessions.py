"""Route of the sessions that are connected to this daemon."""

from __future__ import annotations

import asyncio
import time

from msgspec import field

from postino.mcp.connected import ConnectedSession
from postino.model import Activity, Record, iso
from postino.rest.call import ApiCall
from postino.rest.records import Nothing, Page, Paging


class SessionReport(Record, frozen=True, kw_only=True):
    """A session that is connected to this daemon, as its client's hooks and the wakes have shown it.

    `client` is as its handshake names it, `version` that of its relay. `last_hook` None: no hook has been heard on this
    connection; `reconnected`: it had an earlier one, for instance to a daemon that has been replaced. `plugin`: Claude
    Code's plugin has started it; None: its relay does not say. `wakeable`: there is a way to start a turn in it.
    `woken` tells whether the client took the last wake; None: there was none.
    """

    agent: str | None
    client: str | None
    version: str | None
    directory: str | None
    state: Activity
    last_hook: str | None = field(name="lastHook")
    reconnected: bool
    plugin: bool | None = None
    wakeable: bool
    last_wake: str | None = field(name="lastWake")
    woken: bool | None


async def listing(call: ApiCall[Paging, Nothing]) -> Page[SessionReport]:
    """List the sessions connected to this daemon: when their hooks were heard, whether they were woken."""
    asked, found = call.query, sorted(call.state.mcp.sessions, key=lambda each: each.session.id)
    items = [
        _session(each, call.state.wakes.reaches(each)) for each in found[asked.offset : asked.offset + asked.limit]
    ]
    return asked.page(items, len(found))


def _session(connected: ConnectedSession, wakeable: bool) -> SessionReport:
    hello = connected.session.hello
    return SessionReport(
        agent=connected.agent or connected.session.agent,
        client=hello.client,
        version=hello.version,
        directory=hello.directory,
        state={True: "idle", False: "busy", None: "unknown"}[connected.idle],  # type: ignore[arg-type]
        last_hook=_when(connected.last_hook_at),
        reconnected=hello.generation > 1,
        plugin=hello.plugin,
        wakeable=wakeable,
        last_wake=_when(connected.wakes_at[-1] if connected.wakes_at else 0.0),
        woken=connected.woken,
    )


def _when(at: float) -> str | None:
    """Return a time of the event loop's clock by this machine's; None for 0, which stands for never."""
    return iso(int((time.time() - asyncio.get_running_loop().time() + at) * 1000)) if at else None
