"""`postino mcp`: carry one client's JSON-RPC between stdio and the daemon's socket. Here: the client's side.

Every session of a client pays for this process, so it is one thread with one `poll()`, and imports a handful of
standard modules: no asyncio, no subprocess, and of postino little more than this package.

stdin and stdout stay blocking, as other processes that share them expect: a read follows `poll()`, and a write is at
most PIPE_BUF bytes, which a descriptor that `poll()` calls writable takes at once.
"""

from __future__ import annotations

import os
import select
import time

from postino import __version__
from postino.home import home_of, is_placeholder
from postino.json_text import loads
from postino.relay.daemon_link import CHUNK, MAX_BUFFERED, DaemonLink, debug
from postino.relay.lines import (
    CONTROL,
    END_BYTES,
    INVALID_REQUEST,
    LINE_LIMIT,
    MAX_DEPTH,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    SERVER_ERROR,
    LineBuffer,
    WriteBuffer,
    ensure_id,
    error_line,
    find_id,
    is_repeatable,
    parse,
    patience,
)
from postino.relay.requests import WAIT_S, Request

TYPE_CHECKING = False  # of typing, whose import would cost 4 ms and 0.6 MB
if TYPE_CHECKING:
    import signal
    from typing import Any

    from postino.relay.lines import Id
    from postino.relay.renewal import Renewal
else:
    import _signal as signal  # all that is needed: the enums of signal would cost 0.5 ms and 40 KB


LINGER_S = WAIT_S + 1.0  # after the end of stdin, if a request has no answer yet or its answer is not yet written

TOO_LONG = f"Invalid request: a line has at most {LINE_LIMIT} bytes"
TOO_DEEP = f"Invalid request: nested more than {MAX_DEPTH} deep"


