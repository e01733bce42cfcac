"""What a session is notified with: lines of counts and names, never a body, and the form in which a hook prints them.

Any program of this user can choose the id of a message: a long one is shortened.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from postino.hint import MARK, shortened, valid_names, what_waits

MAX_ONLINE = 8  # agents named in a greeting
LONGEST_ID = 12  # characters


def greeting(agent: str, online: list[str], unread: int, unseen: int, senders: list[str]) -> str:
    """Return one line with the session's agent, who else is online, and what waits."""
    others = [shortened(name) for name in valid_names(online) if name != agent]
    more = f" and {len(others) - MAX_ONLINE} more" if len(others) > MAX_ONLINE else ""
    there = f"online: {', '.join(others[:MAX_ONLINE])}{more}" if others else "nobody else is online"
    return f"{MARK} this session is agent {agent}; {there}; {what_waits(unread, unseen, senders) or 'no mail'}"


def hook_context(event: str, text: str, warning: str = "") -> bytes:
    """Return the hook output that adds `text` to the session's context and shows `warning` to the user.

    Nothing for two empty texts.
    """
    output: dict[str, Any] = {}
    if text:
        output["hookSpecificOutput"] = {"hookEventName": event, "additionalContext": text}
    if warning:
        output["systemMessage"] = f"postino: {warning}"
    return msgspec.json.encode(output) if output else b""


def hook_warning(sentence: str) -> bytes:
    """Return the hook output that shows `sentence` to the user and not to the model."""
    return msgspec.json.encode({"systemMessage": f"postino: this session has no mailbox: {sentence}"})


def shortened_id(id: str) -> str:
    """Return an id of a few characters, or else a digest: lines about different messages must differ."""
    return id if len(id) <= LONGEST_ID else f"#{hashlib.blake2s(id.encode(), digest_size=4).hexdigest()}"
