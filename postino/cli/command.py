"""One run of a command: its arguments, settings, client and output."""

from __future__ import annotations

import errno
import os
import sys

from postino.cli import render, session, terminal
from postino.cli.arguments import Parser
from postino.client import Client
from postino.errors import BadName, BadRequest, PostinoError, UnknownAgent
from postino.light import dataclass
from postino.relay.claude_process import TEAMS
from postino.values import HUMAN, visible

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from typing import Any, ClassVar, TypeVar

    from postino.config import Settings
    from postino.daemon.info import DaemonInfo

    C = TypeVar("C", bound=Client)


@dataclass(frozen=True)
class Command:
    """What the function of a command gets."""

    name: str
    argv: list[str]
    summary: str
    settings: Settings
    environ: Mapping[str, str]
    colour: bool
    width: int | None = None  # columns of the terminal that the output goes to

    parser_class: ClassVar[type[Parser]] = Parser

    def parser(self, *, agent: str | None = None, named: bool = False, json: bool = True) -> Parser:
        """Return a parser with the common options. `agent` is the help of --agent; `named` also allows NAME for it."""
        parser = self.parser_class(
            prog=f"postino {self.name}",
            description=f"{self.summary[0].upper()}{self.summary[1:]}.",
        )
        if named:
            parser.add_argument("name", nargs="?", metavar="NAME", help=agent)
        if agent:
            parser.add_argument("--agent", "--from", metavar="NAME", help="the same as NAME" if named else agent)
        if json:
            parser.add_argument("--json", action="store_true", help="print JSON")
        return parser

    def given_name(self, args: argparse.Namespace) -> str | None:
        """Return the agent that NAME or --agent gives; None if neither does.

        Raises:
            BadRequest: they differ.
        """
        name = getattr(args, "name", None)  # only of a parser that takes NAME
        if None not in (name, args.agent) and name != args.agent:
            raise BadRequest(f"NAME is {name!r} and --agent is {args.agent!r}; give only one of them")
        given = args.agent if name is None else name
        return None if given is None else str(given)

    def sender(self, args: argparse.Namespace, *, in_session: bool = True) -> str | None:
        """Return the agent that NAME, --agent or POSTINO_AGENT_NAME gives, else that of the session; None without any.

        With `in_session` false the session that the command runs in does not count.

        Raises:
            BadRequest: NAME and --agent differ.
        """
        given = self.given_name(args)
        name = self.agent_setting() if given is None else given
        return self.session_agent() if name is None and in_session else name

    def agent_setting(self) -> str | None:
        """Return POSTINO_AGENT_NAME, or in the session of a teammate, which has that of its lead, its own agent."""
        name = self.settings.agent_name
        if name is None or TEAMS not in self.environ:
            return name
        own = self.session_agent()
        return own if own is not None and own.startswith(f"{name[:31]}.") else name

    def session_agent(self) -> str | None:
        """Return the agent of the client's session in which this command runs; None outside of one."""
        if not session.headers(self.environ):
            return None
        with self._connection() as client:
            return session.agent(client)

    def person(self) -> str | None:
        """Return the person as whom this command acts; None in a session, or if the daemon knows none."""
        if session.headers(self.environ):
            return None
        with self._connection() as client:
            return session.agent(client)

    def reader(self, args: argparse.Namespace) -> str | None:
        """Return the person whose inbox is meant: the one that is named, or you where nothing names an agent.

        None: it is an agent's, or of nobody known. Looking makes nobody known.

        Raises:
            BadRequest: it is the mailbox of all people.
        """
        name = self.sender(args)
        if name is None:
            return self.person()
        if name.lower() == HUMAN:
            raise BadRequest(
                f"{HUMAN} is the mailbox of all people and part of each one's inbox: "
                f"`postino {self.name}` without a name is about yours"
            )
        with self._connection() as client:
            try:
                found = client.agent(name)
            except UnknownAgent:
                return None
        return str(found["name"]) if found.get("kind") == "human" else None

    def writer_name(self, args: argparse.Namespace) -> str:
        """Return the agent as `sender` does, and outside of a session without a name the person.

        Raises:
            BadName: there is none.
            BadRequest: NAME and --agent differ.
        """
        return (self.person() if self.sender(args) is None else None) or self.own_name(args)

    def own_name(self, args: argparse.Namespace, *, in_session: bool = True) -> str:
        """Return the agent as `sender` does.

        Raises:
            BadName: there is none.
            BadRequest: NAME and --agent differ.
        """
        name = self.sender(args, in_session=in_session)
        if not name:
            way = "NAME" if hasattr(args, "name") else "--agent NAME"
            raise BadName(
                f"agent name missing: give `postino {self.name} {way}` or set POSTINO_AGENT_NAME", field="agent"
            )
        return name

    def refuse_in_session(self, args: argparse.Namespace, tool: str, instead: str) -> None:
        """Refuse to take the mail of the session in which this command runs, unless NAME or --agent gives its agent.

        Output is no proof that the session's model has seen it, and a subagent may have run the command.

        Raises:
            BadRequest: the command runs in a session that has a mailbox.
        """
        if self.given_name(args) is None and (own := self.session_agent()) is not None:
            raise BadRequest(
                f"this command runs in the session of {own}, whose mail the tool {tool} reads: call that; {instead}, "
                f"and `postino {self.name} --agent {own}` reads it here all the same"
            )

    def client(self) -> Client:
        """Return a client of this home's daemon. A call starts a daemon if none answers.

        One of another version is said on stderr.
        """
        from postino.cli import skew

        skew.warn(self.settings.home)
        return self._connection()

    def _connection(self) -> Client:
        return self.client_of(Client, start=True)

    def client_of(self, kind: type[C], headers: Mapping[str, str] | None = None, *, start: bool) -> C:
        """Return a client of a kind of its own; `start`: a call starts a daemon if none answers."""
        said = session.headers(self.environ) | dict(headers or {})
        return kind(self.settings.home.address, via="cli", start=self.start if start else None, headers=said)

    def start(self) -> DaemonInfo:
        """Return once a daemon serves the home, starting one if none does; a long wait is said on stderr.

        Raises:
            as process.start
        """
        from postino.daemon import process

        return process.start(self.environ, self.settings.home, say=lambda text: sys.stderr.write(f"postino: {text}\n"))

    @property
    def ink(self) -> render.Ink:
        """The colours and the width of the output."""
        return render.Ink(self.colour, self.width)

    def show(self, args: argparse.Namespace, data: Any, text: str, *, pages: bool = False) -> int:
        """Print `data` as JSON if --json was given, else `text`; return exit code 0. `pages`: it may be a long list."""
        if pages and not args.json:
            terminal.show(text, self.environ)
        else:
            sys.stdout.write(f"{as_json(data)}\n" if args.json else text)
        return 0


