"""`postino mcp`: carry one client's JSON-RPC between stdio and the daemon's socket.

Every tab of a client pays for this process, so it is one thread round one `poll()` and imports a handful of
standard modules: no asyncio, no subprocess, and of postino only its version.

stdin and stdout stay blocking, as whoever shares them expects: a read follows `poll()`, and a write is at most
PIPE_BUF bytes, which a descriptor that `poll()` calls writable takes at once.
"""

from __future__ import annotations

import _socket  # all that is needed of socket, whose enums and selectors would cost 4 ms and 0.4 MB
import json
import os
import select
import signal
import sys
import time

from postino import __version__
from postino.home import home_of
from postino.relay.lines import (
    CONTROL,
    DEPTH,
    EDGE,
    LINE_LIMIT,
    Lines,
    Outbox,
    hello,
    id_of,
    only_looks,
    read,
    with_key,
)
from postino.relay.starter import RESTART, Starter

TYPE_CHECKING = False  # of typing, whose import would cost 4 ms and 0.6 MB
if TYPE_CHECKING:
    from typing import Any

    Id = str | int

PATIENCE = 10.0  # s a request waits for a daemon, and a connected daemon may take to say welcome
LINGER = 0.5  # s after the end of stdin for what is under way, so that `printf ... | postino mcp` gets answers
COLD = 5.0  # s more when requests still wait for a daemon to start
POLITE = 1.0  # s after a daemon said bye in which nobody here starts another
REDIAL = 0.02  # s; a daemon takes about 0.2 s to start
HURRY = 3.0  # s after a daemon was lost or started in which it is dialled every REDIAL
CLOGGED = 1 << 20  # bytes queued in one direction above which the other end's reading pauses
QUEUE = 256  # requests that may wait for a daemon

NOT_FOUND, PARSE, INVALID, SERVER = -32601, -32700, -32600, -32000
TOO_LONG = f"Invalid request: a line has at most {LINE_LIMIT} bytes"
TOO_DEEP = f"Invalid request: nested more than {DEPTH} deep"


class Request:
    """A request of the client that has no answer yet."""

    __slots__ = ("deadline", "key", "line", "repeatable")

    def __init__(self, line: bytes, repeatable: bool, key: str | None) -> None:
        self.line = line
        self.repeatable = repeatable  # changes nothing that outlasts a daemon: the next may be asked again, once
        self.key = key  # the argument `id` that makes the client's own repetition safe
        self.deadline = 0.0


