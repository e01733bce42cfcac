"""Arguments: what a command takes without argparse is what argparse would take."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.cli import COMMANDS
from postino.cli.arguments import NotPlain, Parser, plain_values
from postino.cli.command import Command
from postino.config import load

KNOWN = {name: entry for group in COMMANDS.values() for name, entry in group.items() if entry[0]}
WORDS = [
    "x",
    "7",
    "0.5",
    "-",
    "",
    "a b",
    "--",
    "-7",
    "-x",
    "-h",
    "--js",
    "--json=1",
    "--from=x",
    "reply",
    "create",
    "bash",
]


class Caught(Exception):
    def __init__(self, parser: Parser) -> None:
        self.parser = parser


class Catching(Parser):
    def parse_args(self, *_: object) -> NoReturn:
        raise Caught(self)


class Described(Command):
    parser_class = Catching


def parser_of(name: str) -> Parser:
    module, summary = KNOWN[name]
    function = f"{name}_" if name == "import" else name
    imported = __import__(f"postino.cli.{module}", fromlist=[function])
    with pytest.raises(Caught) as caught:
        getattr(imported, function)(Described(name, [], summary, load({})[0], os.environ, colour=False))
    return caught.value.parser


PARSERS = {name: parser_of(name) for name in KNOWN}
OPTIONS = {name: [word for words, _ in parser.added for word in words] for name, parser in PARSERS.items()}


@settings(max_examples=1500, deadline=None)
@given(st.data())
def test_what_is_taken_without_argparse_is_what_argparse_takes(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([*PARSERS, "send", "read", "check", "broadcast"]))
    argv = data.draw(st.lists(st.sampled_from(["x", *OPTIONS[name], *WORDS]), max_size=7))
    try:
        taken = plain_values(PARSERS[name].added, argv)
    except NotPlain:
        return
    assert taken == vars(PARSERS[name].full().parse_args(argv))


@pytest.mark.parametrize(
    ("name", "argv", "expected"),
    [
        ("send", ["--from", "y", "x", "hello", "--to", "z", "--to", "w"], {"agent": "y", "also": ["z", "w"]}),
        ("read", ["--limit", "3", "--wait", "0.5"], {"name": None, "limit": 3, "wait": 0.5, "json": False}),
        ("check", ["x", "--json"], {"name": "x", "json": True}),
        ("token", ["revoke", "ci", "id", "--yes"], {"action": "revoke", "name": "ci", "id": "id", "yes": True}),
    ],
)
def test_an_ordinary_command_line_needs_no_argparse(name: str, argv: list[str], expected: dict[str, object]) -> None:
    assert expected.items() <= plain_values(PARSERS[name].added, argv).items()


@pytest.mark.parametrize(
    "argv",
    [["--help"], ["x"], ["x", "y", "z"], ["x", "--json", "y"], ["x", "y", "--id"], ["x", "y", "--expects", "no"]],
)
def test_all_else_is_for_argparse(argv: list[str]) -> None:
    with pytest.raises(NotPlain):
        plain_values(PARSERS["send"].added, argv)


def test_a_name_that_is_none_is_told_with_what_a_name_is(postino) -> None:
    rule = "1 to 64 of A-Z a-z 0-9 . _ -"
    said = postino.no(2, "send", "my agent", "hello")
    assert said == f"to must be {rule} and begin with a letter or digit; not 'my agent'"
    assert postino.no(2, "send", "x" * 65, "hello").endswith("; it has 65 characters")
    assert rule in postino.no(2, "whoami", POSTINO_AGENT_NAME="my agent")
    assert "not all, human, system" in postino.no(2, "whoami", POSTINO_AGENT_NAME="human")
    assert postino.no(2, "send", "bob", "hi", "--choice", "yes", "--choice", "y" * 41).startswith("choices[1] has 41 ")
