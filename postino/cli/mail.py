"""The commands send, read, check, dead and clear."""

from __future__ import annotations

import sys
import time

from postino.cli import body, people, render, streams, terminal
from postino.cli.arguments import wrong
from postino.cli.command import Command
from postino.client import every
from postino.errors import BadRequest, PostinoError, UnknownAgent
from postino.values import HUMAN

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    import argparse

    from postino.client import Client
    from postino.json_text import Json

LONGEST_WAIT = 60.0  # s of one long poll
NOTHING: Json = {"ok": True, "cleared": 0}  # as the daemon answers that deleted nothing


def send(command: Command) -> int:
    """Send BODY to one agent, which need not exist yet, or to several: to all of them or to none."""
    parser = command.parser(agent="the sender (default: POSTINO_AGENT_NAME, else that of the session, else you)")
    parser.add_argument("to", metavar="TO", help="the receiving agent, several as in ada,bob, or a group as in '#team'")
    parser.add_argument("--to", dest="also", action="append", default=[], metavar="NAME", help="a further agent")
    body.add_options(parser)
    parser.add_argument("--id", help="the id of the message; repeating an id stores nothing new")
    parser.add_argument("--thread", metavar="TITLE", help="the thread of the message")
    parser.add_argument("--reply-to", metavar="ID", help="the message that it answers")
    parser.add_argument("--choice", action="append", metavar="TEXT", help="an answer that a person can click; up to 5")
    parser.add_argument("--expects", choices=("reply", "none"), help="what the receiver is asked to do")
    args = parser.parse_args(command.argv)
    names = [*args.to.split(","), *args.also]
    to = [each.strip() for each in names] if len(names) > 1 else args.to
    with command.client() as client:
        answer = client.send(
            to,
            body.of(args),
            sender=command.sender(args),
            id=args.id,
            thread=args.thread,
            reply_to=args.reply_to,
            choices=args.choice,
            expects=args.expects,
        )
    return command.show(args, answer, sent_many(answer) if "recipients" in answer else sent(answer))


def sent_many(answer: Json) -> str:
    """Return what a person is told of a message to several, with the agents that hear of it alike together."""
    reach: dict[str, list[str]] = {}
    for each in answer["recipients"]:
        reach.setdefault(each.get("reach", ""), []).append(each["to"])
    what = "sent" if answer.get("created", True) else "was already sent"
    group = f" of #{render.line(answer['group'])}" if answer.get("group") else ""
    count = render.count(len(answer["recipients"]), "agent")
    lines = [f"{render.names(names)}: {render.line(words)}\n" for words, names in reach.items()]
    return f"{what} to {count}{group}, id {render.line(answer['id'])}\n{''.join(lines)}{_note(answer)}"


def sent(answer: Json) -> str:
    """Return what a person is told of an accepted message."""
    what = "sent" if answer.get("created", True) else "was already sent"
    reach = f"\n{render.line(answer['reach'])}" if answer.get("reach") else ""
    return f"{what} to {render.line(answer['to'])}, id {render.line(answer['id'])}{reach}\n{_note(answer)}"


def _note(answer: Json) -> str:
    return f"{render.line(answer['note'])}\n" if answer.get("note") else ""


def read(command: Command) -> int:
    """Lease messages, print and flush them, and only then acknowledge: what was not printed is delivered again."""
    parser = command.parser(agent="the owner of the inbox (default: POSTINO_AGENT_NAME, else you)", named=True)
    parser.add_argument("--limit", type=int, metavar="N", help="at most N messages")
    parser.add_argument("--wait", type=seconds, default=0.0, metavar="S", help="wait up to S seconds for a message")
    parser.add_argument("--peek", action="store_true", help="print without leasing or acknowledging")
    parser.add_argument("--yes", action="store_true", help="read without asking, also if the agent is online elsewhere")
    args = parser.parse_args(command.argv)
    if not args.peek:
        command.refuse_in_session(args, "msg_read", "`postino read --peek` only shows it")
    if (person := command.reader(args)) is not None:
        return people.read(command, args, person)
    name = command.own_name(args)
    if not args.peek:
        streams.require_stdout()
    with command.client() as client:
        note = "" if args.json else _unknown(client, name)  # before the read, which makes the name known
        if args.peek:
            answer = client.peek(name, limit=args.limit)
            return command.show(args, answer, _inbox(command, answer, name, note), pages=True)
        if terminal.is_attended() and not args.yes:
            _ask_if_online(client, name)
        answer = _read_within(client, name, args.limit, args.wait)
        ids = [item["id"] for item in answer["items"]]
        try:
            command.show(args, answer, _inbox(command, answer, name, note))
            sys.stdout.flush()
        except BaseException:
            from contextlib import suppress  # 3 ms, which a quick command need not pay

            with suppress(PostinoError):  # otherwise they return when the lease ends
                client.nack(name, ids)
            raise
        if ids:
            client.ack(name, ids)
    return 0


