"""Warnings, a few at a time: refused callers, or a failure that each send meets, must not fill the disk with lines."""

from __future__ import annotations

import time

import structlog

EVERY_S = 10.0  # between two lines of one event

_log = structlog.get_logger()


class LimitedLog:
    """Logs each event at most once in EVERY_S, with the number of those that were left out before it."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}
        self._omitted: dict[str, int] = {}

    def warning(self, event: str, **fields: object) -> None:
        """Log `event`, a fixed word, or count it."""
        now = time.monotonic()
        if now - self._last.get(event, -EVERY_S) < EVERY_S:
            self._omitted[event] = self._omitted.get(event, 0) + 1
            return
        self._last[event] = now
        omitted = self._omitted.pop(event, 0)
        _log.warning(event, **fields, **({"omitted": omitted} if omitted else {}))
