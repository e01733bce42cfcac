"""The session of Claude Code, Codex, Gemini CLI or opencode in which a command runs, as its client tells it."""

from __future__ import annotations

from postino.errors import NotFound
from postino.relay.claude_process import PID, SESSION, SOCKET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from postino.client import Client

#: client -> the variable that it sets for the commands of its sessions
INSIDE = {"codex": "CODEX_THREAD_ID", "gemini": "GEMINI_CLI", "opencode": "OPENCODE"}


def headers(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that tell the daemon the session; none outside of one.

    Of clients within one another the variables do not say which is the inner one: the daemon finds it by the processes.
    """
    inside = [client for client, variable in INSIDE.items() if environ.get(variable)]
    codex = environ.get(INSIDE["codex"], "")
    said = {
        "X-Claude-Pid": environ.get(PID) or environ.get("OPENCODE_PID", ""),
        "X-Claude-Socket": environ.get(SOCKET, "").rpartition("/")[2],  # its name is enough to find the session
        "X-Claude-Session": environ.get(SESSION, ""),
        "X-Postino-Inside": ",".join(f"{each}:{codex}" if each == "codex" else each for each in inside),
    }
    return {name: text for name, text in said.items() if text and text.isascii() and text.isprintable()}


def agent(client: Client) -> str | None:
    """Return the agent of the session; None if it has no mailbox, or the daemon is of a version that cannot tell."""
    try:
        found = client.whoami().get("agent")
    except NotFound:
        return None
    return None if found is None else str(found)
