"""The client's requests that have no answer yet: waiting for a daemon, or in flight. Standard library only.

When a daemon is lost, what it did not answer is repeated if that is safe, else answered with an error.
"""

from __future__ import annotations

from postino.relay.lines import SERVER_ERROR, WriteBuffer, error_line

TYPE_CHECKING = False  # as in main.py
if TYPE_CHECKING:
    from typing import Any

    Id = str | int

WAIT_S = 10.0  # that a request waits for a daemon
MAX_WAITING = 256  # requests
MAX_WAITING_BYTES = 1 << 20


class Request:
    """A request of the client."""

    __slots__ = ("deadline", "key", "line", "repeatable")

    def __init__(self, line: bytes, repeatable: bool, key: str | None) -> None:
        self.line = line
        self.repeatable = repeatable  # changes nothing that outlasts a daemon: if that is lost, the next gets it, once
        self.key = key  # the argument `id` that makes a repetition by the client safe
        self.deadline = 0.0


class Requests:
    """Keeps each request until it is answered, has waited too long, or is cancelled. Errors go to `to_client`."""

    def __init__(self, to_client: WriteBuffer) -> None:
        self.to_client = to_client
        self.waiting: dict[Id, Request] = {}  # for a daemon, in order
        self.in_flight: dict[Id, Request] = {}  # sent to the present daemon

    def __len__(self) -> int:
        return len(self.waiting) + len(self.in_flight)

    def wait(self, request_id: Id, request: Request, now: float) -> None:
        """Let a request wait for a daemon, at most WAIT_S."""
        if (
            len(self.waiting) >= MAX_WAITING
            or sum(len(each.line) for each in self.waiting.values()) > MAX_WAITING_BYTES
        ):
            return self.fail(request_id, "Too many requests wait for the postino daemon; nothing was done")
        request.deadline = now + WAIT_S
        self.waiting[request_id] = request

    def sent(self, request_id: Id, request: Request) -> None:
        """Note that a request is in flight."""
        if not request.repeatable:
            request.line = b""  # is not needed again
        self.in_flight[request_id] = request

    def answered(self, request_id: Id) -> None:
        """Forget a request that the daemon has answered."""
        self.in_flight.pop(request_id, None)

    def cancel(self, request_id: Id) -> bool:
        """Forget a request; return whether it was never sent."""
        self.in_flight.pop(request_id, None)
        return self.waiting.pop(request_id, None) is not None

    def take_waiting(self) -> dict[Id, Request]:
        """Return the waiting requests and keep them no longer."""
        waiting, self.waiting = self.waiting, {}
        return waiting

    def shorten_waits(self, deadline: float) -> None:
        """Let the waiting requests fail at `deadline` at the latest."""
        for request in self.waiting.values():
            request.deadline = min(request.deadline, deadline)

    def expire(self, now: float, reason: str) -> None:
        """Fail the requests that have waited too long."""
        for request_id in [each for each, request in self.waiting.items() if now >= request.deadline]:
            del self.waiting[request_id]
            self.fail(request_id, reason)

    def daemon_lost(self, now: float) -> None:
        """Let the repeatable requests in flight wait again, once, and fail the others."""
        in_flight, self.in_flight = self.in_flight, {}
        for request_id, request in in_flight.items():
            if request.repeatable:
                request.repeatable = False
                self.wait(request_id, request, now)
            else:
                self._fail_unknown(request_id, request.key)

    def _fail_unknown(self, request_id: Id, key: str | None) -> None:
        retry = "ask again" if key is None else f"a retry with id {key} is stored only once"
        text = f"The postino daemon went away before it answered: the outcome is unknown; {retry}"
        self.fail(request_id, text, {"outcome": "unknown", "id": key})

    def fail(self, request_id: Id, text: str, data: Any = None) -> None:
        """Answer a request with an error."""
        self.to_client.put(error_line(request_id, SERVER_ERROR, text, data))
