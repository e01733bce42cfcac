"""The command token."""

from __future__ import annotations

import argparse
import re
import sys

from postino.cli import render, terminal
from postino.cli.command import Command
from postino.errors import BadRequest
from postino.json_text import Json

ACTIONS = ("create", "list", "revoke")
ROLES = {  # role -> what it may do
    "publish": "send and see what became of it",
    "agent": "act as the agent NAME",
    "admin": "do everything",
}
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def token(command: Command) -> int:
    """Create, list or revoke named tokens, with which CI and other machines call over HTTP."""
    parser = command.parser()
    parser.add_argument("action", choices=ACTIONS, help="what to do; `create` prints the token, this once")
    parser.add_argument("name", nargs="?", metavar="NAME", help="the agent name under which its holder sends")
    parser.add_argument("id", nargs="?", metavar="ID", help="with revoke: only the token with this id")
    roles = "; ".join(f"{role}: {what}" for role, what in ROLES.items())
    parser.add_argument("--role", choices=tuple(ROLES), help=f"with create: {roles}")
    parser.add_argument("--ttl", type=_seconds, metavar="TIME", help="with create: 12h, 30d, ... (default: for ever)")
    parser.add_argument("--yes", action="store_true", help="with revoke: without asking")
    args = parser.parse_args(command.argv)
    _check(args)
    if args.action == "create":
        return _create(command, args)
    return _list(command, args) if args.action == "list" else _revoke(command, args)


def _check(args: argparse.Namespace) -> None:
    """Raise BadRequest if what is given does not fit the action."""
    if args.action == "list" and args.name:
        raise BadRequest("`postino token list` lists all; give no name with it")
    if args.action != "list" and not args.name:
        raise BadRequest(f"name missing: give it as in `postino token {args.action} ci`", field="name")
    if args.action == "create" and not args.role:
        raise BadRequest(
            f"role missing: give {' or '.join(f'--role {role} ({what})' for role, what in ROLES.items())}", field="role"
        )
    if args.action != "create" and (args.role or args.ttl):
        raise BadRequest("--role and --ttl are for `postino token create`")
    if args.action == "create" and args.id:
        raise BadRequest("the id of a token is chosen by postino; give only its name")


def _create(command: Command, args: argparse.Namespace) -> int:
    with command.client() as client:
        made = client.create_token(args.name, args.role, args.ttl)
    code = command.show(args, made, f"{made['token']}\n")
    if sys.stdout.isatty():
        until = f"until {made['expires']}" if made["expires"] else "until it is revoked"
        sys.stderr.write(
            f"postino: this token is not shown again; it may {ROLES[made['role']]}, as {made['name']}, {until}\n"
        )
    return code


def _list(command: Command, args: argparse.Namespace) -> int:
    with command.client() as client:
        found = client.tokens(limit=200)  # there are no more
    rows = [["NAME", "ROLE", "ID", "EXPIRES", "LAST USED"], *(_row(each) for each in found["items"])]
    text = render.table(rows, command.ink) if found["items"] else "There are no named tokens.\n"
    return command.show(args, found, text)


def _row(each: Json) -> list[str]:
    expires = "expired" if each["expired"] else each["expires"] or "never"
    used = each["last_used"] or "not since postino started"
    return [render.line(cell) for cell in (each["name"], each["role"], each["id"], expires, used)]


def _revoke(command: Command, args: argparse.Namespace) -> int:
    which = f"the token {render.line(args.id)}" if args.id else "every token"
    terminal.confirm(f"Revoke {which} of {render.line(args.name)}?", agreed=args.yes)
    with command.client() as client:
        answer = client.revoke_token(args.name, args.id)
    count = render.count(len(answer.get("revoked", [])), "token")
    return command.show(args, answer, f"revoked {count} of {render.line(args.name)}\n")


def _seconds(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,9})([smhdw])", text)
    if not found or not 1 <= (seconds := int(found[1]) * UNITS[found[2]]) <= 315_360_000:
        raise argparse.ArgumentTypeError("must be a number with s, m, h, d or w, such as 12h or 30d; at most ten years")
    return seconds
