"""broadcast, broadcasts, watch."""

from __future__ import annotations

import sys
from typing import Any

from postino.cli import render, streams
from postino.cli.call import Call, as_json, body_of

Json = dict[str, Any]


def broadcast(call: Call) -> int:
    """Send BODY to all agents, those to come included."""
    parser = call.parser(agent="who it is from (POSTINO_AGENT_NAME, else anonymous)")
    parser.add_argument("body", metavar="BODY", help="the text; - reads standard input")
    parser.add_argument("--id", help="the broadcast's identity: the same id and content is stored once")
    args = parser.parse_args(call.argv)
    with call.client() as client:
        answer = client.broadcast(body_of(args.body), sender=call.sender(args), id=args.id)
    what = "broadcast" if answer.get("created", True) else "was already broadcast"
    return call.show(args, answer, f"{what}, id {render.line(answer['id'])}\n")


def broadcasts(call: Call) -> int:
    """Read what an agent has not seen yet and count it as seen; without a name, list all and count nothing."""
    parser = call.parser(agent="who reads (POSTINO_AGENT_NAME, else all are listed)", named=True)
    parser.add_argument("--all", action="store_true", help="list all that are kept; nobody has seen them by that")
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many")
    args = parser.parse_args(call.argv)
    name = None if args.all else call.sender(args)
    if name is not None:
        streams.must_show()
    with call.client() as client:
        answer = client.broadcasts(limit=args.limit) if name is None else client.read_broadcasts(name, limit=args.limit)
    return call.show(args, answer, _shown(call, answer, name))


def _shown(call: Call, answer: Json, name: str | None) -> str:
    nothing = f"No broadcasts {render.line(name)} has not seen." if name else "No broadcasts."
    text = render.messages(answer["items"], render.Ink(call.colour), nothing)
    if answer.get("missed"):
        text = (
            f"{render.count(answer['missed'], 'older broadcast')} left before {render.line(name)} saw them.\n\n{text}"
        )
    return text + "\nMore wait.\n" if answer.get("more") else text


def watch(call: Call) -> int:
    """Print events until interrupted; a daemon that goes away is waited for, and nothing is missed meanwhile."""
    parser = call.parser(agent="only what concerns this agent")
    parser.add_argument("--type", action="append", metavar="TYPE", help="only events of this type; may be repeated")
    parser.add_argument("--since", metavar="ID", help="first what came after this event")
    args = parser.parse_args(call.argv)
    ink = render.Ink(call.colour)
    try:
        with call.client() as client:
            for event in client.events(since=args.since, agent=args.agent, types=args.type, patience=None):
                sys.stdout.write(f"{as_json(event, indent=None)}\n" if args.json else f"{render.event(event, ink)}\n")
                sys.stdout.flush()
    except KeyboardInterrupt:
        pass  # how a watch ends
    return 0
