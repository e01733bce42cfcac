"""Sign-in codes: each is good for one browser and 30 s.

A code travels in the fragment of an address, which stays out of requests, logs and Referer headers.
"""

from __future__ import annotations

import secrets
import time

CODE_S = 30  # from the command to the browser that it starts, with time for a slow one
MOST = 64  # codes at once: more than one person opens in 30 s; the oldest gives way


class Codes:
    """The codes of one daemon that are still good. They live in memory only."""

    def __init__(self) -> None:
        self._ends: dict[str, float] = {}

    def make(self) -> str:
        """Return a new code."""
        now = time.monotonic()
        self._ends = dict([each for each in self._ends.items() if each[1] > now][-MOST + 1 :])
        code = secrets.token_urlsafe(24)
        self._ends[code] = now + CODE_S
        return code

    def spend(self, code: str) -> bool:
        """Return whether the code was good; from now on it is not."""
        return self._ends.pop(code, 0.0) > time.monotonic()
