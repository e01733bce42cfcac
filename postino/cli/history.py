"""The commands history and threads: what was sent, and the conversations that it makes."""

from __future__ import annotations

from postino.cli import render, streams
from postino.cli.command import Command
from postino.errors import BadRequest

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable

    from postino.json_text import Json

MOST_PARTICIPANTS = 4  # of a thread on one line


def history(command: Command) -> int:
    """List messages and broadcasts with their states, the newest last; as JSON the newest first, as the API does."""
    parser = command.parser(agent="only what this agent sent or received")
    parser.add_argument("--with", dest="with_", metavar="NAME", help="only between --agent and this agent")
    parser.add_argument("--thread", metavar="TITLE", help="only the messages of this thread")
    parser.add_argument("--search", metavar="TEXT", help="only what contains TEXT or has the id TEXT")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N entries")
    parser.add_argument("--before", metavar="ENTRY", help="only what is older than this entry of the previous page")
    args = parser.parse_args(command.argv)
    asked = {"agent": args.agent, "with_": args.with_, "thread": args.thread, "q": args.search, "limit": args.limit}
    with command.client() as client:
        answer = _search(client.history, asked | {"before": args.before})
    text = render.history(answer["items"], command.ink)
    given = {"agent": args.agent, "with": args.with_, "thread": args.thread, "search": args.search, "limit": args.limit}
    return command.show(args, answer, _older(command.name, given, answer) + text, pages=True)


def threads(command: Command) -> int:
    """List threads, or print the messages of one, the newest last; as JSON in the order of the API."""
    parser = command.parser(agent="list only the threads of this agent")
    parser.add_argument("title", nargs="?", metavar="TITLE", help="print the messages of this thread")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N threads, or messages of the one")
    parser.add_argument("--before", metavar="ENTRY", help="only what is older than this entry of the previous page")
    args = parser.parse_args(command.argv)
    asked = {"before": args.before, "limit": args.limit}
    given = {"agent": args.agent, "limit": args.limit}
    with command.client() as client:
        if args.title is None:
            answer = _search(client.threads, asked | {"agent": args.agent})
            text = _table(answer["items"], command.ink)
        elif args.agent is None:
            answer = _search(client.thread, asked | {"thread": args.title})
            text = render.history(answer["items"][::-1], command.ink)
        else:
            raise BadRequest("TITLE and --agent exclude each other; `postino history` takes both, --thread and --agent")
    return command.show(args, answer, _older(command.name, given, answer, args.title) + text, pages=True)


def _table(items: list[Json], ink: render.Ink) -> str:
    """Return a line for each thread, of which `items` has the newest first, in the order of time."""
    if not items:
        return "No threads. `postino send TO BODY --thread TITLE` begins one.\n"
    rows = [["THREAD", "MESSAGES", "BETWEEN", "NEWEST"]]
    rows += [
        [render.line(each["thread"]), _counts(each), _between(each["participants"]), render.ago(each["last_at"])]
        for each in reversed(items)
    ]
    return render.table(rows, ink) + "\n`postino threads TITLE` prints one.\n"


def _counts(thread: Json) -> str:
    """Return how many messages were found, with a plus if there may be more, and how many of them wait or are dead."""
    parts = [f"{thread['messages']}{'' if thread['complete'] else '+'}"]
    parts += [f"{thread[state]} {state}" for state in ("waiting", "dead") if thread[state]]
    return ", ".join(parts)


def _between(names: list[str]) -> str:
    more = f" and {len(names) - MOST_PARTICIPANTS} more" if len(names) > MOST_PARTICIPANTS else ""
    return ", ".join(map(render.line, names[:MOST_PARTICIPANTS])) + more


def _search(ask: Callable[..., Json], asked: Json) -> Json:
    """Ask for page after page until something fits or there is nothing older; `looked` then counts all of them."""
    looked = 0
    with streams.Progress() as progress:
        while True:
            answer = ask(**asked)
            looked += answer.get("looked", 0)
            if answer["items"] or not answer.get("more"):
                return answer | {"looked": looked}
            asked["before"] = answer["before"]
            progress.show(f"looked at {looked:,} messages, none fits yet; going on (Ctrl-C ends it)")


def _older(name: str, given: Json, answer: Json, title: str | None = None) -> str:
    """Return a line with the command for the next page, the same further back; nothing if there is none."""
    if not answer.get("more"):
        return ""
    import shlex

    given = given | {"before": answer["before"]}
    options = [f"--{each}={value}" for each, value in given.items() if value is not None]
    words = [] if title is None else ["--", title] if title.startswith("-") else [title]
    return f"For older ones: {render.line(shlex.join(['postino', name, *options, *words]))}\n\n"
