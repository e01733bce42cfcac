"""How a client makes a call: what is tried again, for how long, and what is not."""

from __future__ import annotations

import time

from postino.errors import PostinoError, StoreAway, Unreachable
from postino.transport import Answer, Transport, encoded, query_of

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable

    from postino.json_text import Json

PAUSES = (0.1, 1.0)  # s before the second try and before each later one
PATIENCE = 5.0  # s after which a daemon that does not answer is not tried again
FAILOVER = 10.0  # s for which a call is tried while Valkey is away: a failover takes 4 to 6 s
WAITED = 5.0  # s after which a long poll that fails was waiting: its time for tries begins anew


class Calls:
    """The part of a client that makes calls; the attributes are set by the client."""

    _transport: Transport
    _headers: dict[str, str]
    _seconds: float
    _start: Callable[[], object] | None

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Json | None = None,
        body: Json | None = None,
        repeat: bool = True,
        retry: Json | None = None,
        wait: float = 0,
        waits_in: str = "wait",
    ) -> Json:
        """Make a call. If it fails it is repeated where nothing was done, and with `repeat` where that is unknown.

        A daemon that does not answer is tried up to three times, and Valkey that is away for `_failover` s; neither
        counts for the other, as a daemon may be replaced while Valkey is away. A repeated call has `retry` added once
        its outcome was unknown. A long poll waits `wait` s in all, however often it is interrupted; the member
        `waits_in` of the body says how long each try waits.
        """
        target = f"/api/{path}{query_of(query or {})}"
        began = answered = time.monotonic()
        tries, failed = 0, 0  # all that have failed, and those that Valkey had no part in
        until = began + wait
        unknown: PostinoError | None = None  # an error with an unknown outcome is the one to report at last
        while True:
            tried = time.monotonic()
            left = max(0.001, round(until - tried, 3)) if wait else 0.0
            if wait:
                body = (body or {}) | {waits_in: left}
            try:
                return self._once(method, target, body, left).payload()
            except (Unreachable, StoreAway) as error:
                now = time.monotonic()
                if error.detail.get("outcome") != "none":
                    unknown = error
                    body = body | retry if body and retry else body
                if now - tried > WAITED and now < until:
                    began, answered, tries, failed = now, now, 0, 0
                if type(error) is StoreAway:  # StoreFull does not pass by itself
                    answered, over = now, now - began > self._failover
                else:
                    failed, over = failed + 1, failed >= len(PAUSES) or now - answered > PATIENCE
                if over or (unknown and not repeat):
                    raise _with_id(unknown or error, body) from None
                if isinstance(error, Unreachable) and error is not unknown:
                    self._start_or_raise(error, first=not tries and unknown is None)
            time.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
            tries += 1

    @property
    def _failover(self) -> float:
        return min(FAILOVER, self._seconds)

    def _start_or_raise(self, error: Unreachable, *, first: bool) -> None:
        """Start a daemon, or give up at once if none can be started and none was there before."""
        if self._start:
            self._start()
        elif first:
            raise error

    def _once(self, method: str, target: str, body: Json | None, wait: float) -> Answer:
        headers = dict(self._headers)
        payload = None
        if body is not None:
            payload = encoded({key: value for key, value in body.items() if value is not None})
            headers["Content-Type"] = "application/json"
        return self._transport.exchange(method, target, payload, headers, self._seconds + wait)


def _with_id(error: PostinoError, body: Json | None) -> PostinoError:
    """Add the id with which the caller can safely repeat the request."""
    if body and "id" in body:
        error.detail.setdefault("id", body["id"])
    return error
