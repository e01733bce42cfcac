"""What the demo prints: who does what, and when."""

from __future__ import annotations

import sys
import time

from postino.cli import render


class Story:
    """Prints what happens, with the seconds since it began."""

    def __init__(self, ink: render.Ink) -> None:
        self._ink = ink
        self._began = time.monotonic()

    def tell(self, who: str, what: str, *, body: str = "") -> None:
        """Print one line, and `body` below it."""
        elapsed = f"{time.monotonic() - self._began:5.2f} s"
        sys.stdout.write(f"{self._ink(elapsed, 'dim')}  {self._ink(f'{who:<8}', 'bold', 'cyan')} {what}\n")
        if body:
            sys.stdout.write(render.block(body, " " * 18))
        sys.stdout.flush()
