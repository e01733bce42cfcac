"""`postino read` and `postino check` of a person: by what was printed, and as the page has it."""

from __future__ import annotations

import sys
import time

from postino.cli import render, streams
from postino.errors import BadRequest
from postino.values import MAX_PAGE

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from postino.cli.command import Command
    from postino.client import Client

    Json = dict[str, Any]

POLL_S = 0.5  # between two looks while it waits


def read(command: Command, args: argparse.Namespace, person: str) -> int:
    """Print what nobody has opened, the oldest first, and then open it; with --peek print all that is open."""
    if args.limit is not None and not 1 <= args.limit <= MAX_PAGE:
        raise BadRequest(f"--limit must be 1 to {MAX_PAGE}, not {args.limit}")
    if not args.peek:
        streams.require_stdout()
    with command.client() as client:
        answer = _within(client, person, args)
        items = answer["items"]
        name = render.line(person)
        hint = (
            f", {answer['person']['open']} open (--peek shows them)" if answer["person"]["open"] and not items else ""
        )
        text = render.messages(items, command.ink, f"No new messages for {name}{hint}.") + render.unverified(items)
        command.show(args, answer, text, pages=args.peek)
        sys.stdout.flush()
        if items and not args.peek:
            client.seen(person, [each["id"] for each in items])
    return 0


def _within(client: Client, person: str, args: argparse.Namespace) -> Json:
    until = time.monotonic() + args.wait
    while True:
        answer = client.inbox(person)
        shown = [each for each in reversed(answer["items"]) if args.peek or each["opened_by"] is None]
        answer["items"] = shown[: args.limit]
        left = until - time.monotonic()
        if answer["items"] or left <= 0:
            return answer
        time.sleep(min(POLL_S, left))


def check(command: Command, args: argparse.Namespace, person: str) -> int:
    """Say how many messages wait for a person."""
    with command.client() as client:
        found = client.inbox(person, limit=1)["person"]
    text = f"{render.line(person)}: {render.count(found['unread'], 'new message')}, {found['open']} open\n"
    return command.show(args, found, text)
