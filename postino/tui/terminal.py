"""The terminal around the program: whether it is still there, and whether anybody can see it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping

LOOK_S = 1.0  # between two looks whether the terminal is there
ASK_S = 2.0  # that tmux may take to answer
#: clients, the window is the current one, a pane fills it, the pane is the current one
SHOWN = "#{session_attached} #{window_active} #{window_zoomed_flag} #{pane_active}"


class Terminal:
    """The terminal that standard input comes from; within tmux a pane of it, which may have no screen."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._tmux = environ.get("TMUX", "").partition(",")[0]
        self._pane = environ.get("TMUX_PANE", "")

    def end_with_it(self) -> None:
        """End this process when the terminal has, as after a lost connection whose SIGHUP it ignores.

        A thread does, and at once: Textual would wait without end for a terminal that takes nothing more.
        """

        def work() -> None:
            while os.isatty(0):
                time.sleep(LOOK_S)
            os._exit(128 + signal.SIGHUP)

        threading.Thread(target=work, name="terminal", daemon=True).start()

    async def is_hidden(self) -> bool:
        """Return whether it is known that nobody sees this pane: no client is attached, or it shows another one."""
        if not self._tmux or not self._pane:
            return False
        command = ("tmux", "-S", self._tmux, "display-message", "-p", "-t", self._pane, SHOWN)
        try:
            process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL)
        except OSError:
            return False
        try:
            async with asyncio.timeout(ASK_S):
                said, _ = await process.communicate()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            return False
        words = said.decode(errors="replace").split()
        if len(words) != 4:
            return False
        attached, current, zoomed, active = (word != "0" for word in words)
        return not attached or not current or (zoomed and not active)
