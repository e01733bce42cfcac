"""The arguments of a command: plain ones are taken here, all else is left to argparse, whose import costs 8 ms.

Plain are positional arguments in one row, and options by their full names with a value of their own. Whatever else
stands on a command line, from `--help` to a mistake, is told by argparse, which gets the same arguments.
"""

from __future__ import annotations

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from postino.cli.full_parser import FullParser

    Added = Iterable[tuple[tuple[str, ...], dict[str, Any]]]
    Place = tuple[str, dict[str, Any]]  # the name of a value, and what is said of the argument

#: what an argument may say of itself to be taken here
PLAIN = {"action", "choices", "default", "dest", "help", "metavar", "nargs", "type"}


class Arguments:
    """The values of the arguments by name, as argparse's Namespace has them."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)


class Parser:
    """Takes the arguments of one command."""

    def __init__(self, prog: str, description: str) -> None:
        self.prog = prog
        self._description = description
        #: names and options of each argument
        self.added: list[tuple[tuple[str, ...], dict[str, Any]]] = []

    def add_argument(self, *names: str, **options: Any) -> None:
        """Add an argument, as with argparse."""
        self.added.append((names, options))

    def parse_args(self, argv: Sequence[str]) -> argparse.Namespace:
        """Return the values of the arguments.

        Raises:
            BadRequest: they are wrong.
            SystemExit: after `--help`, whose text was printed.
        """
        try:
            found: Any = Arguments(plain_values(self.added, argv))
        except NotPlain:
            found = self.full().parse(argv)
        return found  # type: ignore[no-any-return]

    def full(self) -> FullParser:
        """Return argparse's parser of these arguments."""
        from postino.cli.full_parser import FullParser

        made = FullParser(prog=self.prog, description=self._description, allow_abbrev=False)
        for names, options in self.added:
            made.add_argument(*names, **options)
        return made


def wrong(reason: str) -> Exception:
    """Return what the `type` of an argument raises for a wrong value."""
    from argparse import ArgumentTypeError

    return ArgumentTypeError(reason)


class NotPlain(Exception):
    """Something on the command line, or of its arguments, is for argparse to judge."""


def plain_values(added: Added, argv: Sequence[str]) -> dict[str, Any]:
    """Return the value of each argument.

    Raises:
        NotPlain: argparse has to say what this command line means.
    """
    values, options, places = _declared(added)
    words, rows, within = iter(argv), 0, False
    given: list[str] = []
    for word in words:
        if is_place := word == "-" or not word.startswith("-"):
            rows += not within
            given.append(word)
        else:
            _take_option(values, options, word, words)
        within = is_place
    needed = sum("nargs" not in about for _, about in places)
    if rows > 1 or not needed <= len(given) <= len(places):  # which place several rows take depends on argparse
        raise NotPlain
    return values | {dest: _value(text, about) for (dest, about), text in zip(places, given, strict=False)}


def _declared(added: Added) -> tuple[dict[str, Any], dict[str, Place], list[Place]]:
    """Return the values of arguments that are not given, the options by their names, and the places in their order."""
    values: dict[str, Any] = {}
    options: dict[str, Place] = {}
    places: list[Place] = []
    for names, about in added:
        action, default = about.get("action"), about.get("default")
        if not about.keys() <= PLAIN or action not in (None, "store_true", "append"):
            raise NotPlain
        if isinstance(default, str) and ("type" in about or "choices" in about):
            raise NotPlain  # it would be checked like a value
        if names[0].startswith("-"):
            if "nargs" in about:
                raise NotPlain
            long = next((each for each in names if each.startswith("--")), names[0])
            dest = about.get("dest") or long.lstrip("-").replace("-", "_")
            options |= dict.fromkeys(names, (dest, about))
        else:
            dest = names[0]
            if (
                action
                or about.get("nargs", "?") != "?"
                or ("nargs" not in about and places and "nargs" in places[-1][1])
            ):
                raise NotPlain
            places.append((dest, about))
        values[dest] = False if action == "store_true" else default
    return values, options, places


def _take_option(values: dict[str, Any], options: dict[str, Place], word: str, words: Iterator[str]) -> None:
    if word not in options:
        raise NotPlain
    dest, about = options[word]
    if about.get("action") == "store_true":
        values[dest] = True
        return
    text = next(words, "-")
    if text.startswith("-"):
        raise NotPlain
    value = _value(text, about)
    values[dest] = [*(values[dest] or []), value] if about.get("action") == "append" else value


def _value(text: str, about: dict[str, Any]) -> Any:
    try:
        value = about["type"](text) if "type" in about else text
    except Exception:
        raise NotPlain from None
    if about.get("choices") is not None and value not in about["choices"]:
        raise NotPlain
    return value
