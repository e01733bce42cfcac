"""What a hook prints: facts, counts and checked names; never a body, and a few hundred characters at most."""

from __future__ import annotations

import re

import msgspec

from postino.model import NAME_PATTERN, Check

NAMED = 3  # senders
ONLINE = 8  # agents
_NAME = re.compile(NAME_PATTERN)


def hint(found: Check, senders: list[str]) -> str:
    """Return what waits as one line, or nothing: counts and checked names only, never a body."""
    parts = []
    if found.unread_messages:
        named = f" (from {', '.join(senders)})" if senders else ""  # empty: read by another in between
        parts.append(_count(found.unread_messages, "unread message") + named)
    if found.unseen_broadcasts:
        parts.append(_count(found.unseen_broadcasts, "unseen broadcast"))
    return f"postino: {', '.join(parts)}" if parts else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def line(agent: str, unread: int, unseen: int, senders: list[str]) -> str:
    """Return what waits as one line, or nothing."""
    return hint(Check(agent=agent, unread_messages=unread, unseen_broadcasts=unseen), safe(senders)[:NAMED])


def greeting(agent: str, online: list[str], unread: int, unseen: int, senders: list[str]) -> str:
    """Return who this session is, who else is there and what waits."""
    others = [name for name in safe(online) if name != agent]
    more = f" and {len(others) - ONLINE} more" if len(others) > ONLINE else ""
    there = f"online: {', '.join(others[:ONLINE])}{more}" if others else "nobody else is online"
    waits = line(agent, unread, unseen, senders).removeprefix("postino: ") or "no mail"
    return f"postino: this session is agent {agent}; {there}; {waits}"


def context(event: str, text: str) -> bytes:
    """Return the JSON by which a hook adds `text` to the session; nothing for no text."""
    if not text:
        return b""
    return msgspec.json.encode({"hookSpecificOutput": {"hookEventName": event, "additionalContext": text}})


def warning(sentence: str) -> bytes:
    """Return the JSON by which a hook tells the user, not the model, what is wrong."""
    return msgspec.json.encode({"systemMessage": f"postino: this session has no mailbox: {sentence}"})


def safe(names: list[str]) -> list[str]:
    """Return those that can be names; the store may have been written to by somebody else."""
    return [name for name in names if _NAME.fullmatch(name)]
