"""Rates: the events of the last minute, counted as they happen."""

from __future__ import annotations

import time
from collections import Counter, deque

from postino.model import Event
from postino.rest.records import RatesReport

SPAN = 60  # seconds


class Rates:
    """Counts the events of each of the last 60 seconds, from every daemon on the same Valkey."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, Counter[str]]] = deque(maxlen=SPAN)

    def count(self, event: Event) -> None:
        """Count one event, by the number of ids it names."""
        now = int(time.monotonic())
        if not self._seconds or self._seconds[-1][0] != now:
            self._seconds.append((now, Counter()))
        ids = event.data.get("ids")
        self._seconds[-1][1][event.type] += len(ids) if isinstance(ids, list) else 1

    def report(self) -> RatesReport:
        """Return the counts of the last 60 seconds."""
        oldest = int(time.monotonic()) - SPAN
        total: Counter[str] = Counter()
        for second, counts in self._seconds:
            if second > oldest:
                total.update(counts)
        return RatesReport(
            sent=total["msg_send"],
            read=total["msg_read"],
            acknowledged=total["msg_ack"],
            dead=total["msg_dead"],
            broadcasts=total["broadcast"],
        )
