"""What Codex's transcript proves: after the answer of which tool calls its model has said something.

Codex writes one JSON object per line as a turn goes on; the answers of a round only once the model has made all calls
of that round (seen with 0.171, also where the calls came seconds apart). So what the model says after an answer, it
says with that answer. The form is not documented: what is not understood proves nothing, and the end of the turn does.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from typing import Any

import msgspec

TAIL = 1 << 20  # bytes at the end that are looked at: a round with long answers
_SAID_BY_MODEL = frozenset({"function_call", "custom_tool_call", "local_shell_call", "web_search_call", "reasoning"})
_ANSWERS = frozenset({"function_call_output", "custom_tool_call_output"})


class _Payload(msgspec.Struct):
    type: str = ""
    call_id: Any = None
    role: Any = None


class _Line(msgspec.Struct):
    type: str = ""
    payload: _Payload | None = None


def answered_calls(path: str, calls: Collection[str]) -> set[str]:
    """Return those of `calls` after whose answer the model has said something. Blocks while it reads the file."""
    answered: set[str] = set()
    seen: set[str] = set()
    for line in _tail(path).split(b"\n"):
        if b'"response_item"' not in line:
            continue
        try:
            payload = msgspec.json.decode(line, type=_Line).payload
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            continue  # the first line is cut
        if payload is None:
            continue
        if payload.type in _ANSWERS and payload.call_id in calls:
            answered.add(payload.call_id)
        elif payload.type in _SAID_BY_MODEL or (payload.type == "message" and payload.role == "assistant"):
            seen |= answered
    return seen


def _tail(path: str) -> bytes:
    """Return the end of a file; nothing where there is no such file, or it is none."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return b""
    try:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode):
            return b""
        return os.pread(file, TAIL, max(0, about.st_size - TAIL))
    except OSError:
        return b""
    finally:
        os.close(file)
