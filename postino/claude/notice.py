"""The lines a session is notified with: counts and names, never a body, a few hundred characters at most.

Any program of this user can choose a sender's name or an id: a name that is not verified is quoted and marked, and long
ones are shortened.
"""

from __future__ import annotations

import hashlib
import re

import msgspec

from postino.values import NAME_PATTERN

MAX_SENDERS = 3
MAX_ONLINE = 8  # agents named in a greeting
LONGEST_NAME = 24  # characters
LONGEST_ID = 12
_NAME = re.compile(NAME_PATTERN)


def mail_line(unread: int, unseen: int, senders: list[str]) -> str:
    """Return one line with what waits, or "" if nothing does. Without senders the line has counts only."""
    parts = []
    if unread:
        named = ", ".join(sender_names(senders)[:MAX_SENDERS])
        parts.append(_count(unread, "unread message") + (f" (from {named})" if named else ""))
    if unseen:
        parts.append(_count(unseen, "unseen broadcast"))
    return f"postino: {', '.join(parts)}" if parts else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def greeting(agent: str, online: list[str], unread: int, unseen: int, senders: list[str]) -> str:
    """Return one line with the session's agent, who else is online, and what waits."""
    others = [shortened(name) for name in valid_names(online) if name != agent]
    more = f" and {len(others) - MAX_ONLINE} more" if len(others) > MAX_ONLINE else ""
    there = f"online: {', '.join(others[:MAX_ONLINE])}{more}" if others else "nobody else is online"
    mail = mail_line(unread, unseen, senders).removeprefix("postino: ") or "no mail"
    return f"postino: this session is agent {agent}; {there}; {mail}"


def hook_context(event: str, text: str) -> bytes:
    """Return the hook output that adds `text` to the session's context; nothing for an empty text."""
    if not text:
        return b""
    return msgspec.json.encode({"hookSpecificOutput": {"hookEventName": event, "additionalContext": text}})


def hook_warning(sentence: str) -> bytes:
    """Return the hook output that shows `sentence` to the user and not to the model."""
    return msgspec.json.encode({"systemMessage": f"postino: this session has no mailbox: {sentence}"})


def sender_names(senders: list[str]) -> list[str]:
    """Return senders (`name?` if not verified) as a line names them."""
    plain = valid_names([each.removesuffix("?") for each in senders])
    return [shortened(name) if name in senders else f"unverified '{shortened(name)}'" for name in plain]


def shortened(name: str) -> str:
    """Return a name with at most LONGEST_NAME characters."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def shortened_id(id: str) -> str:
    """Return an id of a few characters, or else a digest: lines about different messages must differ."""
    return id if len(id) <= LONGEST_ID else f"#{hashlib.blake2s(id.encode(), digest_size=4).hexdigest()}"


def valid_names(names: list[str]) -> list[str]:
    """Return those that are valid names: another program may have written others into the store."""
    return [name for name in names if _NAME.fullmatch(name)]
