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
        self._valid: dict[str, tuple[float, str | None]] = {}  # code -> its end, and the person it signs in

    def make(self, person: str | None) -> str:
        """Return a new code that signs a page in as `person`."""
        now = time.monotonic()
        self._valid = dict([each for each in self._valid.items() if each[1][0] > now][-MOST + 1 :])
        code = secrets.token_urlsafe(24)
        self._valid[code] = now + CODE_S, person
        return code

    def spend(self, code: str) -> tuple[bool, str | None]:
        """Return whether the code was valid, and for whom; make it invalid."""
        until, person = self._valid.pop(code, (0.0, None))
        return until > time.monotonic(), person
