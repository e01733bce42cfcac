"""The output of the demo: who does what, and when."""

from __future__ import annotations

import sys
import time

from postino.cli import render


class Story:
    """Prints steps with the seconds since its start, which do not count the pauses of `pause_s` after each step."""

    def __init__(self, ink: render.Ink, pause_s: float = 0.0) -> None:
        self._ink = ink
        self._began = time.monotonic()
        self._pause_s = pause_s

    def line(self, who: str, what: str, *, body: str = "") -> None:
        """Print one step, and `body` below it."""
        elapsed = f"{time.monotonic() - self._began:5.2f} s"
        sys.stdout.write(f"{self._ink(elapsed, 'dim')}  {self._ink(f'{who:<8}', 'bold', 'cyan')} {what}\n")
        if body:
            sys.stdout.write(render.block(body, " " * 18, self._ink.width))
        sys.stdout.flush()
        if self._pause_s:
            time.sleep(self._pause_s)
            self._began += self._pause_s
