"""How often something was done in the last minute, within a limit."""

from __future__ import annotations

import math
from collections import deque
from time import monotonic

MINUTE_S = 60.0


class LastMinute:
    """The times of the last minute at which something was done."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def count(self, most: int) -> int:
        """Count what is done now, and return 0; if it was done `most` times, return in how many seconds it may be."""
        now = monotonic()
        while self._times and now - self._times[0] >= MINUTE_S:
            self._times.popleft()
        if len(self._times) >= most:
            return math.ceil(MINUTE_S - (now - self._times[0]))
        self._times.append(now)
        return 0
