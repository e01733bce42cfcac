"""Which session of Codex a mailbox belongs to, before a call has said it. Does not import the SDK.

Codex starts a session's MCP servers when it makes the session's id, whose first 48 bits are the time (a UUID of version
7): a relay starts some 30 ms later. Seen with 0.171.
"""

from __future__ import annotations

import uuid
from pathlib import Path

LATEST_MS = 5000  # that a relay starts after its session, on a busy machine


def begins_with(started_ms: int, session_id: str) -> bool:
    """Return whether a relay that started at a Unix time may be that of a session, judged by the session's id."""
    try:
        found = uuid.UUID(session_id)
    except ValueError:
        return False
    return found.version == 7 and 0 <= started_ms - (found.int >> 80) <= LATEST_MS


def runs_many_sessions(pid: int | None) -> bool:
    """Return whether a process of Codex may run several sessions: its server, which all its terminals share, does."""
    try:
        return b"app-server" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return True  # it is not known
