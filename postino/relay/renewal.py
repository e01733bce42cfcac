"""Replace the relay of an open session by the one that is installed now, after a newer daemon has come.

The process stays the same, and so do its pipes to the client; what the relay knows of them is handed over. Standard
library only; imported when it happens.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time

from postino import __version__
from postino.versions import is_older

TYPE_CHECKING = False  # as in main.py
if TYPE_CHECKING:
    from postino.relay.daemon_link import DaemonLink

STATE = "POSTINO_RELAY_STATE"  # the variable that carries it; main.py removes it
MAX_STATE = 1 << 16  # characters; Linux takes 128 KB in one variable
VERSION_S = 5.0  # for the installed relay to say its version, which takes 0.03 s
TOOLS_CHANGED = b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'


class Renewal:
    """Asks which version is installed now, while the relay goes on, and becomes it if it is newer."""

    PAUSE_S = 0.05  # between two looks at whether the answer has come

    def __init__(self) -> None:
        self._command = [sys.executable, *sys.orig_argv[1:]]
        self._asked: subprocess.Popen[bytes] | None = None
        self._answer_by = time.monotonic() + VERSION_S
        if self._command[-1] == "mcp":
            with contextlib.suppress(OSError):
                self._asked = subprocess.Popen(
                    [*self._command[:-1], "--version"],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )

    def is_answered(self) -> bool:
        """Return whether the installed version has said its number, or will not."""
        if self._asked is None or self._asked.poll() is not None:
            return True
        if time.monotonic() >= self._answer_by:
            self.stop()
            return True
        return False

    def stop(self) -> None:
        """End the question: the relay ends."""
        if self._asked is not None and self._asked.poll() is None:
            self._asked.kill()
            self._asked.wait()

    def renew(self, link: DaemonLink) -> None:
        """Become the installed relay. Returns if that is not newer than this one, or cannot be started."""
        state = json.dumps(
            {
                "session": link.session,
                "generation": link.generation,
                "started_ms": link.started_ms,
                "initialize": link.initialize,
                "initialized": link.initialized.decode(),
                "subscription": link.subscription,
            }
        )
        if len(state) <= MAX_STATE and is_older(__version__, self._version()):
            os.environ[STATE] = state
            try:
                os.execv(self._command[0], self._command)
            except OSError:
                del os.environ[STATE]

    def _version(self) -> str:
        """Return the version that is installed now, "" if it does not say."""
        if self._asked is None or self._asked.stdout is None:
            return ""
        with self._asked.stdout as said:
            text = said.read(MAX_STATE) if self._asked.returncode == 0 else b""
        return text.decode(errors="replace").strip().rpartition(" ")[2]


def resume(link: DaemonLink, handed_over: str) -> None:
    """Go on where the relay before this one stopped, and let the client list the tools anew."""
    state = json.loads(handed_over)
    link.session, link.generation = str(state["session"]), int(state["generation"])
    link.started_ms = int(state.get("started_ms", 0))  # 0: from an earlier relay, which did not say
    link.initialize, link.initialized = state["initialize"], str(state["initialized"]).encode()
    link.subscription = state.get("subscription")
    link.handshake_done = True
    link.to_client.put(TOOLS_CHANGED)
