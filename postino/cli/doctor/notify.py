"""The link to a person who has no page open: notifications by POSTINO_NOTIFY_URL."""

from __future__ import annotations

from typing import Any

from postino.cli.command import Command, sentence
from postino.cli.doctor.finding import Finding, note, ok, wrong
from postino.errors import PostinoError
from postino.transport import Transport

JSON = {"Content-Type": "application/json"}
SEND_S = 20.0  # that a notification may take: a service has 15 s
CORRECT = "correct POSTINO_NOTIFY_URL, `postino down && postino up`, then `postino doctor --notify`"


def notify(health: dict[str, Any], command: Command, *, send: bool) -> Finding:
    """Check that notifications are sent; with `send` send one now."""
    found = health.get("notify")
    if found is None:
        off = "off: POSTINO_NOTIFY_URL is not set in the daemon"
        return (
            note("notify", "notify_off", off, "docs/notifications.md says what to set") if send else ok("notify", off)
        )
    if send:
        try:
            Transport(command.settings.home.socket).exchange("POST", "/api/notify", b"{}", JSON, SEND_S).payload()
        except PostinoError as error:
            return wrong("notify", error.code, sentence(error), CORRECT)
        return ok("notify", f"{found['service']} took a test notification")
    if found.get("error"):
        return wrong("notify", "notify_failing", f"none was sent since {found['since']}: {found['error']}", CORRECT)
    return ok("notify", f"{found['service']}; `postino doctor --notify` sends a test")
