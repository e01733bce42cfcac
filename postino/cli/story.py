"""The output of the demo: who does what, and when."""

from __future__ import annotations

import sys
import time

from postino.cli import render


class Story:
    """Prints steps with the seconds since its start."""

    def __init__(self, ink: render.Ink) -> None:
        self._ink = ink
        self._began = time.monotonic()

    def line(self, who: str, what: str, *, body: str = "") -> None:
        """Print one step, and `body` below it."""
        elapsed = f"{time.monotonic() - self._began:5.2f} s"
        sys.stdout.write(f"{self._ink(elapsed, 'dim')}  {self._ink(f'{who:<8}', 'bold', 'cyan')} {what}\n")
        if body:
            sys.stdout.write(render.block(body, " " * 18))
        sys.stdout.flush()