def as_json(data: Any, *, indent: int | None = 2) -> str:
    """Return `data` as JSON, with every control character escaped."""
    import json

    text = json.dumps(data, ensure_ascii=False, indent=indent)
    if visible(text) == text and (sys.stdout.encoding or "").lower().replace("-", "") == "utf8":
        return text
    return json.dumps(data, indent=indent)


#: command -> words that people try for it, and that are spelt like another one or like none
OTHER_WORDS = {
    "up": ("start", "run"),
    "down": ("stop", "quit"),
    "read": ("inbox", "mail", "receive"),
    "read --peek": ("peek",),
    "history": ("list", "ls", "log", "messages"),
    "threads": ("conversations", "thread"),
    "history --search TEXT": ("find", "search"),
    "send": ("message", "post", "write"),
    "reply": ("answer", "respond"),
    "done": ("ack", "acknowledge"),
    "agents": ("list-agents", "people", "who"),
    "agents --forget NAME": ("forget",),
    "open": ("browser", "page", "ui", "web"),
}


def no_command(name: str, known: list[str]) -> BadRequest:
    """Return the error about a command that does not exist, with the one that was probably meant."""
    import difflib

    near = [command for command, words in OTHER_WORDS.items() if name in words]
    near = near or difflib.get_close_matches(name, known, 1)
    hint = f"did you mean `postino {near[0]}`?" if near else "`postino help` lists them"
    return BadRequest(f"there is no command {name!r}; {hint}")


def sentence(error: Exception) -> str:
    """Return `error` as one line for a terminal."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        full = "; free some space on that disk" if where and error.errno == errno.ENOSPC else ""
        return _on_one_line(f"{where}{error.strerror}{full}")
    if not isinstance(error, PostinoError):
        return _on_one_line(f"{error or 'a bug'} ({type(error).__name__})")
    extra = ""
    if error.detail.get("outcome") == "unknown" and "id" in error.detail:
        extra = f"; repeat it with --id {error.detail['id']}, which cannot store it twice"
    elif error.code == "store_away" and "outcome" in error.detail:
        unchanged = error.detail["outcome"] == "none"
        extra = "; nothing was changed, try again" if unchanged else "; it is unknown whether it was carried out"
    names = [str(name) for name in error.detail.get("names", []) if str(name) not in error.message]
    if names:
        extra += f"; similar names: {', '.join(names)}"
    return _on_one_line(f"{error.message}{extra}")


def _on_one_line(text: str) -> str:
    return visible(text).replace("\r", "\\r").replace("\n", " ")
