"""The first reply to each message, so that the sender of a further one is told."""

from __future__ import annotations

from postino.model import Draft, Sender
from postino.values import HUMAN

_MOST = 10_000  # replies that are remembered


class FirstReplies:
    """The first reply of each agent to each message, and of all people together, as far as this daemon has taken it.

    Nothing is stored: a note on a second reply is worth no write for each first one, nor a search of the history. A
    daemon that starts knows none, nor does another one on the same store.
    """

    def __init__(self) -> None:
        #: who asked, the id of the message, who replied -> the name of the latter and the id of the reply
        self._first: dict[tuple[str, str, str], tuple[str, str]] = {}

    def note(self, draft: Draft, to: str, sender: Sender, *, person: bool) -> str | None:
        """Remember a message that was accepted for `to`; return what its sender is told if it is a further reply."""
        if draft.reply_to is None:
            return None
        about = (to.lower(), draft.reply_to, HUMAN if person else sender.name.lower())
        name, id = self._first.setdefault(about, (sender.name, draft.id))
        if id != draft.id:
            who = "you have" if name.lower() == sender.name.lower() else f"{name} has"
            return f"a further answer: {who} answered {draft.reply_to} before, by {id}"
        if len(self._first) > _MOST:
            del self._first[next(iter(self._first))]
        return None
