"""How often the API may be asked to render a body: a preview asks while somebody writes."""

from __future__ import annotations

import math
from collections import deque
from time import monotonic

from postino.errors import RateLimited

MOST = 300  # renderings a minute; a preview asks for two a second
MINUTE_S = 60.0


class Renderings:
    """Counts the renderings that were asked for: each takes up to 120 ms of the one thread that renders."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=MOST)

    def count(self) -> None:
        """Count one, or raise RateLimited if there were too many in the last minute."""
        now = monotonic()
        if len(self._times) == MOST and now - self._times[0] < MINUTE_S:
            wait = math.ceil(MINUTE_S - (now - self._times[0]))
            raise RateLimited(
                f"{MOST} texts were rendered within a minute; repeat this in {wait} s", retry_after_s=wait
            )
        self._times.append(now)
