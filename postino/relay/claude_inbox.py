"""Write a line to the inbox socket of the Claude session this relay belongs to, which starts a turn there; ask whether
the session is idle.

Only a child of the session may: the client holds back what any other process writes until its user agrees. The
socket's token is sent to that socket only. Standard library only; imported when the first line is written.
"""

from __future__ import annotations

import _socket  # as in main.py
import json
import os

from postino.relay.claude_process import CONFIG, TOKEN, claude_process, variable

TYPE_CHECKING = False  # as in main.py
if TYPE_CHECKING:
    from typing import Any

TIMEOUT_S = 0.5  # for a socket whose owner does not read


def wake(control: dict[str, Any]) -> dict[str, Any]:
    """Carry out a `wake` line of the daemon; return the `woken` line that answers it."""
    msg_id = str(control.get("msg_id"))
    ok = write(str(control.get("text")), msg_id, control.get("session_id"))
    return {"postino": "woken", "msg_id": msg_id, "ok": ok}


def status(control: dict[str, Any]) -> dict[str, Any]:
    """Carry out a `status` line of the daemon; return the line that answers it.

    Its `status` is what the client's registry says, `idle`, `busy` or `waiting` (for a dialog), or None if it says
    nothing of this process. The registry is not documented; nothing but this question depends on it.
    """
    return {"postino": "status", "msg_id": control.get("msg_id"), "status": _registered()}


def _registered() -> str | None:
    process = claude_process()
    home = variable(CONFIG) or f"{os.environ.get('HOME', '')}/.claude"
    try:
        with open(f"{home}/sessions/{process['pid']}.json", encoding="utf-8") as file:  # noqa: PTH123
            entry = json.load(file)
        started = entry.get("procStart")
        if process["start"] is not None and started is not None and str(started) != str(process["start"]):
            return None  # of an earlier process with this pid
        return str(entry["status"])
    except (OSError, ValueError, KeyError, AttributeError):
        return None


def write(text: str, msg_id: str, session_id: str | None) -> bool:
    """Return whether the inbox took the line. The client drops it unless its session is `session_id`, if given."""
    path = claude_process()["socket"]
    if path is None:
        return False
    message = {"type": "user", "message": {"role": "user", "content": text}, "from": "postino", "msg_id": msg_id}
    lines = [message | ({"session_id": session_id} if session_id else {})]
    if token := variable(TOKEN):
        lines.insert(0, {"type": "auth", "token": token})
    return _send(path, b"".join(json.dumps(each).encode() + b"\n" for each in lines))


def _send(path: str, data: bytes) -> bool:
    inbox = _socket.socket(_socket.AF_UNIX)
    try:
        inbox.settimeout(TIMEOUT_S)
        inbox.connect(path)
        while data:
            data = data[inbox.send(data) :]
    except OSError:
        return False
    finally:
        inbox.close()
    return True