def _read_within(client: Client, name: str, limit: int | None, wait: float) -> Json:
    until = time.monotonic() + wait
    while True:
        left = max(0.0, until - time.monotonic())
        answer = client.read(name, limit=limit, wait=min(left, LONGEST_WAIT))
        if answer["items"] or time.monotonic() >= until:
            return answer


def _unknown(client: Client, name: str) -> str:
    """Return the note on an empty inbox if its name has never been seen: it may be mistyped."""
    try:
        client.agent(name)
    except UnknownAgent as error:
        similar = ", ".join(map(render.line, error.detail.get("names", [])))
        return f"\nNo agent of that name has been seen.{f' Similar names: {similar}.' if similar else ''}"
    return ""


def _ask_if_online(client: Client, name: str) -> None:
    """Ask whether to read the mail of an agent that has a session, which would not get it any more."""
    from contextlib import suppress

    with suppress(UnknownAgent):
        found = client.agent(name)
        if found["online"]:
            client_name = f" in {render.line(found['client'])}" if found.get("client") else ""
            terminal.confirm(
                f"{render.line(found['name'])} is online{client_name} and will not get what you read here. "
                "Read all the same? (--peek only looks)",
                agreed=False,
            )


def _inbox(command: Command, answer: Json, name: str, note: str) -> str:
    shown = render.messages(answer["items"], command.ink, f"No messages for {render.line(name)}.{note}")
    left = answer["total"] - len(answer["items"]) if "total" in answer else 0
    shown += render.unverified(answer["items"])
    if answer.get("more") or left > 0:
        shown += f"\n{left or 'There are'} more.\n"
    return shown


def seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 86_400:
        raise wrong("must be 0 to 86400 seconds")
    return value


def check(command: Command) -> int:
    """Count the unread messages and unseen broadcasts of an agent. The cost does not depend on the counts."""
    parser = command.parser(agent="the owner of the inbox (default: POSTINO_AGENT_NAME, else you)", named=True)
    args = parser.parse_args(command.argv)
    if (person := command.reader(args)) is not None:
        return people.check(command, args, person)
    name = command.own_name(args)
    with command.client() as client:
        answer = client.check(name)
    unread = render.count(answer["unreadMessages"], "unread message")
    unseen = render.count(answer["unseenBroadcasts"], "unseen broadcast")
    return command.show(args, answer, f"{render.line(answer['agent'])}: {unread}, {unseen}\n")


def dead(command: Command) -> int:
    """List dead letters, requeue them or delete them; without a name list the agents that have some."""
    owner = "the owner of the dead letters (default: POSTINO_AGENT_NAME; without that, list who has some)"
    parser = command.parser(agent=owner, named=True)
    parser.add_argument("--limit", type=int, metavar="N", help="at most N dead letters, or agents")
    parser.add_argument("--requeue", nargs="*", metavar="ID", help="move these, or all of them, back into the inbox")
    parser.add_argument("--clear", action="store_true", help="delete all of them")
    parser.add_argument("--yes", action="store_true", help="delete without asking")
    args = parser.parse_args(command.argv)
    if args.requeue and not command.sender(args):  # in `dead --requeue NAME` the name counts as an id
        raise BadRequest("agent name missing: give it before --requeue, as in `postino dead NAME --requeue`")
    if args.clear and args.requeue is not None:
        raise BadRequest("--requeue and --clear exclude each other; give one of them")
    if not args.clear and args.requeue is None and command.sender(args) is None:
        return _dead_of_all(command, args)
    name = command.own_name(args, in_session=not args.clear)
    with command.client() as client:
        if args.clear:
            agreed = _agreed(client, name, args, "all dead letters of {}", "dead", "dead letter")
            cleared = client.clear_dead(name) if agreed else NOTHING
            return _cleared(command, args, cleared, f" of {render.line(name)}", "dead letter")
        if args.requeue is not None:
            answer = client.requeue(name, args.requeue or None)
            return command.show(args, answer, f"requeued {render.count(len(answer.get('requeued', [])), 'message')}\n")
        answer = client.dead(name, limit=args.limit)
    ink = command.ink
    text = render.messages(answer["items"], ink, f"No dead letters of {render.line(name)}.")
    return command.show(args, answer, text, pages=True)


