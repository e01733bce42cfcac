"""The commands broadcast, broadcasts and watch."""

from __future__ import annotations

import sys

from postino.cli import body, render, streams
from postino.cli.command import Command, as_json
from postino.errors import PostinoError

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from postino.client import Client
    from postino.json_text import Json


def broadcast(command: Command) -> int:
    """Send BODY to all agents, including those that join later."""
    parser = command.parser(agent="the sender (default: POSTINO_AGENT_NAME, else that of the session, else you)")
    body.add_options(parser)
    parser.add_argument("--id", help="the id of the broadcast; repeating an id stores nothing new")
    args = parser.parse_args(command.argv)
    with command.client() as client:
        answer = client.broadcast(body.of(args), sender=command.sender(args), id=args.id)
    what = "broadcast" if answer.get("created", True) else "was already broadcast"
    return command.show(args, answer, f"{what}, id {render.line(answer['id'])}\n")


def broadcasts(command: Command) -> int:
    """Print and flush the broadcasts that an agent has not seen, and only then count them as seen; or list all."""
    parser = command.parser(agent="the reading agent (default: POSTINO_AGENT_NAME, else list all)", named=True)
    parser.add_argument("--all", action="store_true", help="list all broadcasts; they do not count as seen")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N broadcasts")
    args = parser.parse_args(command.argv)
    if not args.all:
        command.refuse_in_session(args, "msg_broadcasts", "`postino broadcasts --all` lists all broadcasts")
    name = None if args.all else command.sender(args)
    if name is not None:
        streams.require_stdout()
    with command.client() as client:
        if name is None:
            answer = client.broadcasts(limit=args.limit)
            return command.show(args, answer, _shown(command, answer, name), pages=True)
        answer = client.read_broadcasts(name, limit=args.limit, lease=True)
        command.show(args, answer, _shown(command, answer, name))
        sys.stdout.flush()
        if answer["items"]:
            client.broadcasts_seen(name, answer["items"][-1]["id"])
    return 0


def _shown(command: Command, answer: Json, name: str | None) -> str:
    nothing = f"No unseen broadcasts of {render.line(name)}." if name else "No broadcasts."
    text = render.messages(answer["items"], command.ink, nothing) + render.unverified(answer["items"])
    if answer.get("missed"):
        missed = render.count(answer["missed"], "older broadcast")
        text = f"{missed} expired before {render.line(name)} saw them.\n\n{text}"
    return text + "\nThere are more.\n" if answer.get("more") else text


def _body(client: Client, event: Json) -> str | None:
    """Return the text of what was sent, from the history; None for other events, and for what is gone already."""
    if event.get("type") not in ("msg_send", "broadcast"):
        return None
    from contextlib import suppress  # 3 ms, which a quick command need not pay

    with suppress(PostinoError):
        for item in client.history(agent=event.get("to"), id=event["id"], limit=10)["items"]:
            if (item["id"], item["seq"]) == (event["id"], event["seq"]):
                return str(item["body"])
    return None


def watch(command: Command) -> int:
    """Print events until interrupted. If the daemon goes away, wait for the next one and miss no event."""
    parser = command.parser(agent="only events of this agent")
    parser.add_argument("--type", action="append", metavar="TYPE", help="only events of this type; can be repeated")
    parser.add_argument("--since", metavar="ID", help="first replay the events after this one")
    parser.add_argument("--bodies", action="store_true", help="below each message and broadcast its text")
    args = parser.parse_args(command.argv)
    try:
        with command.client() as client:
            for event in client.events(since=args.since, agent=args.agent, types=args.type, patience=None):
                body = _body(client, event) if args.bodies else None
                if args.json:
                    found = event if body is None else event | {"body": body}
                    sys.stdout.write(f"{as_json(found, indent=None)}\n")
                else:
                    text = "" if body is None else render.block(body, " " * 10, command.width)
                    sys.stdout.write(f"{render.event(event, command.ink)}\n{text}")
                sys.stdout.flush()
    except KeyboardInterrupt:
        pass  # the way to end it
    return 0
