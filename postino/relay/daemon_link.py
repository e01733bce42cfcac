"""The relay's connection to the daemon: dial it, start it if there is none, say hello, and carry lines both ways.

One daemon may follow another; each needs the client's handshake again. Standard library only.
"""

from __future__ import annotations

import _socket  # all that is needed of socket, whose enums and selectors would cost 4 ms and 0.4 MB
import os
import select
import sys
import time

from postino import __version__
from postino.home import placeholders
from postino.json_text import dumps, loads
from postino.relay.claude_process import claude_process, explicit_name, terminal_suffix, variable
from postino.relay.lines import CONTROL, LineBuffer, WriteBuffer
from postino.relay.requests import Request, Requests
from postino.relay.starter import RESTART, Starter
from postino.versions import is_older

TYPE_CHECKING = False  # as in main.py
if TYPE_CHECKING:
    from typing import Any

    from postino.relay.codex_queue import Queueing
    from postino.relay.lines import Id

WELCOME_S = 10.0  # that a connected daemon may take to say welcome
AFTER_BYE_S = 1.0  # after a daemon said bye in which the relay starts no other one
DIAL_OFTEN_S = 0.02  # between two dials just after a daemon was lost or started, which takes about 0.5 s
DIAL_WAITING_S = 0.25  # between two dials while requests wait
DIAL_IDLE_S = 2.0  # between two dials while none does
OFTEN_S = 10.0  # after a daemon was lost or started in which it is dialled every DIAL_OFTEN_S
BURST = 3  # daemons that are started without a pause when each is lost; then one in every RESTART
MAX_BUFFERED = 1 << 20  # bytes queued in one direction above which the other end is not read
CHUNK = 1 << 16  # bytes
UPDATED = {"jsonrpc": "2.0", "method": "notifications/resources/updated"}


