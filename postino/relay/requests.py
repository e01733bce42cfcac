"""The client's requests that have no answer yet: waiting for a daemon, or in flight. Standard library only.

What is safe to repeat is repeated when the daemon is lost, and a send also when the store is away, for REPEAT_S in all.
"""

from __future__ import annotations

from postino.relay.lines import SERVER_ERROR, WriteBuffer, error_line, refusal

TYPE_CHECKING = False  # as in main.py
if TYPE_CHECKING:
    from typing import Any

    from postino.relay.lines import Id

WAIT_S = 20.0  # that a request waits for a daemon to be sent to at all: on a busy machine a start takes 10 s
REPEAT_S = 20.0  # from the first sending on: in this time a request is repeated, at its end it is answered
LAST_REPEAT_S = 2.0  # before that end; a daemon that serves answers sooner
AWAY_S = 0.5  # in which a call without a key is repeated while the store is away, which a restart of it may take
FIRST_PAUSE_S, MAX_PAUSE_S = 0.05, 2.0  # between two sendings, doubled each time
MAX_WAITING = 256  # requests
MAX_WAITING_BYTES = 1 << 20


class Request:
    """A request of the client."""

    __slots__ = ("deadline", "due", "key", "line", "patience", "pause", "repeatable", "sent_at", "unknown")

    def __init__(self, line: bytes, repeatable: bool, key: str | None, patience: float = 0.0) -> None:
        self.line = line
        self.repeatable = repeatable  # it may be carried out twice
        self.key = key  # the argument `id` that makes a repetition safe, by the client too
        self.patience = patience  # s that it waits by its own will, each time that it is sent
        self.deadline = 0.0  # for its answer
        self.due = 0.0  # not to be sent again before
        self.pause = FIRST_PAUSE_S
        self.sent_at: float | None = None  # first
        self.unknown = False  # it may have been carried out


class Requests:
    """Keeps each request until it is answered, has waited too long, or is cancelled. Errors go to `to_client`."""

    def __init__(self, to_client: WriteBuffer) -> None:
        self.to_client = to_client
        self.waiting: dict[Id, Request] = {}  # for a daemon, or to be repeated; in order
        self.in_flight: dict[Id, Request] = {}  # sent to the present daemon

    def __len__(self) -> int:
        return len(self.waiting) + len(self.in_flight)

    def wait(self, request_id: Id, request: Request, now: float) -> None:
        """Let a request wait to be sent: the first time at most WAIT_S."""
        if (
            len(self.waiting) >= MAX_WAITING
            or sum(len(each.line) for each in self.waiting.values()) > MAX_WAITING_BYTES
        ):
            return self._give_up(request_id, request, "Too many requests wait for the postino daemon; nothing was done")
        if request.sent_at is None or request.patience:
            request.deadline = now + WAIT_S
        else:
            request.deadline = request.sent_at + REPEAT_S
        self.waiting[request_id] = request

    def sent(self, request_id: Id, request: Request, now: float) -> None:
        """Note that a request is in flight."""
        if not request.repeatable:
            request.line = b""  # is not needed again
        if request.sent_at is None:
            request.sent_at = now
        request.deadline = (now if request.patience else request.sent_at) + REPEAT_S + request.patience
        self.in_flight[request_id] = request

    def answered(self, request_id: Id, answer: dict[str, Any], now: float) -> bool:
        """Note the daemon's answer; return whether it is for the client.

        It is not where nobody waits for it any more, where the request is repeated because the store is away, and where
        it says that nothing was done although an earlier sending may have been carried out.
        """
        request = self.in_flight.pop(request_id, None)
        if request is None:
            return False
        code, outcome = refusal(answer)
        if code == "store_away" and request.repeatable and request.sent_at is not None:
            request.unknown |= outcome != "none"
            until = request.sent_at + (REPEAT_S - LAST_REPEAT_S if request.key else AWAY_S)
            if now + request.pause < until:
                request.due = now + request.pause
                request.pause = min(2 * request.pause, MAX_PAUSE_S)
                self.wait(request_id, request, now)
                return False
        if request.unknown and outcome == "none":
            self._fail_unknown(request_id, request.key)
            return False
        return True

    def cancel(self, request_id: Id) -> bool:
        """Forget a request; return whether it was never sent."""
        self.in_flight.pop(request_id, None)
        request = self.waiting.pop(request_id, None)
        return request is not None and request.sent_at is None

    def take_due(self, now: float) -> dict[Id, Request]:
        """Return the waiting requests that are to be sent now and keep them no longer."""
        due = {request_id: request for request_id, request in self.waiting.items() if request.due <= now}
        for request_id in due:
            del self.waiting[request_id]
        return due

    def end_waits(self) -> None:
        """Let the waiting requests fail when `expire` is called next."""
        for request in self.waiting.values():
            request.deadline = 0.0

    def expire(self, now: float, reason: str) -> list[Id]:
        """Fail the requests that have waited too long; return those of them that are in flight."""
        for request_id in [each for each, request in self.waiting.items() if now >= request.deadline]:
            self._give_up(request_id, self.waiting.pop(request_id), reason)
        silent = [each for each, request in self.in_flight.items() if now >= request.deadline]
        for request_id in silent:
            self._fail_unknown(request_id, self.in_flight.pop(request_id).key)
        return silent

    def daemon_lost(self, now: float) -> None:
        """Let the repeatable requests in flight wait again, and fail the others."""
        in_flight, self.in_flight = self.in_flight, {}
        for request_id, request in in_flight.items():
            request.unknown = True
            if request.repeatable:
                self.wait(request_id, request, now)
            else:
                self._fail_unknown(request_id, request.key)

    def _give_up(self, request_id: Id, request: Request, reason: str) -> None:
        if request.unknown:
            self._fail_unknown(request_id, request.key)
        else:
            self.fail(request_id, reason)

    def _fail_unknown(self, request_id: Id, key: str | None) -> None:
        retry = "ask again" if key is None else f"a retry with id {key} is stored only once"
        text = f"The postino daemon did not confirm this call: the outcome is unknown; {retry}"
        self.fail(request_id, text, {"outcome": "unknown", "id": key})

    def fail(self, request_id: Id, text: str, data: Any = None) -> None:
        """Answer a request with an error."""
        self.to_client.put(error_line(request_id, SERVER_ERROR, text, data), request_id)
