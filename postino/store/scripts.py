"""Loads the Lua scripts. The header of each file is its signature: its code has keys and arguments by their names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from importlib.resources.abc import Traversable

import msgspec

from postino.paths import folder

_HEADER = re.compile(r"\A#!lua[^\n]*\n--\[\[ (?P<name>\w+): (?P<body>.*?)\n\]\]\n", re.DOTALL)
_INCLUDE = re.compile(r"^ +--@include (?P<path>[\w/]+)$", re.MULTILINE)
_COMMENT = re.compile(r"--(?:\[\[.*?\]\]|[^\n]*)", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_]\w*")
_FUNCTION = re.compile(r"^local function (?P<name>\w+)\(.*?^end\n", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"\0(\w+)\0\n")
_DEFINED = re.compile(r"^local (?:function )?(\w+)", re.MULTILINE)
_SECTION = re.compile(r"^(?P<title>[A-Z]+)\s{2,}(?P<first>.*)$")
_SECTIONS = {"KEYS", "ARGV", "RETURNS", "ERRORS", "TIME"}


class Script(msgspec.Struct, frozen=True, dict=True):
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


class Library(msgspec.Struct, frozen=True):
    """One file of them: its text with marks in the place of functions, these by name, and the words outside of them."""

    marked: str
    functions: dict[str, str]
    words: frozenset[str]

    @classmethod
    def of(cls, text: str) -> Library:
        """Take a file apart."""
        functions: dict[str, str] = {}

        def mark(function: re.Match[str]) -> str:
            if _INCLUDE.search(function[0]):
                return function[0]  # it stays, called or not: what it includes is put into its block
            functions[function["name"]] = function[0]
            return f"\0{function['name']}\0\n"

        marked = _FUNCTION.sub(mark, text)
        return cls(marked, functions, _words_in(_MARK.sub("", marked)))


class Libraries:
    """What scripts share: files of functions, which a script has by naming them."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        """Take the text of each file by its name, such as `lib/agent`."""
        self.files = {file: Library.of(text) for file, text in texts.items()}
        self._file_of = {name: file for file, text in texts.items() for name in _DEFINED.findall(text)}
        self.named = {file: self.named_in(text) for file, text in texts.items()}

    def named_in(self, code: str) -> set[str]:
        """Return the files of which code names something where no include of the same block brings them."""
        if not _INCLUDE.search(code):
            return {self._file_of[word] for word in self._file_of.keys() & _words_in(code)}
        lines: dict[frozenset[str], list[str]] = {}  # by what is included where they stand
        blocks: list[tuple[int, str]] = []
        for line in filter(None, code.splitlines()):
            indent = len(line) - len(line.lstrip())
            blocks = [each for each in blocks if each[0] <= indent]
            if include := _INCLUDE.match(line):
                blocks.append((indent, include["path"]))
            else:
                lines.setdefault(frozenset(path for _, path in blocks), []).append(line)
        return {file for there, each in lines.items() for file in self.named_in("\n".join(each)) - there}


def load(folder: Traversable) -> dict[str, Script]:
    """Read every script in `folder`, with what it names of the libraries in `lib`, keyed by name.

    Raises:
        ValueError: a header is missing, incomplete or names another file.
        KeyError: an included library does not exist.
    """
    libraries = Libraries({f"lib/{name}": text for name, text in _texts(folder.joinpath("lib"))})
    return {name: _read(name, text, libraries) for name, text in _texts(folder)}


def _texts(folder: Traversable) -> list[tuple[str, str]]:
    files = [each for each in folder.iterdir() if each.name.endswith(".lua")]
    return sorted((each.name.removesuffix(".lua"), each.read_text(encoding="utf-8")) for each in files)


@cache
def packaged() -> Mapping[str, Script]:
    """Return the scripts that postino ships. Reading them takes 15 ms, so a process does it once."""
    return load(folder("lua"))


def _read(name: str, text: str, libraries: Libraries) -> Script:
    header = _HEADER.match(text)
    if header is None or header["name"] != name:
        raise ValueError(f"{name}.lua does not begin with its header")
    sections = _sections(header["body"])
    if sections.keys() - {"EACH"} != _SECTIONS:
        raise ValueError(f"{name}.lua: the header needs {', '.join(sorted(_SECTIONS))}")
    keys, each, args = (_words(sections.get(title, [])) for title in ("KEYS", "EACH", "ARGV"))
    named = "" if each else _named("KEYS", keys) + _named("ARGV", args)  # those of each call are where that is answered
    return Script(
        name=name,
        keys=keys + each,
        each=len(each),
        args=args,
        errors=frozenset(_words(sections["ERRORS"])),
        source=_linked(header[0] + named, text[header.end() :], libraries),
    )


def _named(source: str, names: tuple[str, ...]) -> str:
    """Return the line that gives the first elements of a table of the server's their names."""
    return f"local {', '.join(names)} = unpack({source}, 1, {len(names)})\n" if names else ""


def _linked(head: str, code: str, libraries: Libraries) -> str:
    """Return a script with the libraries that its code names, each with those that it names itself, before it.

    One that an include within a block names comes there, for that block alone. A call makes anew the functions that it
    meets, so those that nothing calls are left out.
    """
    functions: dict[str, str] = {}
    words = {*_words_in(head), *_words_in(code)}

    def bring(files: Iterable[str], included: set[str]) -> str:
        found = ""
        for name in sorted(files):
            if name not in included:
                included.add(name)
                file = libraries.files[name]
                functions.update(file.functions)
                words.update(file.words)
                found += expand(file.marked, libraries.named[name], included)
        return found

    def expand(code: str, named: set[str], included: set[str]) -> str:
        before = bring(named, included)
        return before + _INCLUDE.sub(lambda line: bring([line["path"]], {*included}).rstrip("\n"), code)

    source = head + expand(code, libraries.named_in(code), set())
    called, found = set[str](), functions.keys() & words
    while found:
        called |= found
        found = {name for each in found for name in functions.keys() & _words_in(functions[each])} - called
    return _MARK.sub(lambda mark: functions[mark[1]] if mark[1] in called else "", source)


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
