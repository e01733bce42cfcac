"""The commands install and uninstall. Here: Claude Code, by its own plugin commands; none of its files is written."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from argparse import BooleanOptionalAction, Namespace
from pathlib import Path

from postino.cli import claude_needs, render
from postino.cli.arguments import Parser
from postino.cli.client_install import install_client, others_found, uninstall_client, what_stays
from postino.cli.client_setups import SETUPS
from postino.cli.command import Command
from postino.cli.program import finished
from postino.errors import BadField, Unreachable
from postino.json_text import Json
from postino.paths import folder
from postino.values import check_name

REACH = {
    "user": "Every Claude Code session",
    "project": "Every Claude Code session in this project, of any user,",
    "local": "Every Claude Code session of yours in this project",
}
MARKET, PLUGIN = "postino", "postino@postino"
TIMEOUT_S = 60.0  # for one command of the client, which takes less than a second

Step = tuple[list[str], str | None]  # a command, and the directory in which it must run; None: any


def install(command: Command) -> int:
    """Install the plugin, so that every new session has a mailbox. Repeating it repairs a moved installation."""
    parser = _parser(
        command, "user: all your sessions (default); project: all of this project; local: yours in this project"
    )
    parser.add_argument(
        "--agent",
        metavar="NAME",
        help="one fixed agent name for all your sessions, until `postino uninstall`",
    )
    parser.add_argument(
        "--ask",
        action=BooleanOptionalAction,
        help="leave the client's dialogs before postino's tools, in all your sessions; --no-ask undoes it",
    )
    args = parser.parse_args(command.argv)
    if args.client != "claude":
        return install_client(command, args)
    scope = args.scope or "user"
    if args.agent is not None and scope != "user":  # the client stores it in the user's settings, whatever the scope
        raise BadField(
            "--agent applies to all your sessions, so it needs --scope user; for one project set POSTINO_AGENT_NAME "
            'under "env" in its .claude/settings.json',
            field="agent",
        )
    if args.ask is not None and scope != "user":
        raise BadField("--ask applies to all your sessions, so it needs --scope user", field="ask")
    if claude_program(command):
        claude_needs.check_version(_finished(command, ["--version"]).stdout)
    options = [*_options(args), *claude_needs.command_option(command.environ)]
    steps: list[Step] = [
        (["plugin", "marketplace", "add", str(marketplace())], None),
        (["plugin", "install", PLUGIN, "--scope", scope, *options], None),
    ]
    code = _run(command, args, steps)
    if code == 0 and not args.dry_run:
        sys.stdout.write(f"{REACH[scope]} that starts from now on has a mailbox. `postino uninstall` undoes it.\n")
    for name in others_found(command):
        sys.stderr.write(f"postino: {name} is on PATH, too; `postino install --client {name}` sets it up\n")
    for sentence in claude_needs.missing(command.environ):
        sys.stderr.write(f"postino: {sentence}\n")
    return code


def uninstall(command: Command) -> int:
    """Remove the plugin from Claude Code. Messages stay."""
    parser = _parser(command, "remove it from this scope of this directory only (default: from everywhere)")
    args = parser.parse_args(command.argv)
    if args.client != "claude":
        return uninstall_client(command, args)
    found = installed(command)
    if found is None:
        both = ["plugin", "uninstall", PLUGIN], ["plugin", "marketplace", "remove", MARKET]
        return _run(command, args, [(words, None) for words in both])
    here = str(Path.cwd())
    gone = [each for each in found if args.scope is None or _is_at(each, args.scope, here)]
    steps: list[Step] = [
        (["plugin", "uninstall", PLUGIN, "--scope", each["scope"]], each.get("projectPath"))
        for each in gone
        if Path(each.get("projectPath") or here).is_dir()  # a deleted project has no settings
    ]
    if len(gone) == len(found) and _has_market(command):
        steps.append((["plugin", "marketplace", "remove", MARKET], None))
    if not steps:
        sys.stdout.write("The plugin is not installed there.\n" if args.scope else "The plugin is not installed.\n")
        return 0
    code = _run(command, args, steps)
    if code == 0 and not args.dry_run and len(gone) == len(found):
        sys.stdout.write(what_stays(command, "Claude Code"))
    return code


def marketplace() -> Path:
    """Return the directory that contains the plugin: the checkout, or the data of the package."""
    return Path(str(folder("plugin"))).parent


def _parser(command: Command, scope: str) -> Parser:
    parser = command.parser(json=False)
    parser.add_argument("--scope", choices=REACH, help=scope)
    parser.add_argument("--client", choices=["claude", *SETUPS], default="claude", help="which client (claude)")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done without doing it")
    return parser


def _options(args: Namespace) -> list[str]:
    """Return what sets the plugin's options, of which those that are not given stay as they are."""
    name = [] if args.agent is None else ["--config", f"agent_name={check_name(args.agent, 'agent')}"]
    return name if args.ask is None else [*name, "--config", f"ask={str(args.ask).lower()}"]


