"""install, uninstall: the Claude Code plugin, by the client's own commands; nothing is written behind its back."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from postino.cli import render
from postino.cli.call import Call, Parser
from postino.errors import BadField, Unreachable
from postino.model import check_name
from postino.paths import folder

REACH = {
    "user": "Every Claude Code session",
    "project": "Every Claude Code session in this project, whoever opens it,",
    "local": "Every Claude Code session of yours in this project",
}
MARKET, PLUGIN = "postino", "postino@postino"
PATIENCE_S = 60.0  # of one command of the client; each takes well under a second

Json = dict[str, Any]
Step = tuple[list[str], str | None]  # a command, and the directory it must run in, None for any


def install(call: Call) -> int:
    """Make every new Claude Code session have a mailbox; doing it again repairs what has moved."""
    parser = _parser(
        call, "user: all your sessions (default); project: this project's, for everybody; local: yours here"
    )
    parser.add_argument(
        "--agent",
        metavar="NAME",
        help="one fixed name for all your sessions, instead of one for each; it holds until `postino uninstall`",
    )
    args = parser.parse_args(call.argv)
    scope = args.scope or "user"
    if args.agent is not None and scope != "user":  # the client keeps it with the user's settings, whatever the scope
        raise BadField(
            "--agent names all your sessions, so it goes with --scope user; for one project set POSTINO_AGENT_NAME "
            'under "env" in its .claude/settings.json',
            field="agent",
        )
    steps: list[Step] = [
        (["plugin", "marketplace", "add", str(marketplace())], None),
        (["plugin", "install", PLUGIN, "--scope", scope, *_named(args.agent)], None),
    ]
    code = _run(call, args, steps)
    if code == 0 and not args.dry_run:
        sys.stdout.write(f"{REACH[scope]} that starts from now on has a mailbox. `postino uninstall` undoes it.\n")
    if shutil.which("postino", path=call.environ.get("PATH")) is None:
        sys.stderr.write(
            f"postino: put {Path(sys.executable).parent} on PATH; the plugin starts `postino` from there\n"
        )
    return code


def uninstall(call: Call) -> int:
    """Take the plugin out of Claude Code again; messages stay where they are."""
    args = _parser(call, "take it out there only, seen from this directory; else everywhere").parse_args(call.argv)
    found = _installed(call)
    if found is None:
        return _run(
            call, args, [(["plugin", "uninstall", PLUGIN], None), (["plugin", "marketplace", "remove", MARKET], None)]
        )
    here = str(Path.cwd())
    gone = [each for each in found if args.scope is None or _is_at(each, args.scope, here)]
    steps: list[Step] = [
        (["plugin", "uninstall", PLUGIN, "--scope", each["scope"]], each.get("projectPath"))
        for each in gone
        if Path(each.get("projectPath") or here).is_dir()  # a project that was deleted has no settings to change
    ]
    if len(gone) == len(found) and _has_market(call):
        steps.append((["plugin", "marketplace", "remove", MARKET], None))
    if not steps:
        sys.stdout.write("The plugin is not installed there.\n" if args.scope else "The plugin is not installed.\n")
        return 0
    return _run(call, args, steps)


def marketplace() -> Path:
    """Return the directory that offers the plugin: the checkout, or the package's own data."""
    return Path(str(folder("plugin"))).parent


def _parser(call: Call, scope: str) -> Parser:
    parser = call.parser(json=False)
    parser.add_argument("--scope", choices=REACH, help=scope)
    parser.add_argument("--dry-run", action="store_true", help="print the commands and run none")
    return parser


def _named(agent: str | None) -> list[str]:
    return [] if agent is None else ["--config", f"agent_name={check_name(agent, 'agent')}"]


def _is_at(entry: Json, scope: str, here: str) -> bool:
    return entry["scope"] == scope and entry.get("projectPath") in (None, here)


def _run(call: Call, args: Namespace, steps: list[Step]) -> int:
    """Show each command and run it; without the client, show all of them and return 4."""
    claude = _claude(call)
    for words, directory in steps:
        place = f"cd {shlex.quote(directory)} && " if directory not in (None, str(Path.cwd())) else ""
        sys.stdout.write(render.line(f"{place}claude {shlex.join(words)}") + "\n")
        if claude and not args.dry_run:
            sys.stdout.flush()
            _do(call, claude, words, directory)
    if claude or args.dry_run:
        return 0
    sys.stderr.write("postino: there is no `claude` on PATH, so nothing was done; run these where it is\n")
    return Unreachable.exit


def _do(call: Call, claude: str, words: list[str], directory: str | None) -> None:
    done = _ask(call, claude, [*words, "--json"], directory)
    done = done if isinstance(done, dict) else {}
    said = done.get("message") or "it does not say why"
    if done.get("outcome") != "ok":
        raise Unreachable(f"claude {shlex.join(words)} failed: {said}")
    sys.stdout.write(f"  {render.line(said.splitlines()[0])}\n")


def _ask(call: Call, claude: str, words: list[str], directory: str | None) -> Any:
    """Return what the client answers as JSON.

    Raises:
        Unreachable: it cannot be run, does not end, or says something else.
    """
    try:
        done = subprocess.run(
            [claude, *words],
            env=dict(call.environ),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    except OSError as error:  # what runs it is missing, say node
        raise Unreachable(f"{claude} cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise Unreachable(f"claude {shlex.join(words)} does not end") from None
    try:
        return json.loads(done.stdout)
    except ValueError:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise Unreachable(f"claude {shlex.join(words)} failed; it said: {said}") from None


def _claude(call: Call) -> str | None:
    return shutil.which("claude", path=call.environ.get("PATH"))


def _installed(call: Call) -> list[Json] | None:
    """Return where the plugin is installed; None when there is no client to ask."""
    claude = _claude(call)
    if claude is None:
        return None
    return [each for each in _listed(call, claude, ["plugin", "list", "--json"]) if each.get("id") == PLUGIN]


def _has_market(call: Call) -> bool:
    claude = _claude(call)
    found = _listed(call, claude, ["plugin", "marketplace", "list", "--json"]) if claude else []
    return any(each.get("name") == MARKET for each in found)


def _listed(call: Call, claude: str, words: list[str]) -> list[Json]:
    found = _ask(call, claude, words, None)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Unreachable(f"claude {shlex.join(words)} gives no list; is this Claude Code new enough?")
    return found
