"""Write one line to the inbox socket of the session this process belongs to, which starts a turn there.

Only a child of the session may: what a stranger writes is held back until its user agrees. The token goes from the
environment to that socket and nowhere else. Standard library only; imported when a line is first written.
"""

from __future__ import annotations

import _socket  # as in relay.py
import json

from postino.relay.claude_process import TOKEN, claude, variable

TYPE_CHECKING = False  # see relay.py
if TYPE_CHECKING:
    from typing import Any

PATIENCE = 0.5  # s for a socket whose owner does not read


def woken(control: dict[str, Any]) -> dict[str, Any]:
    """Do what a wake from the daemon asks; return the answer to it."""
    msg_id, session_id = str(control.get("msg_id")), control.get("session_id")
    return {"postino": "woken", "msg_id": msg_id, "ok": nudge(str(control.get("text")), msg_id, session_id)}


def nudge(text: str, msg_id: str, session_id: str | None) -> bool:
    """Return whether the session's socket took the line; `session_id` keeps it from another session than is meant."""
    path = claude()["socket"]
    if path is None:
        return False
    said = {"type": "user", "message": {"role": "user", "content": text}, "from": "postino", "msg_id": msg_id}
    lines = [said | ({"session_id": session_id} if session_id else {})]
    if token := variable(TOKEN):
        lines.insert(0, {"type": "auth", "token": token})
    return _write(path, b"".join(json.dumps(each).encode() + b"\n" for each in lines))


def _write(path: str, data: bytes) -> bool:
    inbox = _socket.socket(_socket.AF_UNIX)
    try:
        inbox.settimeout(PATIENCE)
        inbox.connect(path)
        while data:
            data = data[inbox.send(data) :]
    except OSError:
        return False
    finally:
        inbox.close()
    return True
