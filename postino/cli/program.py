"""Run another program to its end, within a time."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence


def finished(
    words: Sequence[str], environ: Mapping[str, str], seconds: float, directory: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program without input; return how it ended and what it printed, in which bad UTF-8 is replaced.

    Raises:
        OSError: it cannot be started. subprocess.TimeoutExpired: it did not end in time, and was killed.
    """
    return subprocess.run(
        list(words),
        env=dict(environ),
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
    )
