"""postino install and uninstall for Codex, Gemini CLI and opencode, whose files are changed directly."""

from __future__ import annotations

import shutil
import sys
from argparse import Namespace

from postino.cli import render
from postino.cli.client_files import Record
from postino.cli.client_setups import SETUPS, Wanted
from postino.cli.command import Command
from postino.cli.config import SECRET_VARIABLES, entry
from postino.errors import BadField


def install_client(command: Command, args: Namespace) -> int:
    """Add the MCP server and what notifies a client's sessions. Repeating it brings an installation up to date."""
    _refuse_scope(args)
    setup = SETUPS[args.client]
    wanted = Wanted(entry(command, args.agent, plainly=False), ask=bool(args.ask))
    _change(command, args, wanted)
    for name in sorted(SECRET_VARIABLES & wanted.entry.get("env", {}).keys()):
        sys.stderr.write(f"postino: the entry contains {name}; keep the file private\n")
    if not args.dry_run:
        sys.stdout.write(
            f"Every {args.client} session that starts from now on has a mailbox. "
            f"`postino uninstall --client {args.client}` undoes it.\n{setup.after}\n"
        )
    if shutil.which(setup.program, path=command.environ.get("PATH")) is None:
        sys.stderr.write(f"postino: `{setup.program}` is not on PATH; its files are written all the same\n")
    return 0


def uninstall_client(command: Command, args: Namespace) -> int:
    """Take out what was added, and nothing else. Messages stay."""
    _refuse_scope(args)
    changed = _change(command, args, None)
    if changed and not args.dry_run:
        sys.stdout.write(what_stays(command, args.client))
    return 0


def what_stays(command: Command, client: str) -> str:
    """Return what to say when a client has nothing of postino any more."""
    home = command.settings.home.root
    stays = f" Mail stays in {render.line(home)}; `postino down` stops the daemon." if home.exists() else ""
    return f"{client} sessions that start from now on have no mailbox.{stays}\n"


def others_found(command: Command) -> list[str]:
    """Return the clients on PATH for which nothing is installed."""
    record = Record(command.settings.home)
    path = command.environ.get("PATH")
    return [name for name, each in SETUPS.items() if shutil.which(each.program, path=path) and not record.made(name)]


def _change(command: Command, args: Namespace, wanted: Wanted | None) -> bool:
    """Make the changes unless this is a dry run; return whether there was one to make."""
    record = Record(command.settings.home)
    edits, made = SETUPS[args.client].edits(wanted, record.made(args.client), command.environ)
    for edit in edits:
        sys.stdout.write(render.line(edit.words) + "\n")
    needed = any(each.before != each.after for each in edits)
    if args.dry_run:
        return needed
    if wanted is not None:
        record.save(args.client, made)  # first: what is written must be known
    for edit in edits:
        edit.apply()
    if wanted is None:
        record.save(args.client, None)
    return needed


def _refuse_scope(args: Namespace) -> None:
    if args.scope is not None:
        raise BadField(
            "--scope is for Claude Code only; the other clients are set up for all your sessions", field="scope"
        )
