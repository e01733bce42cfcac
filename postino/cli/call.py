"""One run of one command: its arguments, its settings, its daemon, its output."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from postino.client import Client
from postino.config import Settings
from postino.errors import BadField, BadName, BadRequest, PostinoError
from postino.model import visible

LONGEST_INPUT = 1 << 20  # bytes; no body may be as long, whatever the daemon allows


class Parser(argparse.ArgumentParser):
    """argparse, failing in one sentence like everything else here."""

    def error(self, message: str) -> NoReturn:
        """Raise what the command line is told."""
        hint = "; a text of several words, or one that begins with -, must be quoted after --"
        raise BadRequest(f"{message}{hint if 'unrecognized' in message else ''} (see `postino help {self.command}`)")

    @property
    def command(self) -> str:
        """The command alone, without `postino`."""
        return self.prog.rpartition(" ")[2]


@dataclass(frozen=True)
class Call:
    """What a command is given."""

    name: str
    argv: list[str]
    summary: str
    settings: Settings
    environ: Mapping[str, str]
    colour: bool

    def parser(self, *, agent: str | None = None, named: bool = False, json: bool = True) -> Parser:
        """Return a parser with the options commands share; `agent` says what --agent means, `named`: or a bare NAME."""
        parser = Parser(
            prog=f"postino {self.name}",
            description=f"{self.summary[0].upper()}{self.summary[1:]}.",
            allow_abbrev=False,
        )
        if named:
            parser.add_argument("name", nargs="?", metavar="NAME", help=agent)
        if agent:
            same = "the same as NAME" if named else agent
            parser.add_argument("--agent", "--from", metavar="NAME", help=same)
        if json:
            parser.add_argument("--json", action="store_true", help="print the data as JSON")
        return parser

    def sender(self, args: argparse.Namespace) -> str | None:
        """Return who the caller says to be; None: nobody in particular.

        Raises:
            BadRequest: NAME and --agent differ.
        """
        name = getattr(args, "name", None)  # of a parser that takes a bare NAME
        if None not in (name, args.agent) and name != args.agent:
            raise BadRequest(f"NAME is {name!r} and --agent is {args.agent!r}; say one of them")
        said = args.agent if name is None else name
        return self.settings.agent_name if said is None else str(said)

    def own_name(self, args: argparse.Namespace) -> str:
        """Return who the caller is.

        Raises:
            BadName: neither NAME or --agent nor POSTINO_AGENT_NAME says so.
            BadRequest: NAME and --agent differ.
        """
        name = self.sender(args)
        if not name:
            way = "NAME" if hasattr(args, "name") else "--agent NAME"
            raise BadName(f"whose? say `postino {self.name} {way}`, or set POSTINO_AGENT_NAME", field="agent")
        return name

    def client(self) -> Client:
        """Return a client of this home's daemon; the first call starts one if none answers."""
        return Client(self.settings.home.socket, via="cli", start=self._start)

    def _start(self) -> None:
        from postino.daemon import process

        process.start(self.environ, self.settings.home)

    def show(self, args: argparse.Namespace, data: Any, text: str) -> int:
        """Print `data` if --json was given, else `text`; return exit code 0."""
        sys.stdout.write(f"{as_json(data)}\n" if args.json else text)
        return 0


def as_json(data: Any, *, indent: int | None = 2) -> str:
    """Return `data` as JSON in which every control character is escaped."""
    text = json.dumps(data, ensure_ascii=False, indent=indent)
    if visible(text) == text and (sys.stdout.encoding or "").lower().replace("-", "") == "utf8":
        return text
    return json.dumps(data, indent=indent)


def body_of(text: str) -> str:
    """Return `text`, or for `-` all of standard input, unchanged to the last newline: a patch needs its own.

    Raises:
        BadField: standard input is closed, too long or not UTF-8.
    """
    if text != "-":
        return text
    if sys.stdin is None:
        raise BadField("body: standard input is closed", field="body")
    raw = sys.stdin.buffer.read(LONGEST_INPUT + 1)
    if len(raw) > LONGEST_INPUT:
        raise BadField(f"body: standard input is longer than {LONGEST_INPUT} bytes", field="body")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BadField(f"body: standard input is not UTF-8 at byte {error.start}", field="body") from None


def no_command(name: str, known: list[str]) -> BadRequest:
    """Return the refusal of a command that does not exist, with the nearest one that does."""
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean `postino {near[0]}`?" if near else "`postino help` lists them"
    return BadRequest(f"there is no command {name!r}; {hint}")


def sentence(error: Exception) -> str:
    """Return what one line on a terminal can say of `error`."""
    if not isinstance(error, PostinoError):
        reason = error.strerror if isinstance(error, OSError) and error.strerror else f"{error}"
        return _on_one_line(f"{reason or 'a bug'} ({type(error).__name__})")
    extra = ""
    if error.detail.get("outcome") == "unknown" and "id" in error.detail:
        extra = f"; trying again with --id {error.detail['id']} cannot store it twice"
    names = [str(name) for name in error.detail.get("names", []) if str(name) not in error.message]
    if names:
        extra += f"; near it: {', '.join(names)}"
    return _on_one_line(f"{error.message}{extra}")


def _on_one_line(text: str) -> str:
    return visible(text).replace("\r", "\\r").replace("\n", " ")
