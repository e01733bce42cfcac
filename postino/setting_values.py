"""Parsers of the settings' values. Each raises ValueError, KeyError or RuntimeError if a value is not allowed."""

from __future__ import annotations

import os

from postino.light import pattern
from postino.paths import Home
from postino.store_address import parse as parse_address
from postino.values import LEAST_MEMORY

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Literal


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Return the parser of a whole number from `low` to `high`."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit()):
            raise ValueError
        value = int(text)
        if not low <= value <= high:
            raise ValueError
        return value

    return parse


def replicas(text: str) -> int | Literal["strict"]:
    """Return a number of replicas, or `strict`."""
    return "strict" if text.lower() == "strict" else whole_number(0, 9)(text)


def notify_url(text: str) -> str:
    """Return addresses of Apprise, which the daemon checks at its start: loading Apprise takes 200 ms."""
    if not pattern(r"\s*[A-Za-z][A-Za-z0-9+.-]*://\S.*").fullmatch(text) or not text.isprintable():
        raise ValueError
    return text.strip()


UNITS = {"": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}


def memory_size(text: str) -> int:
    """Return a number of bytes, from one with or without a unit."""
    found = pattern(r"([0-9]{1,15})(|kb|mb|gb)").fullmatch(text.lower())
    if not found:
        raise ValueError
    value = int(found[1]) * UNITS[found[2]]
    if value < LEAST_MEMORY:
        raise ValueError
    return value


def choice(*words: str) -> Callable[[str], str]:
    """Return the parser of one of `words`, in any case."""

    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError
        return text.lower()

    return parse


def flag(text: str) -> bool:
    """Return a truth value."""
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]


def store_url(text: str) -> str:
    """Return an address of which it is certain what is the password: its separators do not occur unencoded."""
    parse_address(word(text))
    scheme, _, rest = text.partition("://")
    return f"{scheme.lower()}://{rest}"


def home_path(text: str) -> Home:
    """Return the home at an absolute path; `~` is resolved."""
    path = os.path.expanduser(text)  # noqa: PTH111 - pathlib costs every command 4 ms
    if not os.path.isabs(path):  # noqa: PTH117 - it would depend on the working directory, and so split the mail
        raise ValueError
    return Home(os.path.normpath(path))


def file_path(text: str) -> Path:
    """Return an absolute path; `~` is resolved."""
    from pathlib import Path

    path = Path(text).expanduser()
    if not path.is_absolute():  # a daemon is started in another directory
        raise ValueError
    return path


def word(text: str) -> str:
    """Return a text of printable ASCII without blanks."""
    if not text or any(ord(character) < 33 or ord(character) > 126 for character in text):
        raise ValueError
    return text


def host_names(text: str) -> tuple[str, ...]:
    """Return host names, host:port pairs and origins, in lower case, from a list with commas or blanks."""
    entries = tuple(pattern(r"[\s,]+").split(text.strip().lower()))
    for each in entries:
        if not pattern(r"(https?://)?([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?").fullmatch(each):
            raise ValueError
    return entries


def key_prefix(text: str) -> str:
    """Return a prefix that can be the hash tag of a key."""
    if not pattern(r"[A-Za-z0-9:._-]{1,64}").fullmatch(text) or not text.strip(":"):
        raise ValueError
    return text