class Relay:
    """One client on stdin and stdout, one daemon after another on the socket."""

    def __init__(self, home: str, refusal: str | None = None) -> None:
        self.home = home
        self.refusal = refusal  # the sentence that answers every request; None: requests are carried
        self.session = "s-" + os.urandom(8).hex()
        self.generation = 0
        self.reading = True  # until the end of stdin
        self.gone = False  # nobody reads stdout any more
        self.leave_at = 0.0
        self.from_client, self.to_client = Lines(), Outbox()
        self.from_daemon, self.to_daemon = Lines(), Outbox()
        self.daemon: _socket.socket | None = None
        self.admitted = False  # the daemon has said welcome: until then it has done nothing, whatever becomes of it
        self.welcome_by = 0.0
        self.waiting: dict[Id, Request] = {}  # in order, for a daemon to come
        self.flying: dict[Id, Request] = {}  # sent to the present daemon
        self.initialize: dict[str, Any] = {}
        self.initialized = b""
        self.opened = False  # the client has the answer to its initialize
        self.eager = True  # start a daemon although no request waits
        self.dial_at = self.start_at = self.hurry_until = 0.0
        self.starter = Starter(home, os.environ)

    def run(self) -> int:
        """Carry until the client has gone or has closed stdin and nothing is under way; return 0."""
        while not self._finished():
            now = time.monotonic()
            if self.daemon is None and self.refusal is None and now >= self.dial_at:
                self._dial(now)
            self._expire(now)
            for descriptor, event in self._wait(now):
                self._serve(descriptor, event)
        if self.daemon is not None:
            self.daemon.close()
        return 0

    # the loop

    def _finished(self) -> bool:
        idle = not (self.to_client or self.to_daemon or self.waiting or self.flying)
        return self.gone or (not self.reading and (idle or time.monotonic() >= self.leave_at))

    def _wait(self, now: float) -> list[tuple[int, int]]:
        poll = select.poll()  # in this order: a daemon that has gone is known before a line is meant for it
        if self.daemon is not None:
            room = select.POLLIN if len(self.to_client) < CLOGGED else 0
            poll.register(self.daemon, room | (select.POLLOUT if self.to_daemon else 0))
        if self.reading and len(self.to_daemon) < CLOGGED and len(self.to_client) < CLOGGED:
            poll.register(0, select.POLLIN)
        poll.register(1, select.POLLOUT if self.to_client else 0)  # 0 still tells when the client has gone
        moments = [request.deadline for request in self.waiting.values()]
        moments += [self.leave_at] if not self.reading else []
        moments += [self.welcome_by] if self.daemon is not None and not self.admitted else []
        moments += [self.dial_at] if self.daemon is None and self.refusal is None else []
        return poll.poll(max(0.0, min(moments) - now) * 1000 + 1 if moments else None)

    def _serve(self, descriptor: int, event: int) -> None:
        if descriptor == 0:
            self._read_client()
        elif descriptor == 1:
            self._write_client(event)
        elif self.daemon is not None and descriptor == self.daemon.fileno():
            self._carry_daemon(event)

    def _expire(self, now: float) -> None:
        for request_id in [each for each, request in self.waiting.items() if now >= request.deadline]:
            del self.waiting[request_id]
            silent = f"No postino daemon answers in {self.home}; nothing was done"
            self._error(request_id, SERVER, self.starter.failure or silent)
        if self.daemon is not None and not self.admitted and now >= self.welcome_by:
            self._lost()

    # the client's side

    def _read_client(self) -> None:
        try:
            chunk = os.read(0, 65536)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        for line, cut in self.from_client.feed(chunk or b"\n"):
            self._take(line) if cut is None else self._unreadable(line, cut, TOO_LONG)
        if not chunk:
            now, self.reading = time.monotonic(), False
            self.leave_at = now + LINGER + (COLD if self.waiting else 0)
            for request in self.waiting.values():
                request.deadline = min(request.deadline, now + COLD)

    def _write_client(self, event: int) -> None:
        try:
            count = os.write(1, self.to_client.head(select.PIPE_BUF)) if event & select.POLLOUT else 0
        except BlockingIOError:
            return
        except OSError:
            event |= select.POLLERR
            count = 0
        for request_id in self.to_client.sent(count):
            if self.admitted:
                self._tell({"postino": "written", "id": request_id})
        if event & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
            self.gone = True

    def _unreadable(self, head: bytes, tail: bytes, text: str) -> None:
        found = id_of(head, tail)
        self._error(json.loads(found) if found else None, INVALID, text)

    def _take(self, line: bytes) -> None:
        """Act on one line of the client.

        What cannot be carried is answered, with id null where it names none: JSON-RPC demands it, SDK clients log it,
        and whoever writes a client by hand sees the reason at once instead of waiting.
        """
        if not line.strip():
            return
        try:
            message = read(line)
        except ValueError:
            return self._error(None, PARSE, "Parse error: this line is not JSON")
        except RecursionError:
            return self._unreadable(line[:EDGE], line[-EDGE:], TOO_DEEP)
        if not isinstance(message, dict) or line.startswith(CONTROL):
            return self._error(None, INVALID, "Invalid request: each line is one JSON-RPC object; there are no batches")
        method, request_id = message.get("method"), message.get("id")
        if "id" in message and (isinstance(request_id, bool) or not isinstance(request_id, (str, int))):
            return self._error(None, INVALID, "Invalid request: id must be a string or a whole number")
        if "method" not in message or "id" not in message:
            return self._notified(line, method, message)
        if not isinstance(method, str):
            return self._error(request_id, INVALID, "Invalid request: method must be a string")
        return self._requested(line, method, message)

    def _notified(self, line: bytes, method: Any, message: dict[str, Any]) -> None:
        if method == "notifications/initialized":
            self.initialized = line
        elif method == "notifications/cancelled":
            params = message.get("params")
            cancelled = params.get("requestId") if isinstance(params, dict) else None
            if isinstance(cancelled, (str, int)):
                self.flying.pop(cancelled, None)
                if self.waiting.pop(cancelled, None):
                    return
        if self.admitted:
            self.to_daemon.put(line)

    def _requested(self, line: bytes, method: str, message: dict[str, Any]) -> None:
        if method == "server/discover":  # the modern era cannot carry channel notifications: ask for the handshake
            return self._error(message["id"], NOT_FOUND, "Method not found", method)
        if self.refusal is not None:
            return self._error(message["id"], SERVER, self.refusal)
        if method == "initialize":
            self.initialize = message
        line, key = with_key(line, message) if method == "tools/call" else (line, None)
        if len(line) > LINE_LIMIT:
            return self._error(message["id"], INVALID, TOO_LONG)
        request = Request(line, method != "tools/call" or only_looks(message), key)
        if self.admitted:
            self._send(message["id"], request)
        else:
            self._park(message["id"], request)

    def _park(self, request_id: Id, request: Request) -> None:
        if self.starter.failure and time.monotonic() < self.start_at:
            return self._error(request_id, SERVER, self.starter.failure)
        if len(self.waiting) >= QUEUE or sum(len(each.line) for each in self.waiting.values()) > CLOGGED:
            return self._error(request_id, SERVER, "Too many requests wait for the postino daemon; nothing was done")
        request.deadline = time.monotonic() + PATIENCE
        self.waiting[request_id] = request
        self.dial_at = 0.0

    def _error(self, request_id: Id | None, code: int, text: str, data: Any = None) -> None:
        error = {"code": code, "message": text} | ({} if data is None else {"data": data})
        self.to_client.put(json.dumps({"jsonrpc": "2.0", "id": request_id, "error": error}).encode())

    # the daemon's side

    def _dial(self, now: float) -> None:
        daemon = _socket.socket(_socket.AF_UNIX)
        daemon.setblocking(False)
        try:
            daemon.connect(f"{self.home}/daemon.sock")
        except OSError as error:
            daemon.close()
            if isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
                self._start(now)
            self.dial_at = now + (REDIAL if now < self.hurry_until else 0.25 if self.waiting else 2.0)
        else:
            self._connected(daemon, now)

    def _start(self, now: float) -> None:
        if now < self.start_at or not (self.eager or self.waiting):
            return
        self.hurry_until = now + HURRY
        if self.starter.start(now):
            self.eager = False
            self.start_at = now + RESTART
            self._give_up_waiting()

    def child_ended(self, *_: object) -> None:
        """Collect the daemon that this process started; one that failed to serve fails whoever waits for it."""
        self.starter.reap()
        self._give_up_waiting()

    def _give_up_waiting(self) -> None:
        if self.starter.failure:
            for request in self.waiting.values():
                request.deadline = 0.0

    def _connected(self, daemon: _socket.socket, now: float) -> None:
        self.daemon = daemon
        self.generation += 1
        self.welcome_by = now + PATIENCE
        self.from_daemon, self.to_daemon = Lines(), Outbox()
        self._tell(hello(self.session, self.generation))

    def _welcomed(self) -> None:
        self.admitted = True
        self.starter.served()
        if self.opened:
            self.to_daemon.put(json.dumps(self.initialize | {"id": self._replay_id()}).encode())
            if self.initialized:
                self.to_daemon.put(self.initialized)
        parked, self.waiting = self.waiting, {}
        for request_id, request in parked.items():
            self._send(request_id, request)

    def _replay_id(self) -> str:
        return f"postino-{self.session}-{self.generation}"

    def _send(self, request_id: Id, request: Request) -> None:
        self.to_daemon.put(request.line)
        if not request.repeatable:
            request.line = b""
        self.flying[request_id] = request

    def _tell(self, control: dict[str, Any]) -> None:
        self.to_daemon.put(json.dumps(control, separators=(",", ":")).encode())

    def _carry_daemon(self, event: int) -> None:
        assert self.daemon is not None
        if event & select.POLLOUT:
            try:
                self.to_daemon.sent(self.daemon.send(self.to_daemon.head(1 << 16)))
            except BlockingIOError:
                pass
            except OSError:
                self.to_daemon = Outbox()  # it has gone; what it answered before can still be read
        if event & select.POLLIN:
            try:
                chunk = self.daemon.recv(1 << 16)
                for line, cut in self.from_daemon.feed(chunk):
                    self._deliver(line, cut)
                event = 0 if chunk else select.POLLHUP
            except BlockingIOError:
                event = 0
            except (OSError, ValueError):
                event = select.POLLERR
        if event & (select.POLLERR | select.POLLHUP):
            self._lost()

    def _deliver(self, line: bytes, cut: bytes | None) -> None:
        message = json.loads(line) if cut is None else None
        if not isinstance(message, dict):
            raise ValueError("the daemon must send objects, one a line")
        if line.startswith(CONTROL):
            return self._told(message)
        answered = message["id"] if "method" not in message and "id" in message else None
        if answered == self._replay_id():
            return None
        if answered is not None:
            self.flying.pop(answered, None)
        if answered is not None and answered == self.initialize.get("id") and "result" in message:
            self.opened = True
        return self.to_client.put(line, answered)

    def _told(self, control: dict[str, Any]) -> None:
        word = control["postino"]
        _debug(f"daemon says {word}")
        if word == "welcome":
            self._welcomed()
        elif word == "refused":
            self._refused(str(control.get("error")))
        elif word == "wake":
            from postino.relay.claude_inbox import woken  # few tabs ever need it

            self._tell(woken(control))
        elif word == "bye":
            self.eager = False
            self.start_at = time.monotonic() + POLITE

    def _refused(self, sentence: str) -> None:
        self.refusal = sentence
        waiting, self.waiting = self.waiting, {}
        for request_id in waiting:
            self._error(request_id, SERVER, sentence)
        self._lost()

    def _lost(self) -> None:
        """Forget this daemon and dial again; what it had is asked again or answered with what is known.

        Another daemon is started at once, unless this one said bye: then only when the client wants something.
        """
        _debug("daemon lost")
        if self.daemon is not None:
            self.daemon.close()
        now = time.monotonic()
        if self.admitted:
            self.eager = now >= self.start_at
            self.hurry_until = now + HURRY
        self.daemon, self.to_daemon, self.admitted = None, Outbox(), False
        self.dial_at = now + REDIAL
        flying, self.flying = self.flying, {}
        for request_id, request in flying.items():
            self._settle(request_id, request)

    def _settle(self, request_id: Id, request: Request) -> None:
        if request.repeatable:
            request.repeatable = False
            self._park(request_id, request)
        else:
            retry = "; ask again" if request.key is None else f"; a retry with id {request.key} is stored only once"
            text = f"The postino daemon went away before it answered: the outcome is unknown{retry}"
            self._error(request_id, SERVER, text, {"outcome": "unknown", "id": request.key})


def _debug(text: str) -> None:
    if os.environ.get("POSTINO_LOG_LEVEL", "").lower() == "debug":
        print(f"postino mcp: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Run the relay on this process's stdin and stdout until the client ends it; return 0."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))  # the daemon sees the socket close
    home, refusal = home_of(os.environ.get("POSTINO_HOME") or "~/.postino")
    relay = Relay(home, refusal)
    signal.signal(signal.SIGCHLD, relay.child_ended)
    _debug(f"version {__version__}, session {relay.session}, home {home}")
    return relay.run()
