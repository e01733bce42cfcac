"""Run `codex queue`, which gives a line to the Codex session this relay belongs to; an idle one starts a turn with it.

The relay has that session's environment, so the command finds the same Codex home. Every user of the machine can see
the arguments of a command, so the line holds no message: see codex_server. Standard library only; imported when the
first line is queued.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time

TYPE_CHECKING = False  # as in main.py
if TYPE_CHECKING:
    from typing import Any


class Queueing:
    """One command that runs. `control` is the `wake` line of the daemon."""

    PAUSE_S = 0.05  # between two looks at whether the command has ended, which takes 0.1 to 8 s
    LIMIT_S = 15.0  # after which it is killed

    def __init__(self, control: dict[str, Any]) -> None:
        self._msg_id = str(control.get("msg_id"))
        self._process: subprocess.Popen[bytes] | None = None
        self._ends_by = time.monotonic() + self.LIMIT_S
        words = [codex(), "queue", "--thread", str(control.get("session_id")), "--message", str(control.get("text"))]
        with contextlib.suppress(OSError):
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # the command may start others, which end with it
            )

    def answer(self) -> dict[str, Any] | None:
        """Return the `woken` line once the command has ended, None until then. It may take LIMIT_S."""
        code = None if self._process is None else self._process.poll()
        if self._process is None:
            error = "`codex` cannot be started"
        elif code is not None:
            error = f"`codex queue` ended with code {code}"
        elif time.monotonic() < self._ends_by:
            return None
        else:
            error = f"`codex queue` did not end within {self.LIMIT_S:.0f} s and was killed"
            self.kill()
        answer = {"postino": "woken", "msg_id": self._msg_id, "ok": code == 0}
        return answer if code == 0 else answer | {"error": error}

    def kill(self) -> None:
        """End the command and whatever it has started."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def codex() -> str:
    """Return the program of Codex: that of the parent process, else `codex` on PATH."""
    try:
        parent = os.readlink(f"/proc/{os.getppid()}/exe")  # noqa: PTH115 - as in claude_process.py
    except OSError:
        return "codex"
    return parent if parent.rpartition("/")[2].startswith("codex") else "codex"