class DaemonLink:
    """The connection to one daemon after another. Answers go to `to_client`.

    `refusal`: the sentence that answers every request because none can be carried, else None.
    """

    def __init__(self, home: str, to_client: WriteBuffer, refusal: str | None = None) -> None:
        self.home = home
        self.to_client = to_client
        self.refusal = refusal
        self.requests = Requests(to_client)
        self.session = "s-" + os.urandom(8).hex()
        self.started_ms = int(time.time() * 1000)  # just after the client has started this process
        self.generation = 0
        self.socket: _socket.socket | None = None
        self.from_daemon, self.to_daemon = LineBuffer(), WriteBuffer()
        self.welcomed = False  # until then the daemon has done nothing, even if it is lost
        self.welcome_by = 0.0
        self.daemon_version = __version__
        self.outdated = False  # the daemon is newer
        self.initialize: dict[str, Any] = {}  # the client's handshake
        self.initialized = b""
        self.handshake_done = False  # the client has the answer to its initialize
        self.subscription: dict[str, Any] | None = None  # the client's request to be told of mail
        self.start_unasked = True  # start a daemon although no request waits
        self.dial_at = self.start_at = self.often_until = 0.0
        self.starts_until = 0.0  # the daemons started so far use up the time until then, RESTART each
        self.starter = Starter(home, os.environ)
        self.queueing: list[Queueing] = []  # commands that wake Codex

    # for the poll loop

    def tick(self, now: float) -> None:
        """Dial when it is time; repeat the requests that are due; fail those that have waited too long.

        A daemon that does not say welcome is left.
        """
        if self.socket is None and self.refusal is None and now >= self.dial_at:
            self._dial(now)
        silent = f"No postino daemon answers in {self.home}; nothing was done"
        for request_id in self.requests.expire(now, self.starter.failure or silent):
            self._send_cancelled(request_id)
        if self.welcomed:
            self._send_due(now)
        if self.queueing:
            self._finish_queueing()
        if self.socket is not None and not self.welcomed and now >= self.welcome_by:
            self._disconnected()

    def deadlines(self) -> list[float]:
        """Return the times at which `tick` has something to do."""
        waiting, in_flight = self.requests.waiting.values(), self.requests.in_flight.values()
        times = [request.deadline for request in (*waiting, *in_flight)]
        times += [time.monotonic() + each.PAUSE_S for each in self.queueing]
        if self.welcomed:
            times += [request.due for request in waiting]
        if self.socket is None:
            times += [self.dial_at] if self.refusal is None else []
        elif not self.welcomed:
            times.append(self.welcome_by)
        return times

    def register(self, poll: select.poll) -> None:
        """Register the socket, if there is one, for what can be done with it now."""
        if self.socket is not None:
            room = select.POLLIN if len(self.to_client) < MAX_BUFFERED else 0
            poll.register(self.socket, room | (select.POLLOUT if self.to_daemon else 0))

    def fileno(self) -> int:
        """Return the socket's descriptor, -1 while there is none."""
        return -1 if self.socket is None else self.socket.fileno()

    def busy(self) -> bool:
        """Return whether a request has no answer yet or a line is not written yet."""
        return bool(self.to_daemon or self.requests)

    def serve(self, event: int) -> None:
        """Write and read as `poll` allows."""
        assert self.socket is not None
        if event & select.POLLOUT:
            try:
                self.to_daemon.advance(self.socket.send(self.to_daemon.next(CHUNK)))
            except BlockingIOError:
                pass
            except OSError:
                self.to_daemon = WriteBuffer()  # the daemon has gone; what it answered before can still be read
        if event & select.POLLIN:
            try:
                chunk = self.socket.recv(CHUNK)
                for line, end in self.from_daemon.feed(chunk):
                    self._handle_line(line, end)
                event = 0 if chunk else select.POLLHUP
            except BlockingIOError:
                event = 0
            except (OSError, ValueError):
                event = select.POLLERR
        if event & (select.POLLERR | select.POLLHUP):
            self._disconnected()

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self.socket is not None:
            self.socket.close()

    # from the client

    def request(self, request_id: Id, request: Request) -> None:
        """Send a request, or let it wait for a daemon."""
        now = time.monotonic()
        if self.welcomed:
            self._send(request_id, request, now)
        elif self.starter.failure and now < self.start_at:
            self.requests.fail(request_id, self.starter.failure)
        else:
            self.requests.wait(request_id, request, now)
            self.dial_at = now

    def notify(self, line: bytes) -> None:
        """Send a notification or response of the client; without a daemon it is dropped."""
        if self.welcomed:
            self.to_daemon.put(line)

    def answer_written(self, request_id: Id) -> None:
        """Tell the daemon that the client has the answer to a request."""
        if self.welcomed:
            self._send_control({"postino": "written", "id": request_id})

    def _send_due(self, now: float) -> None:
        for request_id, request in self.requests.take_due(now).items():
            self._send(request_id, request, now)

    def _send(self, request_id: Id, request: Request, now: float) -> None:
        self.to_daemon.put(request.line)
        self.requests.sent(request_id, request, now)

    def _send_cancelled(self, request_id: Id) -> None:
        """Tell a daemon that did not answer in time that nobody waits any more, so that a read is given back."""
        params = {"requestId": request_id, "reason": "no answer in time"}
        cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
        self.to_daemon.put(dumps(cancelled).encode())

    def _send_control(self, control: dict[str, Any]) -> None:
        self.to_daemon.put(dumps(control).encode())

    # dial and start

    def _dial(self, now: float) -> None:
        dialled = _socket.socket(_socket.AF_UNIX)
        dialled.setblocking(False)
        try:
            dialled.connect(f"{self.home}/daemon.sock")
        except OSError as error:
            dialled.close()
            if isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
                self._start(now)
            pause = DIAL_WAITING_S if self.requests.waiting else DIAL_IDLE_S
            self.dial_at = now + (DIAL_OFTEN_S if now < self.often_until else pause)
        else:
            self._connected(dialled, now)

    def _start(self, now: float) -> None:
        if self.starter.starting:
            self.child_ended()  # its end may have come before the starter knew of it
        wanted = self.start_unasked or self.requests.waiting
        if self.starter.starting or now < self.start_at or not (wanted and self.starter.start(now)):
            return
        self.start_unasked = False
        self.often_until = now + OFTEN_S
        self.starts_until = max(self.starts_until, now) + RESTART
        self.start_at = self.starts_until - (BURST - 1) * RESTART
        self._fail_if_not_started(now)

    def child_ended(self, *_: object) -> None:
        """Reap a daemon that this process started. Handles SIGCHLD.

        If it did not serve, the waiting requests fail; if it was killed or found another one, the next may be started.
        """
        now = time.monotonic()
        if self.starter.reap() and not self.starter.failure:
            self.start_unasked = now >= self.start_at
        self._fail_if_not_started(now)

    def _fail_if_not_started(self, now: float) -> None:
        if self.starter.failure:
            self.start_at = max(self.start_at, now + RESTART)
            self.requests.end_waits()

    def _connected(self, dialled: _socket.socket, now: float) -> None:
        self.socket = dialled
        self.generation += 1
        self.welcome_by = now + WELCOME_S
        self.from_daemon, self.to_daemon = LineBuffer(), WriteBuffer()
        self._send_control(_hello(self))

    def _disconnected(self) -> None:
        """Forget this daemon and dial again.

        Another daemon is started at once, unless this one said bye: then only when the client sends a request.
        """
        debug("daemon lost")
        self.close()
        now = time.monotonic()
        if self.welcomed:
            self.start_unasked = now >= self.start_at
            self.often_until = now + OFTEN_S
        self.socket, self.to_daemon, self.welcomed = None, WriteBuffer(), False
        self.requests.daemon_lost(now)
        self.dial_at = now if self.requests.waiting else now + DIAL_OFTEN_S

    def _finish_queueing(self) -> None:
        """Tell the daemon which of the commands that wake Codex have ended, and how."""
        answers = {each: each.answer() for each in self.queueing}
        self.queueing = [each for each, answer in answers.items() if answer is None]
        for answer in filter(None, answers.values()):
            if self.welcomed:
                self._send_control(answer)

    # from the daemon

    def _handle_line(self, line: bytes, end: bytes | None) -> None:
        message = loads(line) if end is None else None
        if not isinstance(message, dict):
            raise ValueError("each line of the daemon must be one JSON object")
        if line.startswith(CONTROL):
            return self._handle_control(message)
        answered = message["id"] if "method" not in message and "id" in message else None
        if answered == self._replay_id():
            return None
        if answered == self._resubscription_id():
            if "result" in message and self.subscription is not None:
                self.to_client.put(dumps(UPDATED | {"params": self.subscription["params"]}).encode())
            return None
        if answered is not None:
            if not self.requests.answered(answered, message, time.monotonic()):
                return None
            if answered == self.initialize.get("id") and "result" in message:
                self.handshake_done = True
                line = self._with_skew(line, message)
        return self.to_client.put(line, answered)

    def _handle_control(self, control: dict[str, Any]) -> None:
        kind = control["postino"]
        debug(f"daemon says {kind}")
        if kind == "welcome":
            self.daemon_version = str(control.get("version") or "0")
            self.outdated = is_older(__version__, self.daemon_version)
            self._welcomed()
        elif kind == "refused":
            self._refused(str(control.get("error")))
        elif kind == "wake" and control.get("client") == "codex":
            from postino.relay.codex_queue import Queueing  # as below

            self.queueing.append(Queueing(control))
        elif kind == "wake" and control.get("client") == "codex-server":
            from postino.relay.codex_server import wake as wake_by_server

            self._send_control(wake_by_server(control))
        elif kind == "wake":
            from postino.relay.claude_inbox import wake  # few relays ever need it

            self._send_control(wake(control))
        elif kind == "status":
            from postino.relay.claude_inbox import status

            self._send_control(status(control))
        elif kind == "bye":
            self.start_unasked = False
            self.start_at = time.monotonic() + AFTER_BYE_S

    def _with_skew(self, line: bytes, message: dict[str, Any]) -> bytes:
        """Return the answer of the handshake; that of an older daemon tells the model so, which can tell its user."""
        if not is_older(self.daemon_version, __version__):
            return line
        sentence = (
            f"The postino daemon is version {self.daemon_version}, older than this session's {__version__}: tell your "
            "user that `postino up` replaces it."
        )
        print(f"postino mcp: {sentence}", file=sys.stderr, flush=True)
        result = message["result"]
        result["instructions"] = f"{result.get('instructions') or ''} {sentence}".strip()
        return dumps(message).encode()

    def _welcomed(self) -> None:
        self.welcomed = True
        self.starter.served()
        if self.handshake_done:
            self.to_daemon.put(dumps(self.initialize | {"id": self._replay_id()}).encode())
            if self.initialized:
                self.to_daemon.put(self.initialized)
            if self.subscription is not None:
                self.to_daemon.put(dumps(self.subscription | {"id": self._resubscription_id()}).encode())
        self._send_due(time.monotonic())

    def _replay_id(self) -> str:
        return f"postino-{self.session}-{self.generation}"

    def _resubscription_id(self) -> str:
        return f"{self._replay_id()}-subscription"

    def _refused(self, sentence: str) -> None:
        self.refusal = sentence
        self.requests.end_waits()
        self.requests.expire(0.0, sentence)
        self._disconnected()


def _hello(link: DaemonLink) -> dict[str, Any]:
    """Return the first line of a connection: the session, and what its agent's name can be derived from."""
    claude = claude_process()
    return {
        "postino": "hello",
        "version": __version__,
        "session": link.session,
        "generation": link.generation,
        "started_ms": link.started_ms,
        "plugin": "CLAUDE_PLUGIN_ROOT" in os.environ or "CLAUDE_PLUGIN_OPTION_AGENT_NAME" in os.environ,
        "name": explicit_name(claude["pid"]),
        "terminal": terminal_suffix(variable("TERM_SESSION_ID") or variable("ITERM_SESSION_ID") or ""),
        "directory": _directory(),
        "host": os.uname().nodename,
        "placeholders": placeholders(os.environ),
        "claude": claude,
    }


def _directory() -> str:
    try:
        return os.fsencode(os.getcwd()).decode(errors="replace")  # noqa: PTH109
    except OSError:  # it was removed
        return variable("PWD") or "/"


def debug(text: str) -> None:
    """Print to stderr if POSTINO_LOG_LEVEL is debug."""
    if os.environ.get("POSTINO_LOG_LEVEL", "").lower() == "debug":
        print(f"postino mcp: {text}", file=sys.stderr, flush=True)
