"""The sessions connected to this daemon, and what the hooks of their clients tell of them. Nothing of the SDK here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from postino.mcp.session import Session

SILENT_S = 600.0  # without a hook: as long as a command may take in a round of calls; longer, they are taken for broken

Line = dict[str, Any]


@dataclass(eq=False)
class ConnectedSession:
    """One connected session. `put` sends its relay a line: a control line, or a frame for the client."""

    session: Session
    put: Callable[[Line], None]
    initialized: bool = False  # the client takes notifications
    claude: str | None = None  # the client's own session id, once a hook has told it
    agent: str | None = None  # who it was when last asked
    idle: bool | None = None  # None: no hook has told
    heard_at: float = 0.0  # loop time of the last hook
    woken_at: float = 0.0  # loop time of the last wake
    woken_by: str = ""  # its text, which the client's hook repeats as the prompt
    unreached: int = 0  # wakes in a row that did not reach it
    retry: asyncio.TimerHandle | None = None  # of the next try
    waking: dict[str, asyncio.Future[bool]] = field(default_factory=dict)

    def heard(self, claude: str, *, idle: bool | None) -> None:
        """Note a hook of the session `claude`; `idle` None: it does not tell."""
        self.claude = claude or self.claude
        self.idle = self.idle if idle is None else idle
        self.heard_at = asyncio.get_running_loop().time()

    def tells(self) -> bool:
        """Return whether hooks tell when its model has an answer; then a call proves nothing.

        Of the calls of one round the client makes some one after the other: the model has seen nothing in between.
        """
        return self.heard_at > 0 and asyncio.get_running_loop().time() - self.heard_at < SILENT_S

    def told(self, control: Line) -> None:
        """Take the relay's answer to a wake."""
        waking = self.waking.get(str(control.get("msg_id")))
        if control["postino"] == "woken" and waking is not None and not waking.done():
            waking.set_result(control.get("ok") is True)


class ConnectedSessions:
    """All of them."""

    def __init__(self) -> None:
        self._open: set[ConnectedSession] = set()
        self.returned: Callable[[ConnectedSession], None] = lambda _: (
            None
        )  # called with a session that has connected again

    def __contains__(self, connected: ConnectedSession) -> bool:
        return connected in self._open

    def __iter__(self) -> Iterator[ConnectedSession]:
        return iter(list(self._open))

    def add(self, connected: ConnectedSession) -> None:
        """A session has connected."""
        self._open.add(connected)

    def discard(self, connected: ConnectedSession) -> None:
        """It has gone."""
        self._open.discard(connected)

    def of(self, pid: int, start: str | None, socket: str) -> ConnectedSession | None:
        """Return the session of a Claude process: by its pid and start, else by the name of its inbox socket.

        The start may be unknown on either side: this system does not tell, or the other one is in a container.
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
