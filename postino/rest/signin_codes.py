"""Sign-in codes: each works once and for 30 s.

A code is passed in the fragment of an address, which browsers leave out of requests and Referer headers.
"""

from __future__ import annotations

import secrets
import time

CODE_S = 30  # s from the command to the page: time for a slow browser to start
MOST = 64  # codes at once, more than a person uses in 30 s; the oldest is dropped


class SignInCodes:
    """The valid codes of one daemon, in memory only."""

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
        """Return whether the code was valid, and make it invalid."""
        return self._ends.pop(code, 0.0) > time.monotonic()
