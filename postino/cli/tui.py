"""The command tui."""

from __future__ import annotations

import contextlib
import sys
from importlib.util import find_spec

from postino.cli.command import Command
from postino.errors import BadRequest, UnknownAgent

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from postino.tui.mailroom import InboxClient

# never by the name: `postino` in the package index is a program of somebody else
INSTALL = "`uv tool install '.[tui]'` in a checkout (in a virtual environment `pip install '.[tui]'`)"


def can_run() -> bool:
    """Return whether the terminal inbox is installed, and there is a terminal for it."""
    return on_terminal() and find_spec("textual") is not None


def on_terminal() -> bool:
    """Return whether a person can type and sees what is printed; Textual prints to standard error."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.__stderr__))


def tui(command: Command) -> int:
    """Show the inbox of a person, and all mail, in the terminal."""
    parser = command.parser(agent="the person whose inbox is shown; by default you", named=True, json=False)
    args = parser.parse_args(command.argv)
    if find_spec("textual") is None:
        raise BadRequest(f"the terminal inbox needs Textual, which is not installed: {INSTALL}")
    if not on_terminal() or command.environ.get("TERM") == "dumb":
        raise BadRequest(
            "the terminal inbox needs a terminal that can place text; `postino read` prints your mail, "
            "`postino history` that of all"
        )
    from postino.tui.app import Inbox
    from postino.tui.mailroom import InboxClient, Mailroom
    from postino.tui.terminal import Terminal

    # it starts a daemon if there is none; the others do not
    with contextlib.closing(command.client_of(InboxClient, start=True)) as client:
        me = _person(client, command.given_name(args))
    mailroom = Mailroom(lambda headers: command.client_of(InboxClient, headers, start=False))
    terminal = Terminal(command.environ)
    terminal.end_with_it()
    inbox = Inbox(mailroom, me, terminal)
    inbox.run()
    return 3 if inbox.return_code else 0  # Textual prints what ended it, and raises nothing


def _person(client: InboxClient, given: str | None) -> str | None:
    """Return whose inbox is shown; None if the daemon knows no person to whom this terminal belongs.

    Raises:
        UnknownAgent: `given` is no person.
    """
    name = given or client.whoami().get("agent")
    if name is None:
        return None
    try:
        return str(client.inbox(str(name), limit=1)["person"]["name"])
    except UnknownAgent:
        if given is not None:
            raise
        return None  # an agent's session
