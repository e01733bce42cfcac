"""The commands agents, whoami and rename."""

from __future__ import annotations

from postino.cli import render, terminal
from postino.cli.command import Command
from postino.errors import BadRequest
from postino.relay.claude_process import PID, SESSION
from postino.values import HUMAN

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from postino.json_text import Json


def agents(command: Command) -> int:
    """List the known agents, or forget agents."""
    parser = command.parser()
    parser.add_argument("name", nargs="?", metavar="NAME", help="only this agent")
    parser.add_argument("--online", action="store_true", help="only those that are online")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N agents")
    parser.add_argument("--offset", type=int, metavar="N", help="skip the first N")
    parser.add_argument("--forget", metavar="NAME", help="forget an agent that is offline and has no mail")
    parser.add_argument("--cleanup", action="store_true", help="forget every agent that is offline and has no mail")
    parser.add_argument("--yes", action="store_true", help="forget without asking")
    args = parser.parse_args(command.argv)
    if bool(args.forget) + args.cleanup + bool(args.name) > 1:
        raise BadRequest("NAME, --forget and --cleanup exclude each other; give one of them")
    with command.client() as client:
        if args.forget:
            terminal.confirm(f"Forget {render.line(args.forget)}?", agreed=args.yes)
            return command.show(args, client.forget(args.forget), f"forgot {render.line(args.forget)}\n")
        if args.cleanup:
            terminal.confirm("Forget every agent that is offline and has no mail?", agreed=args.yes)
            answer = client.cleanup()
            return command.show(args, answer, f"forgot {render.count(len(answer.get('forgotten', [])), 'agent')}\n")
        if args.name:
            answer = client.agent(args.name)
        else:
            answer = client.agents(limit=args.limit, offset=args.offset, online=args.online)
    nothing = "No agents are online.\n" if args.online else "No agents yet.\n"
    table = _table(command, [answer] if args.name else answer["items"], nothing)
    return command.show(args, answer, table, pages=True)


def _table(command: Command, items: list[Json], nothing: str) -> str:
    if not items:
        return nothing
    rows = [["NAME", "", "MAIL", "LAST SEEN", "SESSIONS", "CLIENT", "DIRECTORY", "ALSO KNOWN AS"]]
    rows += [
        [
            render.line(item["name"]),
            _presence(item),
            _waiting(item),
            render.ago(item.get("lastSeen")),
            str(item.get("sessions", 0)),
            _client(item),
            render.line(item.get("directory") or ""),
            ", ".join(render.line(alias) for alias in item.get("aliases", [])),
        ]
        for item in items
    ]
    shown = [column for column in range(len(rows[0])) if column < 5 or any(row[column] for row in rows[1:])]
    return render.table([[row[column] for column in shown] for row in rows], command.ink, _styles)


def _client(item: Json) -> str:
    """Return the client of an agent; of people, who have none, that they are people."""
    if item.get("kind") == "human":
        return "(all people)" if item["name"] == HUMAN else "(a person)"
    return render.line(item.get("client") or "")


def _waiting(item: Json) -> str:
    """Return how many messages wait, of what waits for minutes since when the first one does, and dead letters."""
    oldest = render.ago(item.get("oldestUnread"))
    waits_long = item.get("oldestUnread") and oldest != "just now" and not oldest.endswith(" s ago")
    dead = f", {item['dead']} dead" if item.get("dead") else ""
    return f"{item['messageCount']}{f', oldest {oldest}' if waits_long else ''}{dead}"


def _presence(item: Json) -> str:
    if not item["online"]:
        return "offline"
    state = item.get("state", "unknown")
    return "online" if state == "unknown" else f"online, {render.line(state)}"


def _styles(column: int, text: str) -> tuple[str, ...]:
    if column != 1:
        return ()
    return ("dim",) if text == "offline" else ("green",)


def whoami(command: Command) -> int:
    """Print who the commands act as here: POSTINO_AGENT_NAME, the agent of the session, or outside of one you."""
    args = command.parser().parse_args(command.argv)
    name, source = command.agent_setting(), "POSTINO_AGENT_NAME"
    if name is None or name != command.settings.agent_name:
        name, source = command.session_agent(), "session"
    if name is None and (name := command.person()) is not None:
        text = f"{render.line(name)} (you: agents reach you by this name, or as human)\n"
        return command.show(args, {"agent": name, "source": "person"}, text)
    if name is None:
        text = "nobody: messages are from anonymous; give --agent NAME or set POSTINO_AGENT_NAME\n"
        return command.show(args, {"agent": None, "source": None}, text)
    client = "Claude Code " if SESSION in command.environ or PID in command.environ else ""
    why = f"the agent of this {client}session" if source == "session" else source
    return command.show(args, {"agent": name, "source": source}, f"{render.line(name)} ({why})\n")


def rename(command: Command) -> int:
    """Rename an agent. Messages to the old name still arrive."""
    parser = command.parser(agent="the agent to rename (default: POSTINO_AGENT_NAME)")
    parser.add_argument("old", nargs="?", metavar="OLD", help="its current name, unless --agent gives it")
    parser.add_argument("new", metavar="NEW", help="its new name")
    args = parser.parse_args(command.argv)
    if args.old and args.agent:
        raise BadRequest("OLD and --agent both give the current name; give one of them")
    old = args.old or command.own_name(args)
    with command.client() as client:
        answer = client.rename(old, args.new)
    return command.show(args, answer, f"renamed {render.line(old)} to {render.line(answer['name'])}\n")
