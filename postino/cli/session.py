"""The Claude Code session in which a command runs. The client tells each command of its Bash tool which one it is."""

from __future__ import annotations

from postino.errors import NotFound
from postino.relay.claude_process import PID, SESSION, SOCKET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from postino.client import Client


def headers(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that tell the daemon the session; none outside of one."""
    said = {
        "X-Claude-Pid": environ.get(PID, ""),
        "X-Claude-Socket": environ.get(SOCKET, "").rpartition("/")[2],  # its name is enough to find the session
        "X-Claude-Session": environ.get(SESSION, ""),
    }
    return {name: text for name, text in said.items() if text and text.isascii() and text.isprintable()}


def agent(client: Client) -> str | None:
    """Return the agent of the session; None if it has no mailbox, or the daemon is of a version that cannot tell."""
    try:
        found = client.whoami().get("agent")
    except NotFound:
        return None
    return None if found is None else str(found)
