"""What a person can see: a message counts as opened once it was, and they are away when they see nothing for long."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any

from textual.app import App
from textual.timer import Timer

from postino.tui.mailroom import Mailroom
from postino.tui.terminal import Terminal

SEEN_S = 1.0  # that a message of the inbox has to be shown until it counts as opened
AGAIN_S = 5.0  # until it is looked again whether somebody sees it now
HIDDEN_S = 20.0  # between two looks whether the terminal is seen
AWAY_S = 300.0  # as on the page


class Sight:
    """Watches the terminal of an inbox; without one somebody sees everything. `seen` is told the id of a message."""

    def __init__(
        self, app: App[None], mailroom: Mailroom, terminal: Terminal | None, seen: Callable[[str], None]
    ) -> None:
        self._app = app
        self._mailroom = mailroom
        self._terminal = terminal
        self._on_seen = seen
        self._timer: Timer | None = None
        self._watched: str | None = None
        self._hidden_since: float | None = None  # time.monotonic()

    def begin(self) -> None:
        """Watch until the inbox ends."""
        if self._terminal is not None:
            self._app.set_interval(HIDDEN_S, lambda: self._begin(self._note_hidden()))

    def watch(self, id: str | None) -> None:
        """Report a message as seen when it was shown for a while; None: nothing that is new is shown."""
        if self._timer is not None:
            self._timer.stop()
        self._watched = id
        self._timer = None if id is None else self._app.set_timer(SEEN_S, lambda: self._begin(self._seen(id)))

    async def _seen(self, id: str) -> None:
        if self._app.app_focus and not await self._note_hidden():
            self._on_seen(id)
        elif self._watched == id:
            self._timer = self._app.set_timer(AGAIN_S, lambda: self._begin(self._seen(id)))

    def _begin(self, look: Coroutine[Any, Any, object]) -> None:
        """Look at the side: tmux may take its time, and keys are not to wait for it."""
        self._app.run_worker(look, exit_on_error=False)

    async def _note_hidden(self) -> bool:
        """Return whether nobody sees the terminal; tell the daemon that the person is away, or is back."""
        hidden = self._terminal is not None and await self._terminal.is_hidden()
        if not hidden:
            self._hidden_since = None
        elif self._hidden_since is None:
            self._hidden_since = time.monotonic()
        away = self._hidden_since is not None and time.monotonic() - self._hidden_since >= AWAY_S
        self._mailroom.be(away=away)
        return hidden
