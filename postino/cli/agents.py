"""agents, rename."""

from __future__ import annotations

from typing import Any

from postino.cli import render
from postino.cli.call import Call
from postino.errors import BadRequest

Json = dict[str, Any]


def agents(call: Call) -> int:
    """List the known agents, or forget some."""
    parser = call.parser()
    parser.add_argument("name", nargs="?", metavar="NAME", help="only this one")
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many")
    parser.add_argument("--offset", type=int, metavar="N", help="leave out the first N")
    parser.add_argument("--forget", metavar="NAME", help="remove one that is offline and has no mail")
    parser.add_argument("--cleanup", action="store_true", help="remove all that are offline and have no mail")
    args = parser.parse_args(call.argv)
    if bool(args.forget) + args.cleanup + bool(args.name) > 1:
        raise BadRequest("NAME, --forget and --cleanup exclude each other")
    with call.client() as client:
        if args.forget:
            return call.show(args, client.forget(args.forget), f"forgot {render.line(args.forget)}\n")
        if args.cleanup:
            answer = client.cleanup()
            return call.show(args, answer, f"forgot {render.count(len(answer.get('forgotten', [])), 'agent')}\n")
        answer = client.agent(args.name) if args.name else client.agents(limit=args.limit, offset=args.offset)
    return call.show(args, answer, _table(call, [answer] if args.name else answer["items"]))


def _table(call: Call, items: list[Json]) -> str:
    if not items:
        return "No agents yet.\n"
    rows = [["NAME", "", "MAIL", "LAST SEEN", "SESSIONS", "ALSO KNOWN AS"]]
    rows += [
        [
            render.line(item["name"]),
            "online" if item["online"] else "offline",
            str(item["messageCount"]),
            render.ago(item.get("lastSeen")),
            str(item.get("sessions", 0)),
            ", ".join(render.line(alias) for alias in item.get("aliases", [])),
        ]
        for item in items
    ]
    styles = {"online": ("green",), "offline": ("dim",)}
    return render.table(rows, render.Ink(call.colour), lambda column, text: styles.get(text, ()) if column == 1 else ())


def rename(call: Call) -> int:
    """Give an agent another name; mail to the old one keeps arriving."""
    parser = call.parser(agent="the agent to rename (POSTINO_AGENT_NAME)")
    parser.add_argument("old", nargs="?", metavar="OLD", help="its present name, unless --agent says it")
    parser.add_argument("new", metavar="NEW", help="its new name")
    args = parser.parse_args(call.argv)
    if args.old and args.agent:
        raise BadRequest("the present name is given twice, as OLD and with --agent")
    old = args.old or call.own_name(args)
    with call.client() as client:
        answer = client.rename(old, args.new)
    return call.show(args, answer, f"{render.line(old)} is {render.line(answer['name'])} now\n")
