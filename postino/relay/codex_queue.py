"""Run `codex queue`, which gives a line to the Codex session this relay belongs to; an idle one starts a turn with it.

The relay has that session's environment, so the command finds the same Codex home. Standard library only; imported when
the first line is queued.
"""

from __future__ import annotations

import os
import subprocess

TYPE_CHECKING = False  # as in main.py
if TYPE_CHECKING:
    from typing import Any


class Queueing:
    """One command that runs. `control` is the `wake` line of the daemon."""

    PAUSE_S = 0.05  # between two looks at whether the command has ended, which takes 0.1 to 8 s

    def __init__(self, control: dict[str, Any]) -> None:
        self._msg_id = str(control.get("msg_id"))
        self._process: subprocess.Popen[bytes] | None = None
        words = [codex(), "queue", "--thread", str(control.get("session_id")), "--message", str(control.get("text"))]
        try:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        except OSError:
            return

    def answer(self) -> dict[str, Any] | None:
        """Return the `woken` line once the command has ended, None until then."""
        code = 1 if self._process is None else self._process.poll()
        return None if code is None else {"postino": "woken", "msg_id": self._msg_id, "ok": code == 0}


def codex() -> str:
    """Return the program of Codex: that of the parent process, else `codex` on PATH."""
    try:
        parent = os.readlink(f"/proc/{os.getppid()}/exe")  # noqa: PTH115 - as in claude_process.py
    except OSError:
        return "codex"
    return parent if parent.rpartition("/")[2].startswith("codex") else "codex"
