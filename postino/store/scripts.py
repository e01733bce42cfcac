"""Loads the Lua scripts. The header of each file is its signature: its code has keys and arguments by their names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources.abc import Traversable

from postino.paths import folder

_HEADER = re.compile(r"\A#!lua[^\n]*\n--\[\[ (?P<name>\w+): (?P<body>.*?)\n\]\]\n", re.DOTALL)
_INCLUDE = re.compile(r"^(?P<indent> *)--@include (?P<path>[\w/]+)$", re.MULTILINE)
_COMMENT = re.compile(r"--\[\[.*?\]\]|--[^\n]*", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_]\w*")
_FUNCTION = re.compile(r"^local function (?P<name>\w+)\(.*?^end\n", re.MULTILINE | re.DOTALL)
_SECTION = re.compile(r"^(?P<title>[A-Z]+)\s{2,}(?P<first>.*)$")
Library = Callable[[str], str]  # the text of a library, by its path
_SECTIONS = {"KEYS", "ARGV", "RETURNS", "ERRORS", "TIME"}


@dataclass(frozen=True)
class Script:
    """One atomic operation: the names of its keys and arguments in order, its errors, and its source.

    `each` counts the last of the keys, which each of the calls that are joined in one has, as it has all arguments; 0:
    calls cannot be joined.
    """

    name: str
    keys: tuple[str, ...]
    each: int
    args: tuple[str, ...]
    errors: frozenset[str]
    source: str

    @cached_property
    def sha(self) -> str:
        """The digest that EVALSHA names it by."""
        return hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def arguments(self, values: Mapping[str, str | int]) -> list[str | int]:
        """Return `values` in the order of the header's ARGV.

        Raises:
            TypeError: a name is missing or unknown.
        """
        try:
            ordered = [*map(values.__getitem__, self.args)]
        except KeyError:
            ordered = []
        if len(ordered) != len(values):
            raise TypeError(f"{self.name}() takes {', '.join(self.args)}; got {', '.join(values)}")
        return ordered


def load(folder: Traversable) -> dict[str, Script]:
    """Read every script in `folder`, with the libraries it includes, keyed by name.

    Raises:
        ValueError: a header is missing, incomplete or names another file.
        FileNotFoundError: an included library does not exist.
    """

    @cache
    def library(path: str) -> str:
        return folder.joinpath(*f"{path}.lua".split("/")).read_text(encoding="utf-8")

    files = [each for each in folder.iterdir() if each.name.endswith(".lua")]
    return {each.name.removesuffix(".lua"): _read(each, library) for each in sorted(files, key=lambda file: file.name)}


@cache
def packaged() -> Mapping[str, Script]:
    """Return the scripts that postino ships. Reading them takes 20 ms, so a process does it once."""
    return load(folder("lua"))


def _read(file: Traversable, library: Library) -> Script:
    text = file.read_text(encoding="utf-8")
    header = _HEADER.match(text)
    if header is None or header["name"] != file.name.removesuffix(".lua"):
        raise ValueError(f"{file.name} does not begin with its header")
    sections = _sections(header["body"])
    if sections.keys() - {"EACH"} != _SECTIONS:
        raise ValueError(f"{file.name}: the header needs {', '.join(sorted(_SECTIONS))}")
    keys, each, args = (_words(sections.get(title, [])) for title in ("KEYS", "EACH", "ARGV"))
    named = "" if each else _named("KEYS", keys) + _named("ARGV", args)  # those of each call are where that is answered
    return Script(
        name=header["name"],
        keys=keys + each,
        each=len(each),
        args=args,
        errors=frozenset(_words(sections["ERRORS"])),
        source=_with_libraries(header[0] + named + text[header.end() :], library),
    )


def _named(source: str, names: tuple[str, ...]) -> str:
    """Return the line that gives the first elements of a table of the server's their names."""
    return f"local {', '.join(names)} = unpack({source}, 1, {len(names)})\n" if names else ""


def _with_libraries(text: str, library: Library) -> str:
    """Replace each include line by its library, preceded by the libraries that it includes; each of them only once.

    One within a block includes for that block alone. A call makes anew the functions that it meets, so those that
    nothing calls are left out.
    """
    functions: dict[str, str] = {}

    def insert(text: str, included: set[str]) -> str:
        def included_by(line: re.Match[str]) -> str:
            here = {*included} if line["indent"] else included
            if line["path"] in here:
                return ""
            here.add(line["path"])
            source = library(line["path"])
            functions.update(_functions(source))
            return insert(source, here).rstrip("\n")

        return _INCLUDE.sub(included_by, text)

    source = insert(text, set())
    rest = source
    for each in functions.values():
        rest = rest.replace(each, "")
    called, found = set[str](), {*_words_in(rest)} & functions.keys()
    while found:
        called |= found
        found = {name for each in found for name in _words_in(functions[each]) & functions.keys()} - called
    for name in functions.keys() - called:
        source = source.replace(functions[name], "")
    return source


@cache
def _functions(source: str) -> dict[str, str]:
    return {each["name"]: each[0] for each in _FUNCTION.finditer(source)}


@cache
def _words_in(code: str) -> frozenset[str]:
    return frozenset(_WORD.findall(_COMMENT.sub("", code)))


def _sections(body: str) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in body.splitlines()[1:]:
        found = _SECTION.match(line)
        if found and found["title"] in {*_SECTIONS, "EACH"}:
            lines = sections.setdefault(found["title"], [])
            lines.append(found["first"])
        else:
            lines.append(line.strip())
    return sections


def _words(lines: list[str]) -> tuple[str, ...]:
    words = tuple(line.split()[0] for line in lines if line)
    return () if words == ("NONE",) else words
