"""The command line: a table of commands, whose code is imported when one is run, and the way out of each."""

from __future__ import annotations

import os
import sys

from postino import __version__
from postino.cli import streams

#: group -> command -> (module of postino.cli, what it does)
COMMANDS: dict[str, dict[str, tuple[str, str]]] = {
    "Daemon": {
        "up": ("daemon", "start postino in the background and print its URL"),
        "down": ("daemon", "stop it, and its Valkey with it"),
        "status": ("daemon", "say whether it runs, where, and what it holds"),
        "serve": ("daemon", "run it in the foreground"),
        "open": ("open", "open the page in a browser, signed in"),
    },
    "Mail": {
        "send": ("mail", "send a message to one agent"),
        "read": ("mail", "read the next messages of an inbox and acknowledge them"),
        "check": ("mail", "say how much waits for an agent"),
        "history": ("mail", "list what was sent and what became of it"),
        "dead": ("mail", "list, requeue or drop messages that were given up"),
        "clear": ("mail", "drop everything in an inbox"),
    },
    "Everyone": {
        "broadcast": ("broadcasts", "send a message to all agents"),
        "broadcasts": ("broadcasts", "read the broadcasts not seen yet, or list all"),
        "watch": ("broadcasts", "print what happens, as it happens"),
    },
    "Agents": {
        "agents": ("agents", "list the known agents; forget those that are gone"),
        "rename": ("agents", "give an agent another name"),
    },
    "Set up": {
        "install": ("install", "give every Claude Code session a mailbox"),
        "uninstall": ("install", "take it from Claude Code again"),
        "mcp": ("config", "be the MCP server of one client, on standard input and output"),
        "config": ("config", "print the entry that makes an MCP client use postino"),
        "demo": ("demo", "watch two MCP clients talk, in a scratch home of their own"),
        "help": ("", "show this, or the options of one command"),
    },
}

EXAMPLES = """Examples
  postino send reviewer "branch fix-42 is ready" --from builder
  postino read reviewer
"""


def main(argv: list[str]) -> int:
    """Run one command and return the exit code: 0, 2 usage or bad input, 3 refused, 4 not reachable."""
    streams.prepare()
    try:
        code = _run(argv)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return 130  # as a shell reports SIGINT
    except BrokenPipeError:
        _give_up_output()
        return 0  # who closed the pipe has seen enough
    except Exception as error:
        _give_up_output()
        return _failed(error)


def _run(argv: list[str]) -> int:
    if not argv:
        sys.stderr.write(_help())
        return 2
    name, rest = argv[0], argv[1:]
    if name in ("--version", "-V"):
        return _print(f"postino {__version__}\n")
    if name in ("--help", "-h") or (name == "help" and not rest) or (name == "help" and rest[0].startswith("-")):
        return _print(_help())
    if name == "help":
        name, rest = rest[0], ["--help"]
    return _command(name, rest)


def _command(name: str, rest: list[str]) -> int:
    from importlib import import_module

    from postino.cli.call import Call, no_command
    from postino.cli.render import line
    from postino.config import load

    known = {each: entry for group in COMMANDS.values() for each, entry in group.items()}
    if name not in known:
        raise no_command(name, list(known))
    if name == "help":
        return _print(_help())
    module, summary = known[name]
    settings, warnings = load(os.environ)
    for warning in warnings:
        sys.stderr.write(f"postino: {line(warning)}\n")
    call = Call(name, rest, summary, settings, os.environ, _colour())
    return int(getattr(import_module(f"postino.cli.{module}"), name)(call))


def _colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _print(text: str) -> int:
    sys.stdout.write(text)
    return 0


def _help() -> str:
    lines = [f"postino {__version__}: a durable mailbox for coding agents", "", "usage: postino COMMAND [options]", ""]
    for group, commands in COMMANDS.items():
        lines.append(group)
        lines += [f"  {name:<11} {summary}" for name, (_, summary) in commands.items()]
        lines.append("")
    return "\n".join([*lines, EXAMPLES, "`postino help COMMAND` tells a command's options.\n"])


def _give_up_output() -> None:
    """Let what is still buffered go nowhere if it cannot go out: at exit Python would try and complain again."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _failed(error: Exception) -> int:
    from postino.cli.call import sentence
    from postino.errors import PostinoError

    if os.environ.get("POSTINO_LOG_LEVEL", "").lower() == "debug":
        import traceback

        traceback.print_exc()
    sys.stderr.write(f"postino: {sentence(error)}\n")
    if not isinstance(error, PostinoError):
        return 3
    # a daemon that would not start for a bad setting: it had it from here
    return 2 if error.detail.get("exitcode") == 2 else error.exit
