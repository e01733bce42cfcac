"""The headers with which a hook or a command describes the client's process that it belongs to."""

from __future__ import annotations

import re

from aiohttp import web

from postino.claude.hook_events import HookProcess
from postino.home import is_placeholder
from postino.values import ID_PATTERN

#: with these a command says in which session it runs
IN_SESSION = ("X-Claude-Pid", "X-Claude-Socket", "X-Claude-Session", "X-Postino-Inside")

SESSION_ID = re.compile(ID_PATTERN)
_PID = re.compile(r"[1-9][0-9]{0,9}")


def client_process(request: web.Request) -> HookProcess:
    """Return the client's process, as the headers describe it."""
    headers = request.headers
    found, name = _PID.fullmatch(headers.get("X-Claude-Pid", "")), headers.get("X-Postino-Agent", "")
    return HookProcess(
        pid=int(found.group()) if found else 0,
        socket=headers.get("X-Claude-Socket", ""),
        name=None if is_placeholder(name) else name or None,
        terminal=headers.get("X-Postino-Terminal", ""),
        plugin=headers.get("X-Postino-Plugin"),
        ask=headers.get("X-Postino-Ask") == "true",
    )


def client_sessions(request: web.Request) -> list[str]:
    """Return the session ids that a command has from its clients: from Codex, and from Claude Code."""
    codex = re.search(r"codex:([^,]+)", request.headers.get("X-Postino-Inside", ""))
    given = [codex[1] if codex else "", request.headers.get("X-Claude-Session", "")]
    return [each for each in given if SESSION_ID.fullmatch(each)]


def is_in_session(request: web.Request) -> bool:
    """Return whether the caller says that it runs in a session."""
    return any(name in request.headers for name in IN_SESSION)