def _dead_of_all(command: Command, args: argparse.Namespace) -> int:
    """List the agents that have dead letters, those with the most first."""
    if args.limit is not None and args.limit < 1:
        raise BadRequest(f"--limit must be at least 1, not {args.limit}")
    with command.client() as client:
        found = [{"agent": each["name"], "dead": each["dead"]} for each in every(client.agents) if each.get("dead")]
    found.sort(key=lambda each: (-each["dead"], each["agent"]))
    shown = found[: args.limit]
    text = "No agent has dead letters.\n"
    if shown:
        rows = [["AGENT", "DEAD LETTERS"], *([render.line(each["agent"]), str(each["dead"])] for each in shown)]
        more = f"{render.count(len(found) - len(shown), 'more agent')}.\n" if len(found) > len(shown) else ""
        text = render.table(rows, command.ink) + more
        text += "\n`postino dead NAME` prints them, `postino dead NAME --requeue` moves them back into the inbox.\n"
    return command.show(args, {"items": shown, "total": len(found)}, text, pages=True)


def clear(command: Command) -> int:
    """Delete every message of an inbox, or all broadcasts."""
    parser = command.parser(agent="the owner of the inbox (default: POSTINO_AGENT_NAME)", named=True)
    parser.add_argument("--broadcasts", action="store_true", help="delete all broadcasts instead, for every agent")
    parser.add_argument(
        "--yes",
        action="store_true",
        help="delete without asking; without a terminal needed for all but an agent's mail",
    )
    args = parser.parse_args(command.argv)
    if args.broadcasts and (args.name or args.agent):
        raise BadRequest("--broadcasts deletes them for every agent; give no name with it")
    name = None if args.broadcasts else command.own_name(args, in_session=False)
    with command.client() as client:
        if name is None:
            if not args.yes and not terminal.is_attended():
                raise BadRequest(
                    "broadcasts are of every agent, and nobody can be asked here: --yes deletes them all the same"
                )
            terminal.confirm("Delete all broadcasts, for every agent?", agreed=args.yes)
            return _cleared(command, args, client.clear_broadcasts(), what="broadcast")
        agreed = _agreed(client, name, args, "every message in the inbox of {}", "messageCount", "message")
        return _cleared(command, args, client.clear(name) if agreed else NOTHING, f" of {render.line(name)}")


def _agreed(client: Client, name: str, args: argparse.Namespace, what: str, field: str, noun: str) -> bool:
    """Ask whether to delete `what` of the agent that a name means, which may be an alias, or a setting.

    False without a question if there is none of it, by the `field` of the agent: what comes meanwhile stays.

    Raises:
        BadRequest: it is a person's mail, and nobody can be asked.
        Declined: the answer is no.
    """
    if args.yes:
        return True
    try:
        found = client.agent(name)
    except UnknownAgent:
        terminal.confirm(f"Delete {what.format(f'{render.line(name)}, whom nobody knows')}?", agreed=False)
        return True
    if found["kind"] == "human" and not terminal.is_attended():
        who = "the mailbox of all people" if found["name"] == HUMAN else "a person"
        raise BadRequest(f"{found['name']} is {who}, and nobody can be asked here: --yes deletes the mail all the same")
    asked = "" if found["name"] == name else f" (now the name of {render.line(name)})"
    if terminal.is_attended() and not found[field]:
        return False
    whose = f"{render.line(found['name'])}{asked}, which has {render.count(found[field], noun)}"
    terminal.confirm(f"Delete {what.format(whose)}?", agreed=False)
    return True


def _cleared(command: Command, args: argparse.Namespace, answer: Json, whose: str = "", what: str = "message") -> int:
    return command.show(args, answer, f"deleted {render.count(answer.get('cleared', 0), what)}{whose}\n")