def _is_at(entry: Json, scope: str, here: str) -> bool:
    return entry["scope"] == scope and entry.get("projectPath") in (None, here)


def _run(command: Command, args: Namespace, steps: list[Step]) -> int:
    """Print and run each command; if Claude Code is not installed, print all of them and return 4."""
    claude = claude_program(command)
    for words, directory in steps:
        place = f"cd {shlex.quote(directory)} && " if directory not in (None, str(Path.cwd())) else ""
        sys.stdout.write(render.line(f"{place}claude {shlex.join(words)}") + "\n")
        if claude and not args.dry_run:
            sys.stdout.flush()
            _do(command, words, directory)
    if claude or args.dry_run:
        return 0
    sys.stderr.write("postino: `claude` is not on PATH, so nothing was done; run these commands where it is\n")
    return Unreachable.exit


def _do(command: Command, words: list[str], directory: str | None) -> None:
    done = _finished(command, words, directory)  # without --json, which clients before 2.1.224 do not know
    lines = [each.strip() for each in f"{done.stdout}\n{done.stderr}".splitlines() if each.strip()]
    if done.returncode:
        raise Unreachable(f"claude {shlex.join(words)} failed; it printed: {' '.join(lines) or 'nothing'}")
    said = [each[each.index("✔") :] for each in lines if "✔" in each] or lines  # not its hints about optional settings
    sys.stdout.write("".join(f"  {render.line(each)}\n" for each in said[-1:]))


def _finished(command: Command, words: list[str], directory: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the client, which must be on PATH."""
    claude = str(claude_program(command))
    try:
        return finished([claude, *words], command.environ, TIMEOUT_S, directory)
    except OSError as error:  # for example, its interpreter is missing
        raise Unreachable(f"{claude} cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise Unreachable(f"claude {shlex.join(words)} did not end within {TIMEOUT_S:.0f} s") from None


def claude_program(command: Command) -> str | None:
    return shutil.which("claude", path=command.environ.get("PATH"))


def installed(command: Command) -> list[Json] | None:
    """Return the installations of the plugin; None if Claude Code is not on PATH."""
    if claude_program(command) is None:
        return None
    return [each for each in _listed(command, ["plugin", "list", "--json"]) if each.get("id") == PLUGIN]


def _has_market(command: Command) -> bool:
    found = _listed(command, ["plugin", "marketplace", "list", "--json"])
    return any(each.get("name") == MARKET for each in found)


def _listed(command: Command, words: list[str]) -> list[Json]:
    """Return the list that the client prints as JSON.

    Raises:
        Unreachable: it cannot be run, does not end, or prints something else.
    """
    done = _finished(command, words)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        output = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise Unreachable(f"claude {shlex.join(words)} failed; it printed: {output}") from None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Unreachable(f"claude {shlex.join(words)} printed no list; update Claude Code")
    return found
