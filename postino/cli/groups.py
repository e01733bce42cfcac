"""The command groups."""

from __future__ import annotations

from postino.cli import render
from postino.cli.command import Command
from postino.client import every
from postino.errors import BadRequest, UnknownGroup

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from postino.json_text import Json

VERBS = ("join", "leave", "members")


def groups(command: Command) -> int:
    """List the groups, show the members of one, or let an agent join or leave one."""
    parser = command.parser(
        agent="who joins or leaves (default: POSTINO_AGENT_NAME, else that of the session, else you)"
    )
    parser.add_argument("verb", nargs="?", choices=VERBS, metavar="VERB", help=f"{', '.join(VERBS)}; without: list")
    parser.add_argument("group", nargs="?", metavar="GROUP", help="the group, with or without its #")
    args = parser.parse_args(command.argv)
    if args.verb and not args.group:
        raise BadRequest(f"group name missing: give it, as in `postino groups {args.verb} team` (a shell takes # off)")
    if args.verb in ("join", "leave"):
        name = command.writer_name(args)
        with command.client() as client:
            answer = (client.join if args.verb == "join" else client.leave)(args.group.removeprefix("#"), name)
        if answer.get("note"):
            raise _unknown(answer["note"], answer["names"])
        return command.show(args, answer, _changed(args.verb, answer))
    with command.client() as client:
        items = list(every(client.groups))
    if args.verb == "members":
        items = [_one(items, args.group.removeprefix("#"))]
        return command.show(args, items[0], "".join(f"{render.line(each)}\n" for each in items[0]["members"]))
    return command.show(args, {"items": items, "total": len(items)}, _table(command, items), pages=True)


def _one(items: list[Json], name: str) -> Json:
    found = next((each for each in items if each["name"].lower() == name.lower()), None)
    if found is None:
        import difflib

        known = {each["name"].lower(): f"#{each['name']}" for each in items}
        near = [known[each] for each in difflib.get_close_matches(name.lower(), known, 3)]
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise _unknown(f"there is no group #{name}{hint}", [each.removeprefix("#") for each in near])
    return found


def _unknown(said: str, near: list[str]) -> UnknownGroup:
    return UnknownGroup(said if near else f"{said}; `postino groups` lists them", names=near)


def _changed(verb: str, answer: Json) -> str:
    who, group = render.line(answer["agent"]), f"#{render.line(answer['group'])}"
    said = {"join": ("joined", "is in"), "leave": ("left", "was not in")}[verb][0 if answer["changed"] else 1]
    near = f"; similar names: {', '.join(render.line(each) for each in answer['names'])}" if answer.get("names") else ""
    return f"{who} {said} {group}, which has {render.count(answer['members'], 'member')}{near}\n"


def _table(command: Command, items: list[Json]) -> str:
    if not items:
        return "No groups yet. `postino groups join NAME` makes one.\n"
    rows = [["GROUP", "MEMBERS", ""]]
    rows += [
        [f"#{render.line(each['name'])}", str(len(each["members"])), render.names(each["members"])] for each in items
    ]
    return render.table(rows, command.ink)
