"""The Lua corpus: each file's header is its signature, so that the two cannot drift apart."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources.abc import Traversable

_HEADER = re.compile(r"\A#!lua[^\n]*\n--\[\[ (?P<name>\w+): (?P<body>.*?)\n\]\]\n", re.DOTALL)
_INCLUDE = re.compile(r"^--@include (?P<path>[\w/]+)$", re.MULTILINE)
_SECTION = re.compile(r"^(?P<title>[A-Z]+)\s{2,}(?P<first>.*)$")
_SECTIONS = {"KEYS", "ARGV", "RETURNS", "ERRORS", "TIME"}


@dataclass(frozen=True)
class Script:
    """One atomic operation: what it takes, by name and in order, and its source."""

    name: str
    keys: tuple[str, ...]
    args: tuple[str, ...]
    errors: frozenset[str]
    source: str

    @cached_property
    def sha(self) -> str:
        """What EVALSHA calls it."""
        return hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def arguments(self, values: Mapping[str, str | int]) -> tuple[str | int, ...]:
        """Return `values` in the order of the header's ARGV.

        Raises:
            TypeError: a name is missing or unknown.
        """
        try:
            ordered = tuple([values[name] for name in self.args])
        except KeyError:
            ordered = ()
        if len(ordered) != len(values):
            raise TypeError(f"{self.name}() takes {', '.join(self.args)}; got {', '.join(values)}")
        return ordered


def load(folder: Traversable) -> dict[str, Script]:
    """Read every operation of `folder`, includes inlined, keyed by name.

    Raises:
        ValueError: a header is missing, incomplete or names another file.
    """
    files = [each for each in folder.iterdir() if each.name.endswith(".lua")]
    return {each.name.removesuffix(".lua"): _read(each, folder) for each in sorted(files, key=lambda file: file.name)}


def _read(file: Traversable, folder: Traversable) -> Script:
    text = file.read_text(encoding="utf-8")
    header = _HEADER.match(text)
    if header is None or header["name"] != file.name.removesuffix(".lua"):
        raise ValueError(f"{file.name} does not begin with its header")
    sections = _sections(header["body"])
    if sections.keys() != _SECTIONS:
        raise ValueError(f"{file.name}: the header needs {', '.join(sorted(_SECTIONS))}")
    # the blank lines keep the line numbers of error messages; comments of the header need not travel
    source = _INCLUDE.sub(lambda found: _include(found["path"], folder), text)
    return Script(
        name=header["name"],
        keys=_words(sections["KEYS"]),
        args=_words(sections["ARGV"]),
        errors=frozenset(_words(sections["ERRORS"])),
        source=source,
    )


def _include(path: str, folder: Traversable) -> str:
    return folder.joinpath(*f"{path}.lua".split("/")).read_text(encoding="utf-8").rstrip("\n")


def _sections(body: str) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in body.splitlines()[1:]:
        found = _SECTION.match(line)
        if found and found["title"] in _SECTIONS:
            lines = sections.setdefault(found["title"], [])
            lines.append(found["first"])
        else:
            lines.append(line.strip())
    return sections


def _words(lines: list[str]) -> tuple[str, ...]:
    words = tuple(line.split()[0] for line in lines if line)
    return () if words == ("NONE",) else words
