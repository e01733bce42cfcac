"""Routes about the daemon itself: health and stats."""

from __future__ import annotations

import time

import msgspec
from aiohttp import web

from postino import __version__
from postino.rest.answers import answer
from postino.rest.call import Call
from postino.rest.records import HealthReport, Nothing, StatsReport


async def health(call: Call[Nothing, Nothing]) -> web.Response:
    """Say whether mail can be taken now: 200, or 503 with the reason."""
    found = await call.broker.health()
    report = HealthReport(
        ok=found.ok,
        valkey=found.valkey,
        durability=found.durability,
        uptime=int(time.monotonic() - call.shared.began),
        version=__version__,
        server=found.server,
        url=call.shared.url,
        warnings=found.warnings,
        error=found.error,
    )
    response = answer(report, 200 if found.ok else 503)
    if not found.ok:
        response.headers["Retry-After"] = "1"
    return response


async def stats(call: Call[Nothing, Nothing]) -> StatsReport:
    """Count agents, messages and broadcasts; rates are of the last minute."""
    counted = await call.broker.stats() | {"rates": call.shared.rates.report()}
    return msgspec.convert(counted, StatsReport)
