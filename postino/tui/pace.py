"""When the terminal inbox asks again for what it shows."""

from __future__ import annotations

import time

SHARE = 4  # times as long as the answers took, nothing is asked again: a fifth of the daemon's time at most
RETRY_S = 2.0  # after a call that failed


class Pace:
    """Lets one load follow another: after a change and a rest, or at once where somebody waits for it."""

    def __init__(self) -> None:
        self._stale = True
        self._began: float | None = None  # time.monotonic() of the load that is under way
        self._rests_until = 0.0
        self._hurried = False  # since the load that is under way began

    def change(self) -> None:
        """Note that what is shown is no longer all."""
        self._stale = True

    def hurry(self) -> None:
        """Ask again without a rest: somebody has done something, or the daemon answers again."""
        self._stale, self._hurried, self._rests_until = True, True, 0.0

    def begin(self) -> bool:
        """Return whether to load now; if so, `end` must follow."""
        now = time.monotonic()
        if not self._stale or self._began is not None or now < self._rests_until:
            return False
        self._stale, self._hurried, self._began = False, False, now
        return True

    def end(self, *, failed: bool = False) -> None:
        """Rest after a load, unless it hurries: the time that a daemon was away is none that it took."""
        now, began = time.monotonic(), self._began
        self._began, self._stale = None, self._stale or failed
        if began is not None and not self._hurried:
            self._rests_until = now + (RETRY_S if failed else SHARE * (now - began))