class Relay:
    """Carries the lines of one client on stdin and stdout."""

    def __init__(self, home: str, refusal: str | None = None) -> None:
        self.from_client, self.to_client = LineBuffer(), WriteBuffer()
        self.daemon = DaemonLink(home, self.to_client, refusal)
        self.stdin_open = True
        self.client_gone = False  # stdout has been closed
        self.exit_at = 0.0  # once stdin has ended
        self.renewal: Renewal | None = None  # it is asked which version is installed now

    def run(self) -> int:
        """Carry lines until the client has gone, or has closed stdin and nothing is under way; return 0."""
        while not self._finished():
            now = time.monotonic()
            self.daemon.tick(now)
            for descriptor, event in self._poll(now):
                self._serve(descriptor, event)
            if self.daemon.outdated:
                self._renew()
        self.daemon.close()
        for each in self.daemon.queueing:
            each.kill()
        if self.renewal is not None:
            self.renewal.stop()
        return 0

    def _at_rest(self) -> bool:
        """Return whether nothing is under way that a new relay would not know of."""
        client = self.to_client or self.from_client.rest or self.from_client.start
        daemon = self.daemon
        ready = self.stdin_open and daemon.welcomed and daemon.handshake_done and daemon.initialized
        return bool(ready) and not (client or daemon.busy() or daemon.queueing or daemon.from_daemon.rest)

    def _renew(self) -> None:
        if self.renewal is None and self._at_rest():
            from postino.relay.renewal import Renewal  # once in the life of a session, if at all

            self.renewal = Renewal()
        if self.renewal is not None and self.renewal.is_answered() and self._at_rest():
            renewal, self.renewal, self.daemon.outdated = self.renewal, None, False
            renewal.renew(self.daemon)

    def _finished(self) -> bool:
        done = not (self.to_client or self.daemon.busy())
        return self.client_gone or (not self.stdin_open and (done or time.monotonic() >= self.exit_at))

    def _poll(self, now: float) -> list[tuple[int, int]]:
        poll = select.poll()
        self.daemon.register(poll)  # first, so that a lost daemon is noticed before a line of the client is sent to it
        if self.stdin_open and len(self.daemon.to_daemon) < MAX_BUFFERED and len(self.to_client) < MAX_BUFFERED:
            poll.register(0, select.POLLIN)
        poll.register(1, select.POLLOUT if self.to_client else 0)  # 0 still reports that the client has gone
        deadlines = self.daemon.deadlines() + ([] if self.stdin_open else [self.exit_at])
        if self.renewal is not None and not self.renewal.is_answered():
            deadlines.append(now + self.renewal.PAUSE_S)
        return poll.poll(max(0.0, min(deadlines) - now) * 1000 + 1 if deadlines else None)

    def _serve(self, descriptor: int, event: int) -> None:
        if descriptor == 0:
            self._read_stdin()
        elif descriptor == 1:
            self._write_stdout(event)
        elif descriptor == self.daemon.fileno():
            self.daemon.serve(event)

    def _read_stdin(self) -> None:
        try:
            chunk = os.read(0, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        for line, end in self.from_client.feed(chunk or b"\n"):
            self._handle_line(line) if end is None else self._refuse_line(line, end, TOO_LONG)
        if not chunk:
            self.stdin_open = False  # `printf ... | postino mcp` still gets its answers
            self.exit_at = time.monotonic() + LINGER_S

    def _write_stdout(self, event: int) -> None:
        try:
            count = os.write(1, self.to_client.next(select.PIPE_BUF)) if event & select.POLLOUT else 0
        except BlockingIOError:
            return
        except OSError:
            event |= select.POLLERR
            count = 0
        for request_id in self.to_client.advance(count):
            self.daemon.answer_written(request_id)
        if event & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
            self.client_gone = True

    def _handle_line(self, line: bytes) -> None:
        """Act on one line of the client.

        A line that is not a valid message is answered, with id null if it names none: JSON-RPC demands that, SDK
        clients log it, and whoever writes a client by hand sees the reason instead of waiting.
        """
        if not line.strip():
            return None
        try:
            message = parse(line)
        except ValueError:
            return self._error(None, PARSE_ERROR, "Parse error: this line is not JSON")
        except RecursionError:
            return self._refuse_line(line[:END_BYTES], line[-END_BYTES:], TOO_DEEP)
        if not isinstance(message, dict) or line.startswith(CONTROL):
            text = "Invalid request: each line is one JSON-RPC object; batches are not supported"
            return self._error(None, INVALID_REQUEST, text)
        method, request_id = message.get("method"), message.get("id")
        if "id" in message and (isinstance(request_id, bool) or not isinstance(request_id, (str, int))):
            return self._error(None, INVALID_REQUEST, "Invalid request: id must be a string or an integer")
        if "method" not in message or "id" not in message:
            return self._handle_notification(line, method, message)
        if not isinstance(method, str):
            return self._error(request_id, INVALID_REQUEST, "Invalid request: method must be a string")
        return self._handle_request(line, method, message)

    def _handle_notification(self, line: bytes, method: Any, message: dict[str, Any]) -> None:
        if method == "notifications/initialized":
            self.daemon.initialized = line
        elif method == "notifications/cancelled":
            params = message.get("params")
            cancelled = params.get("requestId") if isinstance(params, dict) else None
            if isinstance(cancelled, (str, int)) and self.daemon.requests.cancel(cancelled):
                return
        self.daemon.notify(line)

    def _handle_request(self, line: bytes, method: str, message: dict[str, Any]) -> None:
        if method == "server/discover":  # that protocol has no channels: the client then sends initialize
            return self._error(message["id"], METHOD_NOT_FOUND, "Method not found", method)
        if self.daemon.refusal is not None:
            return self._error(message["id"], SERVER_ERROR, self.daemon.refusal)
        if method == "initialize":
            self.daemon.initialize = message
        elif method in ("resources/subscribe", "resources/unsubscribe"):
            self.daemon.subscription = message if method == "resources/subscribe" else None
        line, key = ensure_id(line, message) if method == "tools/call" else (line, None)
        if len(line) > LINE_LIMIT:
            return self._error(message["id"], INVALID_REQUEST, TOO_LONG)
        repeatable = method != "tools/call" or key is not None or is_repeatable(message)
        return self.daemon.request(message["id"], Request(line, repeatable, key, patience(message)))

    def _refuse_line(self, start: bytes, end: bytes, text: str) -> None:
        found = find_id(start, end)
        self._error(loads(found) if found else None, INVALID_REQUEST, text)

    def _error(self, request_id: Id | None, code: int, text: str, data: Any = None) -> None:
        self.to_client.put(error_line(request_id, code, text, data))


def main() -> int:
    """Run the relay on this process's stdin and stdout until the client ends it; return 0."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))  # the daemon sees the socket close
    setting = os.environ.get("POSTINO_HOME", "")
    home, refusal = home_of("~/.postino" if is_placeholder(setting) else setting or "~/.postino")
    state = os.environ.pop("POSTINO_RELAY_STATE", None)  # first: a daemon that this relay starts must not inherit it
    relay = Relay(home, refusal)
    signal.signal(signal.SIGCHLD, relay.daemon.child_ended)
    if state is not None:
        from postino.relay.renewal import resume

        resume(relay.daemon, state)
    debug(f"version {__version__}, session {relay.daemon.session}, home {home}")
    return relay.run()
