"""The command line: the table of commands, whose modules are imported on use, and the exit code of each run."""

from __future__ import annotations

import os
import sys

from postino import __version__
from postino.cli import streams

#: group -> command -> (module of postino.cli, what it does)
COMMANDS: dict[str, dict[str, tuple[str, str]]] = {
    "Daemon": {
        "up": ("daemon", "start postino in the background and print its address"),
        "down": ("daemon", "stop postino and its embedded Valkey"),
        "status": ("daemon", "show whether postino runs, where, and what it holds"),
        "serve": ("daemon", "run postino in the foreground"),
        "tui": ("tui", "show your inbox and all mail in the terminal"),
        "open": ("open", "open the page in a browser, signed in"),
        "logs": ("logs", "print the end of the daemon's log"),
        "doctor": ("doctor", "check every link from the clients to the store, and send test messages"),
    },
    "Mail": {
        "send": ("mail", "send a message to an agent, a list of agents or a group"),
        "ask": ("replies", "send a message and wait for the reply"),
        "reply": ("replies", "answer a message, in its thread"),
        "show": ("show", "print one message, rendered, and what became of it"),
        "read": ("mail", "print what is new in your inbox, or in that of an agent"),
        "check": ("mail", "count the unread messages of an inbox"),
        "done": ("people", "take messages that need no answer out of your inbox"),
        "history": ("history", "list messages and broadcasts with their states"),
        "threads": ("history", "list threads, or print the messages of one"),
        "dead": ("mail", "list, requeue or delete dead letters"),
        "clear": ("mail", "delete every message of an inbox, or all broadcasts"),
    },
    "Broadcasts and events": {
        "broadcast": ("broadcasts", "send a broadcast to all agents"),
        "broadcasts": ("broadcasts", "read the unseen broadcasts of an agent, or list all"),
        "watch": ("broadcasts", "print events as they happen"),
    },
    "Agents": {
        "agents": ("agents", "list or forget agents"),
        "whoami": ("agents", "print the agent that commands act as here"),
        "rename": ("agents", "rename an agent"),
        "groups": ("groups", "list the groups of agents, join or leave one"),
    },
    "Backup": {
        "export": ("transfer", "write the whole mailroom to a file"),
        "import": ("transfer", "fill an empty mailroom from the file of an export"),
    },
    "Setup": {
        "token": ("tokens", "create, list or revoke named tokens for CI and other machines"),
        "install": ("install", "give the sessions of Claude Code, or of another client, a mailbox"),
        "uninstall": ("install", "take out what `postino install` added to a client"),
        "mcp": ("config", "run the MCP server of one client on standard input and output"),
        "service": ("service", "let systemd or launchd run the daemon"),
        "config": ("config", "print the configuration entry for an MCP client"),
        "completion": ("completion", "print the script that completes commands and agents in your shell"),
        "demo": ("demo", "show two MCP clients exchanging messages, in a temporary home"),
        "help": ("", "show this help, or the options of one command"),
    },
}

EXAMPLES = """Examples
  postino send reviewer "branch fix-42 is ready" --from builder
  postino read reviewer
  postino read                 # your own mail, and that to all people
"""


def main(argv: list[str]) -> int:
    """Run one command; return 0, or 2 for usage or bad input, 3 for a refusal, 4 if postino is not reachable."""
    streams.prepare()
    try:
        code = _run(argv)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return 130  # the exit code that shells report for SIGINT
    except BrokenPipeError:
        _discard_output()
        return 0  # the reader of the pipe, such as `head`, wants no more
    except Exception as error:
        _discard_output()
        return _failed(error, in_json="--json" in argv[: argv.index("--") if "--" in argv else len(argv)])


def _run(argv: list[str]) -> int:
    if not argv and not _can_show():
        sys.stderr.write(_help() + _without_inbox())
        return 2
    argv = argv or ["tui"]
    name, rest = argv[0], argv[1:]
    if name in ("--version", "-V"):
        return _print(f"postino {__version__}\n")
    if name in ("--help", "-h") or (name == "help" and not rest) or (name == "help" and rest[0].startswith("-")):
        return _print(_help())
    if name == "help":
        name, rest = rest[0], ["--help"]
    return _command(name, rest)


def _can_show() -> bool:
    from postino.cli.tui import can_run

    return can_run() and os.environ.get("TERM") != "dumb"


def _without_inbox() -> str:
    """Return what to say on a terminal that could show the inbox."""
    from postino.cli.tui import INSTALL, can_run, on_terminal

    if not on_terminal() or can_run():
        return ""
    return f"With {INSTALL}, `postino` alone shows your inbox here; `postino read` prints what is new in it.\n"


def _command(name: str, rest: list[str]) -> int:
    from keyword import iskeyword

    from postino.cli import terminal
    from postino.cli.command import Command, no_command
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
    command = Command(name, rest, summary, settings, os.environ, _colour(), terminal.width())
    function = f"{name}_" if iskeyword(name) else name
    return int(getattr(__import__(f"postino.cli.{module}", fromlist=[function]), function)(command))


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
    return "\n".join([*lines, EXAMPLES, "`postino help COMMAND` shows the options of one command.\n"])


def _discard_output() -> None:
    """Flush standard output, or discard it if that fails: Python would try again at exit and print an error."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _failed(error: Exception, *, in_json: bool) -> int:
    """Say why a command failed, on standard error, or on standard output as the JSON that was asked for."""
    from postino.cli.command import as_json, sentence
    from postino.errors import PostinoError

    if os.environ.get("POSTINO_LOG_LEVEL", "").lower() == "debug":
        import traceback

        traceback.print_exc()
    try:
        if in_json:
            known = error if isinstance(error, PostinoError) else PostinoError(sentence(error))
            _print(f"{as_json(known.body(), indent=None)}\n")
            _discard_output()
        else:
            sys.stderr.write(f"postino: {sentence(error)}\n")
    except OSError:  # nobody hears it: the exit code still says it
        _discard_output()
    if not isinstance(error, PostinoError):
        return 3
    # a daemon that exited at its start says why: 2 a bad setting, which it got from this process, 3 a wrong store
    code = error.detail.get("exitcode")
    return int(code) if code in (2, 3) else error.exit
