"""The sessions connected to this daemon, and what their clients' hooks have reported. Does not import the SDK."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from pathlib import PurePath
from typing import Any

import msgspec

from postino.broker.sessions import process_key
from postino.mcp.session import Session
from postino.model import Activity
from postino.relay.claude_process import started

HOOK_SILENCE_S = 600.0  # without a hook after which hooks count as broken: the longest that one command may run

EARLY = 64  # processes
BURST = 6  # wakes of one session of which the times are kept

Line = dict[str, Any]
#: Starts a turn with a line; the flag: it holds messages. Returns whether the client took it, None if that is not known
Waker = Callable[[str, bool], Coroutine[None, None, bool | None]]


class ConnectedSession(msgspec.Struct, eq=False):
    """A relay's connection. `put` sends the relay a line: a control line, or a frame for the client."""

    session: Session
    put: Callable[[Line], object]
    initialized: bool = False  # the client accepts notifications
    claude_session: str | None = None  # the client's present session id, as its last hook named it
    agent: str | None = None  # as of the last hook
    idle: bool | None = None  # None: no hook has reported it
    idle_since: float = 0.0  # loop time at which it was last reported idle; 0: never
    last_hook_at: float = 0.0  # loop time; 0: never
    last_prompt_at: float = 0.0  # loop time of the last prompt that a hook reported
    wakes_at: deque[float] = msgspec.field(default_factory=lambda: deque(maxlen=BURST))  # loop times of the last wakes
    woken: bool | None = None  # the client took the last wake; None: there was none
    wake_text: str = ""  # of the last wake; the client's UserPromptSubmit repeats it as the prompt
    wake_id: str = ""  # the message id of that line
    wake_prompted: asyncio.Event = msgspec.field(default_factory=asyncio.Event)  # that prompt has been reported
    takes_bodies: bool = True  # False from a line that never became a prompt until the next one that did
    waking: bool = False  # a wake is under way
    failed_wakes: int = 0  # in a row
    retry: asyncio.TimerHandle | None = None  # of a failed wake, or of one that waits for the session to be idle
    questions: dict[str, asyncio.Future[Line]] = msgspec.field(default_factory=dict)  # to the relay, by their ids
    client: str = ""  # whose hooks report, if they are not Claude Code's
    bound_to: str | None = None  # that client's session which the store knows to be served here
    waker: Waker | None = None  # starts a turn with a line, in a client but Claude Code
    take_back: Callable[[], Coroutine[None, None, bool]] | None = None  # removes the last line if it is no prompt yet
    proves_wakes: bool = True  # the client reports what its model does after a line, so that a line may hold messages
    woken_by: str = ""  # what the state of a message calls that way
    expected_calls: deque[tuple[str, str]] = msgspec.field(
        default_factory=lambda: deque(maxlen=64)
    )  # see `tool_use_of`
    turn_id: str | None = None  # of the client's present turn, where its hooks name one
    unproved: set[str] = msgspec.field(default_factory=set)  # calls that read, of which nothing is proved yet
    tools_running: set[str] = msgspec.field(default_factory=set)  # of the client, as its hooks report them

    @property
    def process(self) -> str:
        """The key under which the store knows the session's client process, or the session itself without one.

        One process of Codex runs many sessions, so there the session is the key.
        """
        hello = self.session.hello
        if self.client == "codex" and self.claude_session:
            return codex_process(hello.host, self.claude_session)
        return hello.process or process_key(hello.host, 0, hello.session)

    @property
    def shares_process(self) -> bool:
        """Whether the client may run other sessions in the same process."""
        return "codex" in (self.client or self.session.hello.client or "").lower()

    def tool_use_of(self, tool: str, tool_use: str | None) -> str | None:
        """Return the client's id of a call of `tool` that arrives now: the call's own, or the one expected next.

        opencode sends no id with a call; its plugin reports the calls of a tool one by one, each before it is made.
        """
        if tool_use is not None:
            return tool_use
        for each in self.expected_calls:
            if each[0] == tool:
                self.expected_calls.remove(each)
                return each[1]
        return None

    def hook_received(self, claude_session: str, *, idle: bool | None) -> None:
        """Note a hook event of `claude_session`; `idle` None: the event does not say."""
        self.claude_session = claude_session or self.claude_session
        self.last_hook_at = asyncio.get_running_loop().time()
        if idle is not None:
            self.idle = idle
        if idle:
            self.idle_since = self.last_hook_at

    def hooks_active(self) -> bool:
        """Return whether hooks report when the model has gone on; then a request acknowledges nothing.

        The client may send the calls of one round one after the other: the model has seen no answer in between.
        """
        return self.last_hook_at > 0 and asyncio.get_running_loop().time() - self.last_hook_at < HOOK_SILENCE_S

    def prompted(self, prompt: str | None) -> bool:
        """Return whether a prompt is the line of the last wake; then its messages have arrived."""
        if not prompt or prompt != self.wake_text:
            return False
        self.takes_bodies = True
        self.session.wake_arrived(self.wake_id)
        self.wake_prompted.set()
        return True

    async def ask(self, kind: str, seconds: float, **fields: Any) -> Line:
        """Ask the relay by a control line; return its answer.

        Raises:
            TimeoutError: there is none within `seconds`; an older relay may not know the question.
        """
        id = f"postino-{secrets.token_hex(8)}" if "msg_id" not in fields else str(fields["msg_id"])
        answer: asyncio.Future[Line] = asyncio.get_running_loop().create_future()
        self.questions[id] = answer
        self.put({"postino": kind} | fields | {"msg_id": id})
        try:
            async with asyncio.timeout(seconds):
                return await answer
        finally:
            del self.questions[id]

    def answered(self, line: Line) -> None:
        """Take the relay's answer to a question; any other line is ignored."""
        question = self.questions.get(str(line.get("msg_id")))
        if question is not None and not question.done():
            question.set_result(line)


