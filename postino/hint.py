"""The line that says what waits for an agent and what to do about it, the same wherever one is shown.

It holds counts and names, never a body, a few hundred characters at most. Any program of this user can choose the name
of a sender: one that is not verified is quoted and marked, and long ones are shortened.
"""

from __future__ import annotations

import re

from postino.values import NAME_PATTERN, count

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Iterable

MARK = "[postino]"  # begins every line that postino puts into a session
MAX_SENDERS = 3
LONGEST_NAME = 24  # characters
_NAME = re.compile(NAME_PATTERN)
#: what a sender expects -> what the recipient's model is told, once for all messages that it gets together
_INTENTS = {
    "none": "`expects: none` means no reply expected: do not answer",
    "reply": "`expects: reply` means that the sender waits: answer once, with `reply_to`",
}


def hint(unread: int, unseen: int, senders: list[str]) -> str:
    """Return one line with what waits, or "" if nothing does. Without senders the line has counts only."""
    found = what_waits(unread, unseen, senders)
    return f"{MARK} {found}" if found else ""


def what_waits(unread: int, unseen: int, senders: list[str]) -> str:
    """Return what waits and which tools to call, without the mark; "" if nothing waits."""
    parts, tools = [], []
    if unread:
        named = sender_names(senders[:MAX_SENDERS])
        parts.append(count(unread, "unread message") + (f" (from {named})" if named else ""))
        tools.append("msg_read")
    if unseen:
        parts.append(count(unseen, "unseen broadcast"))
        tools.append("msg_broadcasts")
    return f"{', '.join(parts)}: call {' and '.join(tools)}" if parts else ""


def intents(expected: Iterable[object]) -> str:
    """Return what a model is told of messages whose senders expect this of it; "" if none expects anything."""
    found = set(expected)
    return "; ".join(text for kind, text in _INTENTS.items() if kind in found)


def sender_names(senders: list[str]) -> str:
    """Return senders (`name?` if not verified) as a line names them: the verified first, the others quoted."""
    plain = [shortened(each) for each in valid_names(senders)]
    quoted = [f"'{shortened(each)}'" for each in valid_names([name[:-1] for name in senders if name.endswith("?")])]
    return ", ".join([*plain, f"unverified {', '.join(quoted)}"] if quoted else plain)


def shortened(name: str) -> str:
    """Return a name with at most LONGEST_NAME characters."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def valid_names(names: list[str]) -> list[str]:
    """Return those that are valid names: another program may have written others into the store."""
    return [name for name in names if _NAME.fullmatch(name)]
