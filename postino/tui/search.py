"""What is searched for: words, and the filters of the page."""

from __future__ import annotations

#: filter -> parameter of the history
FILTERS = {"from": "from", "to": "to", "thread": "thread", "is": "state"}


def words(text: str) -> list[str]:
    """Return the words of what somebody searches, without the filters."""
    return asked(text).get("q", "").split()


def asked(text: str) -> dict[str, str]:
    """Return the parameters of the history for what somebody searches, such as `leak from:ada is:dead`."""
    found: dict[str, str] = {}
    words = []
    for word in text.split():
        name, colon, value = word.partition(":")
        if colon and value and name in FILTERS:
            found[FILTERS[name]] = value
        else:
            words.append(word)
    return found | ({"q": " ".join(words)} if words else {})