def codex_process(host: str | None, session: str) -> str:
    """Return the key under which the store knows a session of Codex."""
    return process_key(host, 0, f"codex-{session}")


class ConnectedSessions:
    """All connected sessions of this daemon."""

    def __init__(self) -> None:
        self._open: set[ConnectedSession] = set()
        self._early: dict[str, tuple[str, bool | None]] = {}  # process -> its last hook, without a relay: session, idle
        self.on_reconnect: Callable[[ConnectedSession], None] = lambda _: None  # a session has connected again

    def __contains__(self, connected: ConnectedSession) -> bool:
        return connected in self._open

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[ConnectedSession]:
        return iter(list(self._open))

    def add(self, connected: ConnectedSession) -> None:
        """Add a session that has connected; a hook of its process may have come first."""
        self._open.add(connected)
        if early := self._early.pop(connected.process, None):
            connected.hook_received(early[0], idle=early[1])

    def hook_came_first(self, process: str, claude_session: str, *, idle: bool | None) -> None:
        """Note a hook event of a Claude process whose relay was not connected when it came; of the last EARLY ones."""
        for connected in self._open:
            if connected.process == process:  # it has connected since
                connected.hook_received(claude_session, idle=idle)
                return
        self._early.pop(process, None)
        self._early[process] = claude_session, idle
        if len(self._early) > EARLY:
            del self._early[next(iter(self._early))]

    def discard(self, connected: ConnectedSession) -> None:
        """Remove a session whose connection has ended."""
        self._open.discard(connected)

    def activity(self, agent: str) -> Activity:
        """Return whether a session of `agent` is idle, or else busy, as the hooks of its client reported."""
        idle = {each.idle for each in self._open if agent in (each.agent, each.session.agent)}
        return "idle" if True in idle else "busy" if False in idle else "unknown"

    def serves(self, connected: ConnectedSession, client_session: str) -> None:
        """Note that a call on this connection named its session of the client: no other connection serves that one."""
        for each in self._open:
            if each is not connected and each.claude_session == client_session:
                each.claude_session = each.bound_to = None
        connected.claude_session = client_session

    def of_client_session(self, client_session: str) -> ConnectedSession | None:
        """Return the session that serves a session of the client, as a hook or a call named it."""
        return next((each for each in self._open if each.claude_session == client_session), None)

    def find(self, pid: int, socket: str = "") -> ConnectedSession | None:
        """Return the session of a Claude process: by pid and start time, else by the file name of its inbox socket.

        Either side may not know the start time (a system without /proc) or see another pid (a container).
        """
        start = started(pid)
        for connected in self._open:
            hello = connected.session.hello
            if pid and hello.claude_pid == pid and (start is None or hello.claude_start in (None, start)):
                return connected
        for connected in self._open:
            path = connected.session.hello.claude_socket
            if socket and path and PurePath(path).name == socket:
                return connected
        return None
