"""What a session is notified with: lines of counts and names, never a body, and the form in which a hook prints them.

Any program of this user can choose the id of a message: a long one is shortened.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from postino.hint import MARK, MAX_SENDERS, sender_names, shortened, valid_names, what_waits
from postino.values import count

MAX_ONLINE = 8  # agents named in a greeting
LONGEST_ID = 12  # characters


def greeting(agent: str, online: list[str], unread: int, unseen: int, senders: list[str]) -> str:
    """Return one line with the session's agent, who else is online, and what waits."""
    others = [shortened(name) for name in valid_names(online) if name != agent]
    more = f" and {len(others) - MAX_ONLINE} more" if len(others) > MAX_ONLINE else ""
    there = f"online: {', '.join(others[:MAX_ONLINE])}{more}" if others else "nobody else is online"
    return f"{MARK} this session is agent {agent}; {there}; {what_waits(unread, unseen, senders) or 'no mail'}"


def mail_for_user(agent: str, unread: int, senders: list[str]) -> str:
    """Return what the user of a session that starts is told of its mail, "" if none waits."""
    if not unread:
        return ""
    named = sender_names(senders[:MAX_SENDERS])
    who = f" from {named}" if named else ""
    return f'{agent} has {count(unread, "unread message")}{who}; a prompt such as "read my mail" reads it'


def hook_context(event: str, text: str, *for_user: str) -> bytes:
    """Return the hook output that adds `text` to the session's context and shows `for_user` to the user.

    Nothing if all of them are empty.
    """
    output: dict[str, Any] = {}
    if text:
        output["hookSpecificOutput"] = {"hookEventName": event, "additionalContext": text}
    if any(for_user):
        output["systemMessage"] = f"postino: {'; '.join(filter(None, for_user))}"
    return msgspec.json.encode(output) if output else b""


def hook_warning(sentence: str) -> bytes:
    """Return the hook output that shows `sentence` to the user and not to the model."""
    return msgspec.json.encode({"systemMessage": f"postino: this session has no mailbox: {sentence}"})


def shortened_id(id: str) -> str:
    """Return an id of a few characters, or else a digest: lines about different messages must differ."""
    return id if len(id) <= LONGEST_ID else f"#{hashlib.blake2s(id.encode(), digest_size=4).hexdigest()}"
