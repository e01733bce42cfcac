"""Replace the relay of an open session by the one that is installed now, after a newer daemon has come.

The process stays the same, and so do its pipes to the client; what the relay knows of them is handed over. Standard
library only; imported when it happens.
"""

from __future__ import annotations

import json
import os
import sys

from postino import __version__
from postino.versions import is_older

TYPE_CHECKING = False  # as in main.py
if TYPE_CHECKING:
    from postino.relay.daemon_link import DaemonLink

STATE = "POSTINO_RELAY_STATE"  # the variable that carries it; main.py removes it
MAX_STATE = 1 << 16  # characters; Linux takes 128 KB in one variable
VERSION_S = 5.0  # for the installed relay to say its version, which takes 0.03 s
TOOLS_CHANGED = b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'


def renew(link: DaemonLink) -> None:
    """Become the installed relay. Returns if that is not newer than this one, or cannot be started."""
    command = [sys.executable, *sys.orig_argv[1:]]
    state = json.dumps(
        {
            "session": link.session,
            "generation": link.generation,
            "started_ms": link.started_ms,
            "initialize": link.initialize,
            "initialized": link.initialized.decode(),
        }
    )
    if command[-1] == "mcp" and len(state) <= MAX_STATE and is_older(__version__, _installed(command[:-1])):
        os.environ[STATE] = state
        try:
            os.execv(command[0], command)
        except OSError:
            del os.environ[STATE]


def _installed(command: list[str]) -> str:
    """Return the version that is installed now, "" if it does not say."""
    import subprocess

    try:
        done = subprocess.run(
            [*command, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=VERSION_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace").strip().rpartition(" ")[2]


def resume(link: DaemonLink, handed_over: str) -> None:
    """Go on where the relay before this one stopped, and let the client list the tools anew."""
    state = json.loads(handed_over)
    link.session, link.generation = str(state["session"]), int(state["generation"])
    link.started_ms = int(state.get("started_ms", 0))  # 0: from an earlier relay, which did not say
    link.initialize, link.initialized = state["initialize"], str(state["initialized"]).encode()
    link.handshake_done = True
    link.to_client.put(TOOLS_CHANGED)
