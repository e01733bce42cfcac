"""What `postino read`, `postino check` and `postino done` do for a person: by ids, and as the page has it."""

from __future__ import annotations

import sys
import time

from postino.cli import render, session, streams
from postino.errors import BadRequest, NotAllowed
from postino.values import DEFAULT_PAGE, HUMAN, MAX_PAGE

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    import argparse

    from postino.cli.command import Command
    from postino.client import Client
    from postino.json_text import Json

NEXT = "`postino reply ID TEXT` answers one, `postino done ID` takes one out of your inbox without an answer."
POLL_S = 0.5  # between two looks while it waits


def read(command: Command, args: argparse.Namespace, person: str) -> int:
    """Print what nobody has opened, the oldest first, and then open it; with --peek print all that is open."""
    if args.limit is not None and not 1 <= args.limit <= MAX_PAGE:
        raise BadRequest(f"--limit must be 1 to {MAX_PAGE}, not {args.limit}")
    if not args.peek:
        _check_outside(command, person)
        streams.require_stdout()
    with command.client() as client:
        answer = _within(client, person, args)
        items = answer["items"]
        name = render.line(person)
        hint = (
            f", {answer['person']['open']} open (--peek shows them)" if answer["person"]["open"] and not items else ""
        )
        text = render.messages(items, command.ink, f"No new messages for {name}{hint}.") + render.unverified(items)
        if answer["left"]:
            text += f"\n{answer['left']} more.\n"
        if items and sys.stdout.isatty():
            text += f"\n{NEXT}\n"
        command.show(args, answer, text, pages=args.peek)
        sys.stdout.flush()
        if items and not args.peek:
            client.seen(person, [each["id"] for each in items])
    return 0


def _check_opened(items: list[Json]) -> None:
    """Refuse to end for all people what none of them has seen.

    Raises:
        NotAllowed: one of these messages is to all people, and nobody has opened it.
    """
    if closed := [render.line(each["id"]) for each in items if each["to"] == HUMAN and each["opened_by"] is None]:
        raise NotAllowed(
            f"{', '.join(closed)}: to all people, and nobody has opened it; nothing was done. `postino read` opens "
            "what is new, and --unread ends it for all of them unseen"
        )


def _check_outside(command: Command, person: str) -> None:
    """Refuse to open a person's mail in a session: what its model reads no person has seen.

    Raises:
        NotAllowed: the command runs in a session.
    """
    if session.headers(command.environ):
        way = f"`postino read {render.line(person)} --peek` only shows it"
        raise NotAllowed(f"{render.line(person)} is a person, and this command runs in an agent's session; {way}")


def _within(client: Client, person: str, args: argparse.Namespace) -> Json:
    until = time.monotonic() + args.wait
    while True:
        answer, items = _all(client, person)
        shown = [each for each in reversed(items) if args.peek or each["opened_by"] is None]
        most = args.limit or (len(shown) if args.peek else DEFAULT_PAGE)
        answer |= {"items": shown[:most], "more": len(shown) > most, "left": len(shown[most:])}
        left = until - time.monotonic()
        if answer["items"] or left <= 0:
            return answer
        time.sleep(min(POLL_S, left))


def _all(client: Client, person: str) -> tuple[Json, list[Json]]:
    """Return the first answer about an inbox, and all that is open in it, newest first."""
    first = page = client.inbox(person, limit=MAX_PAGE)
    items = list(first["items"])
    while page["more"]:
        page = client.inbox(person, limit=MAX_PAGE, before=page["before"])
        items += page["items"]
    return {"person": first["person"]}, items


def check(command: Command, args: argparse.Namespace, person: str) -> int:
    """Say how many messages wait for a person."""
    with command.client() as client:
        found = client.inbox(person, limit=1)["person"]
    text = f"{render.line(person)}: {waiting(found)}\n"
    return command.show(args, found, text)


def waiting(person: Json) -> str:
    """Return in words how much a person has not opened, and how much is open."""
    return f"{render.count(person['unread'], 'new message')}, {person['open']} open"


def done(command: Command) -> int:
    """Mark messages as done that need no answer: they leave the inbox of a person, here and on the page."""
    parser = command.parser(agent="whose inbox it is (default: POSTINO_AGENT_NAME, else you)")
    parser.add_argument("ids", nargs="*", metavar="ID", help="the ids of messages")
    parser.add_argument("--opened", action="store_true", help="all that you have opened")
    parser.add_argument("--unread", action="store_true", help="also what is to all people and nobody has opened")
    args = parser.parse_args(command.argv)
    if bool(args.ids) == args.opened:
        raise BadRequest("give the ids of messages, or --opened")
    if args.opened and args.unread:
        raise BadRequest("--opened and --unread exclude each other; give one of them")
    person = command.reader(args)
    if person is None:
        raise BadRequest("only people have open messages: give `--agent NAME` with the name of one")
    _check_outside(command, person)
    with command.client() as client:
        items = [] if args.unread else _all(client, person)[1]
        _check_opened([each for each in items if each["id"] in args.ids])
        ids = args.ids or [each["id"] for each in items if each["opened_by"] == person]
        answer: Json = {"done": [], "unknown": []}
        for start in range(0, len(ids), MAX_PAGE):
            part = client.done(person, ids[start : start + MAX_PAGE])
            answer = {key: answer[key] + part[key] for key in answer}
    unknown = f"; not in your inbox: {', '.join(map(render.line, answer['unknown']))}" if answer["unknown"] else ""
    command.show(args, answer, f"{render.count(len(answer['done']), 'message')} done{unknown}\n")
    return 3 if answer["unknown"] and not answer["done"] else 0
