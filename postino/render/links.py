"""Which addresses become links, and when a link shows the host it leads to."""

from __future__ import annotations

import re
from collections.abc import Iterator

LONGEST = 2_000  # characters of an address; a longer one stays text

# no user or password before the host, no backslash: browsers take it for a slash
_WEB = re.compile(
    r"https?://(?P<host>[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]{2,45}\])(?P<port>:[0-9]{1,5})?"
    r"(?:[/?#][!#-;=?-\[\]_a-z|~]*)?",
    re.IGNORECASE,
)
_MAIL = re.compile(r"mailto:(?P<host>[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,253})", re.IGNORECASE)
# each part is bounded, so that the time of a search stays linear
_BARE = re.compile(r"https?://[^\s<>\"'`\\]{1,1000}", re.IGNORECASE)
_TRAILING = ".,;:!?)]}"  # after an address it is mostly punctuation of the sentence


def host(address: str) -> str | None:
    """Return the host and port that `address` leads to, or the recipient of a mail; None: it must not be a link."""
    if len(address) > LONGEST:
        return None
    if mail := _MAIL.fullmatch(address):
        return mail["host"]
    web = _WEB.fullmatch(address)
    return (web["host"] + (web["port"] or "")).lower() if web else None


def is_address(text: str, address: str) -> bool:
    """Return whether `text` says where `address` leads: then the link needs no further word."""
    bare = address.removeprefix("https://").removeprefix("http://").removeprefix("mailto:")
    return text.strip() in (address, bare, address.removesuffix("/"), bare.removesuffix("/"))


def bare(text: str) -> Iterator[tuple[str, bool]]:
    """Split `text` at the addresses in it: yield each part, and whether it is an address that may be a link."""
    end = 0
    for found in _BARE.finditer(text):
        address = _without_punctuation(found.group())
        if found.start() > end:
            yield text[end : found.start()], False
        yield address, host(address) is not None
        end = found.start() + len(address)
    if end < len(text):
        yield text[end:], False


def _without_punctuation(address: str) -> str:
    end = len(address)
    while address[end - 1] in _TRAILING:
        if address[end - 1] == ")" and address.count("(", 0, end) >= address.count(")", 0, end):
            break  # a bracket of the address itself, as in `/wiki/Stream_(computing)`
        end -= 1
    return address[:end]
