"""Routes of the daemon itself: health, stats and metrics."""

from __future__ import annotations

import time

import msgspec
from aiohttp import web
from msgspec.structs import asdict

from postino import __version__
from postino.errors import BadRequest, NotifyFailed
from postino.model import iso
from postino.rest.answers import answer
from postino.rest.call import ApiCall, AppState
from postino.rest.records import HealthReport, Nothing, NotifyReport, StatsReport


async def health(call: ApiCall[Nothing, Nothing]) -> HealthReport | web.Response:
    """Report whether a message can be accepted now: 200, or 503 with the reason."""
    found = await call.broker.health()
    report = HealthReport(
        **asdict(found),
        uptime=int(time.monotonic() - call.state.started),
        version=__version__,
        url=call.state.url,
        notify=notify_report(call.state),
    )
    return report if found.ok else answer(report, 503)


def notify_report(state: AppState) -> NotifyReport | None:
    """Return how people are notified; None: POSTINO_NOTIFY_URL is not set."""
    notifications = state.notifications
    if notifications is None:
        return None
    failure = notifications.failure
    if failure is None:
        return NotifyReport(service=notifications.service)
    return NotifyReport(service=notifications.service, error=failure.why, since=iso(failure.since_ms))


async def notify(call: ApiCall[Nothing, Nothing]) -> NotifyReport:
    """Send a notification that says that it is a test. On the unix socket only."""
    call.check_unix("a test is sent on the unix socket only; run `postino doctor --notify`")
    notifications = call.state.notifications
    if notifications is None:
        raise BadRequest("POSTINO_NOTIFY_URL is not set in the daemon: set it, then `postino down && postino up`")
    if why := await notifications.test():
        raise NotifyFailed(f"the notification was not sent: {why}")
    return NotifyReport(service=notifications.service)


async def metrics(call: ApiCall[Nothing, Nothing]) -> web.Response:
    """Give the figures of this daemon and its store to Prometheus."""
    accept = ",".join(call.request.headers.getall("Accept", []))
    data, content_type = await call.state.metrics.text(accept)
    head = {"Content-Type": content_type, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return web.Response(body=data, headers=head)


async def stats(call: ApiCall[Nothing, Nothing]) -> StatsReport:
    """Count agents, messages and broadcasts; the rates are those of the last minute."""
    counted = await call.broker.stats() | {
        "rates": call.state.rates.report(),
        "maxInbox": call.state.settings.max_inbox,
    }
    return msgspec.convert(counted, StatsReport)
