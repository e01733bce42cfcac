"""The paths that aiohttp's router has matched, so that it need not match them again.

It costs a request as much as all the checks of admission: four coroutines, and an object that knows the applications.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import hdrs, web

Answering = Callable[[Any], Awaitable[web.StreamResponse]]  # of a web.Request: the application makes no other

_MOST = 1024  # paths that are remembered
_LONGEST = 200  # characters of one


class KnownPaths:
    """Who answers the requests of paths that were asked for before."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Answering] = {}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, request: web.BaseRequest) -> Answering | None:
        """Return who answers a request; None if its path is new, or if there is more to do than to answer."""
        found = self._known.get((request.method, request.raw_path.partition("?")[0]))
        return None if found is None or hdrs.EXPECT in request.headers else found

    def note(self, request: web.Request, answering: Answering) -> None:
        """Note who answers requests with the method and path of this one."""
        path = request.raw_path.partition("?")[0]
        if len(path) <= _LONGEST:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[request.method, path] = answering
