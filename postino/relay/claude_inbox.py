"""Write a line to the inbox socket of the Claude session this relay belongs to, which starts a turn there.

Only a child of the session may: the client holds back what any other process writes until its user agrees. The
socket's token is sent to that socket only. Standard library only; imported when the first line is written.
"""

from __future__ import annotations

import _socket  # as in main.py
import json

from postino.relay.claude_process import TOKEN, claude_process, variable

TYPE_CHECKING = False  # as in main.py
if TYPE_CHECKING:
    from typing import Any

TIMEOUT_S = 0.5  # for a socket whose owner does not read


def wake(control: dict[str, Any]) -> dict[str, Any]:
    """Carry out a `wake` line of the daemon; return the `woken` line that answers it."""
    msg_id = str(control.get("msg_id"))
    ok = write(str(control.get("text")), msg_id, control.get("session_id"))
    return {"postino": "woken", "msg_id": msg_id, "ok": ok}


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
