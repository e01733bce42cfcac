"""The command completion: what a shell offers on Tab, from the commands' own parsers, agents and groups."""

from __future__ import annotations

import argparse
import re
import sys
from importlib import import_module
from keyword import iskeyword
from typing import Any, NoReturn

from postino.cli.arguments import Parser
from postino.cli.command import Command
from postino.errors import BadRequest, PostinoError
from postino.model import EVENTS
from postino.values import NAME_PATTERN

Candidates = list[tuple[str, str]]  # word, what it means

NAMES = frozenset({"NAME", "TO", "OLD"})  # the metavars of an agent's name
ASK_S = 1.0  # for the names: who presses Tab waits for them
INTO = {  # shell -> how its user installs the script for good
    "bash": "echo 'eval \"$(postino completion bash)\"' >> ~/.bashrc",
    "zsh": "echo 'eval \"$(postino completion zsh)\"' >> ~/.zshrc   (after compinit)",
    "fish": "postino completion fish > ~/.config/fish/completions/postino.fish",
}

BASH = """\
_postino() {
  local IFS=$'\\n'
  COMPREPLY=($("$1" completion bash --for "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _postino postino
"""
ZSH = """\
#compdef postino
_postino() {
  local -a found
  found=(${(f)"$("${words[1]}" completion zsh --for "${(@)words[2,CURRENT]}" 2>/dev/null)"})
  if (( $#found )); then compadd -a found; else _files; fi
}
compdef _postino postino
"""
FISH = """\
function __postino_complete
    set -l words (commandline -opc)
    set -a words (commandline -ct)
    $words[1] completion fish --for $words[2..-1] 2>/dev/null
end
complete -c postino -f -a '(__postino_complete)'
complete -c postino -n '__fish_seen_subcommand_from export import' -F
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def completion(command: Command) -> int:
    """Print the script that completes `postino` in a shell; or, called by that script, what may come next."""
    if command.argv[1:2] == ["--for"] and command.argv[0] in SCRIPTS:
        shell, words = command.argv[0], command.argv[2:]
        found = candidates(command, [_unquoted(each) for each in words])
        if shell == "bash":
            found = [(_quoted(word, words[-1]), meaning) for word, meaning in found]
        lines = [f"{word}\t{meaning}" if shell == "fish" and meaning else word for word, meaning in found]
        sys.stdout.write("".join(f"{each}\n" for each in lines))
        return 0
    parser = command.parser(json=False)
    parser.add_argument("shell", choices=tuple(SCRIPTS), metavar="SHELL", help=", ".join(SCRIPTS))
    args = parser.parse_args(command.argv)
    sys.stdout.write(SCRIPTS[args.shell])
    if sys.stdout.isatty():
        sys.stderr.write(f"postino: to keep it: {INTO[args.shell]}\n")
    return 0


def candidates(command: Command, words: list[str]) -> Candidates:
    """Return what the last of `words`, which may be empty, can become; the words before it stand already."""
    from postino.cli import COMMANDS

    *before, begun = words or [""]
    before, begun = [each for each in before if each != "="], "" if begun == "=" else begun  # bash splits at =
    known = {name: entry for group in COMMANDS.values() for name, entry in group.items()}
    if not before or before == ["help"]:
        found = [(name, summary) for name, (_, summary) in known.items()]
        found += [("--help", ""), ("--version", "")] if not before and begun.startswith("-") else []
    elif before[0] in known and known[before[0]][0]:
        found = _of_command(command, parser_of(command, before[0], known[before[0]]), before[1:], begun)
    else:
        found = []
    return [each for each in found if each[0].startswith(begun)]


def _unquoted(word: str) -> str:
    """Return a word as the command would get it; shells hand it over as it is typed."""
    return word.lstrip("'\"").replace("\\", "")


def _quoted(word: str, begun: str) -> str:
    """Return a word for bash, to which a bare # would begin a comment; other shells quote by themselves."""
    if not word.startswith("#") or begun[:1] in ("'", '"'):  # a quote that stands there stays, and bash closes it
        return word
    return f"\\{word}" if begun.startswith("\\") else f"'{word}'"


def _of_command(command: Command, parser: argparse.ArgumentParser, before: list[str], begun: str) -> Candidates:
    options = {option: action for action in parser._actions for option in action.option_strings}
    places = [action for action in parser._actions if not action.option_strings]
    awaited: argparse.Action | None = None  # the option whose value comes next
    used, ended = 0, False
    for word in before:
        if awaited is not None:
            awaited = None
        elif word == "--" and not ended:
            ended = True
        elif word in options and not ended:
            awaited = options[word] if options[word].nargs != 0 else None
        else:
            used += 1
    if awaited is not None:
        return _values(command, awaited, begun)
    if begun.startswith("-") and not ended:
        return [(option, action.help or "") for option, action in options.items() if option.startswith("--")]
    if used >= len(places):
        return []
    if parser.prog.rpartition(" ")[2] == "send" and places[used].metavar == "TO":
        return _recipients(command, begun)
    return _values(command, places[used], begun)


def _values(command: Command, action: argparse.Action, begun: str) -> Candidates:
    if action.choices is not None:
        return [(str(each), "") for each in action.choices]
    if action.metavar in NAMES:
        return [(name, "") for name in _names(command, "agents")]
    if action.metavar == "GROUP":
        sign = "#" if begun.startswith("#") else ""
        return [(f"{sign}{name}", "") for name in _names(command, "groups")]
    return [(each, "") for each in EVENTS] if action.metavar == "TYPE" else []


def _recipients(command: Command, begun: str) -> Candidates:
    """Return agents and groups; behind a comma further agents."""
    if begun.startswith("#"):
        return [(f"#{name}", "group") for name in _names(command, "groups")]
    before, comma, _ = begun.rpartition(",")
    named = before.split(",")
    found = [(f"{before}{comma}{name}", "") for name in _names(command, "agents") if name not in named]
    return found if begun else found + [(f"#{name}", "group") for name in _names(command, "groups")]


def _names(command: Command, of: str) -> list[str]:
    """Return the names of `agents` or `groups`; none if no daemon answers, as none is started for this."""
    from postino.client import Client

    try:
        with Client(command.settings.home.socket, seconds=ASK_S) as client:
            items = (client.agents if of == "agents" else client.groups)(limit=200)["items"]
    except PostinoError:
        return []
    # what an old store may hold besides could be words of the shell
    return [each["name"] for each in items if re.fullmatch(NAME_PATTERN, each["name"])]


class _Asked(Exception):
    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


class _Telling(Parser):
    """A parser that parses nothing and hands out its arguments."""

    def parse_args(self, *_: Any, **__: Any) -> NoReturn:
        raise _Asked(self.full())


class _Described(Command):
    """A command whose function gets no further than its parser."""

    parser_class = _Telling


def parser_of(command: Command, name: str, entry: tuple[str, str]) -> argparse.ArgumentParser:
    """Return the parser of a command, whose function is called for it and does nothing else."""
    module, summary = entry
    described = _Described(name, [], summary, command.settings, command.environ, colour=False)
    function = f"{name}_" if iskeyword(name) else name
    try:
        getattr(import_module(f"postino.cli.{module}"), function)(described)
    except _Asked as asked:
        return asked.parser
    raise BadRequest(f"{name} has no parser")
