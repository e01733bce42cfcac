"""The sessions connected to this daemon, and what their clients' hooks have reported. Does not import the SDK."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from postino.broker.sessions import process_key
from postino.mcp.session import Session
from postino.model import Activity

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

    @property
    def process(self) -> str:
        """The key under which the store knows the session's Claude process, or the session itself without one."""
        hello = self.session.hello
        return hello.process or process_key(hello.host, 0, hello.session)

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

    def activity(self, agent: str) -> Activity:
        """Return whether a session of `agent` is idle, or else busy, as the hooks of its client reported."""
        idle = {each.idle for each in self._open if agent in (each.agent, each.session.agent)}
        return "idle" if True in idle else "busy" if False in idle else "unknown"

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
