"""The sessions connected to this daemon, and what their clients' hooks have reported. Does not import the SDK."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from postino.broker.sessions import process_key
from postino.mcp.session import Session

HOOK_SILENCE_S = 600.0  # without a hook after which hooks count as broken: the longest that one command may run

Line = dict[str, Any]


@dataclass(eq=False)
class ConnectedSession:
    """A relay's connection. `put` sends the relay a line: a control line, or a frame for the client."""

    session: Session
    put: Callable[[Line], object]
    initialized: bool = False  # the client accepts notifications
    claude_session: str | None = None  # the client's present session id, as its last hook named it
    agent: str | None = None  # as of the last hook
    idle: bool | None = None  # None: no hook has reported it
    last_hook_at: float = 0.0  # loop time; 0: never
    last_wake_at: float = 0.0  # loop time; 0: never
    wake_text: str = ""  # of the last wake; the client's UserPromptSubmit repeats it as the prompt
    failed_wakes: int = 0  # in a row
    retry: asyncio.TimerHandle | None = None  # of a failed wake
    pending_wakes: dict[str, asyncio.Future[bool]] = field(default_factory=dict)  # by message id
    client: str = ""  # whose hooks report, if they are not Claude Code's
    bound_to: str | None = None  # that client's session which the store knows to be served here
    waker: Callable[[str], Awaitable[bool]] | None = None  # starts a turn with a line, in a client but Claude Code
    woken_by: str = ""  # what the state of a message calls that way
    announced: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=64))  # see `tool_use_of`
    tools_running: set[str] = field(default_factory=set)  # of the client, as its hooks report them

    @property
    def process(self) -> str:
        """The key under which the store knows the session's client process, or the session itself without one.

        One process of Codex runs many sessions, so there the session is the key.
        """
        hello = self.session.hello
        if self.client == "codex" and self.claude_session:
            return process_key(hello.host, 0, f"codex-{self.claude_session}")
        return hello.process or process_key(hello.host, 0, hello.session)

    def tool_use_of(self, tool: str, tool_use: str | None) -> str | None:
        """Return the client's id of a call of `tool` that arrives now: the call's own, or the one announced for it.

        opencode sends no id with a call; its plugin announces the calls of a tool one by one, each before it is made.
        """
        if tool_use is not None:
            return tool_use
        for each in self.announced:
            if each[0] == tool:
                self.announced.remove(each)
                return each[1]
        return None

    def hook_received(self, claude_session: str, *, idle: bool | None) -> None:
        """Note a hook event of `claude_session`; `idle` None: the event does not say."""
        self.claude_session = claude_session or self.claude_session
        self.idle = self.idle if idle is None else idle
        self.last_hook_at = asyncio.get_running_loop().time()

    def hooks_active(self) -> bool:
        """Return whether hooks report when the model has gone on; then a request acknowledges nothing.

        The client may send the calls of one round one after the other: the model has seen no answer in between.
        """
        return self.last_hook_at > 0 and asyncio.get_running_loop().time() - self.last_hook_at < HOOK_SILENCE_S

    def wake_answered(self, msg_id: str, *, ok: bool) -> None:
        """Resolve a pending wake with the relay's answer; an unknown `msg_id` is ignored."""
        pending = self.pending_wakes.get(msg_id)
        if pending is not None and not pending.done():
            pending.set_result(ok)


def _ignore(_: ConnectedSession) -> None:
    return


class ConnectedSessions:
    """All connected sessions of this daemon."""

    def __init__(self) -> None:
        self._open: set[ConnectedSession] = set()
        self.on_reconnect: Callable[[ConnectedSession], None] = _ignore  # called when a session has connected again

    def __contains__(self, connected: ConnectedSession) -> bool:
        return connected in self._open

    def __iter__(self) -> Iterator[ConnectedSession]:
        return iter(list(self._open))

    def add(self, connected: ConnectedSession) -> None:
        """Add a session that has connected."""
        self._open.add(connected)

    def discard(self, connected: ConnectedSession) -> None:
        """Remove a session whose connection has ended."""
        self._open.discard(connected)

    def of_client_session(self, client_session: str) -> ConnectedSession | None:
        """Return the session that serves a session of the client, as a hook or a call named it."""
        return next((each for each in self._open if each.claude_session == client_session), None)

    def find(self, pid: int, start: str | None, socket: str) -> ConnectedSession | None:
        """Return the session of a Claude process: by pid and start time, else by the file name of its inbox socket.

        Either side may not know the start time (a system without /proc) or see another pid (a container).
        """
        for connected in self._open:
            hello = connected.session.hello
            if pid and hello.claude_pid == pid and (start is None or hello.claude_start in (None, start)):
                return connected
        for connected in self._open:
            path = connected.session.hello.claude_socket
            if socket and path and PurePath(path).name == socket:
                return connected
        return None
