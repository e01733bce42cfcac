"""send, read, check, dead, clear, history."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
import time
from typing import Any

from postino.cli import render, streams
from postino.cli.call import Call, body_of
from postino.client import Client
from postino.errors import BadRequest, PostinoError, UnknownAgent

Json = dict[str, Any]

LONGEST_WAIT = 60.0  # s the daemon lets one request wait


def send(call: Call) -> int:
    """Send BODY to one agent, who need not exist yet."""
    parser = call.parser(agent="who it is from (POSTINO_AGENT_NAME, else anonymous)")
    parser.add_argument("to", metavar="TO", help="the agent it is for")
    parser.add_argument("body", metavar="BODY", help="the text; - reads standard input")
    parser.add_argument("--id", help="the message's identity: the same id and content is stored once")
    parser.add_argument("--thread", metavar="NAME", help="the conversation it belongs to")
    parser.add_argument("--reply-to", metavar="ID", help="the message it answers")
    args = parser.parse_args(call.argv)
    with call.client() as client:
        answer = client.send(
            args.to,
            body_of(args.body),
            sender=call.sender(args),
            id=args.id,
            thread=args.thread,
            reply_to=args.reply_to,
        )
    return call.show(args, answer, _sent(answer, args.to))


def _sent(answer: Json, to: str) -> str:
    what = "sent" if answer.get("created", True) else "was already sent"
    note = ""
    if not answer.get("known", True):
        note = f"\nNobody of that name has been seen yet; the message waits.{_near(answer.get('names', []))}"
    return f"{what} to {render.line(answer.get('to', to))}, id {render.line(answer['id'])}{note}\n"


def _near(names: list[str]) -> str:
    return f" Near it: {', '.join(render.line(name) for name in names)}." if names else ""


def read(call: Call) -> int:
    """Lease, print, flush, and only then acknowledge: what nobody saw comes again."""
    parser = call.parser(agent="whose inbox (POSTINO_AGENT_NAME)", named=True)
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many")
    parser.add_argument("--wait", type=_seconds, default=0.0, metavar="S", help="wait up to S seconds for a message")
    parser.add_argument("--peek", action="store_true", help="only look: lease nothing, acknowledge nothing")
    args = parser.parse_args(call.argv)
    name = call.own_name(args)
    if not args.peek:
        streams.must_show()
    with call.client() as client:
        note = "" if args.json else _stranger(client, name)  # asked first: a read makes the name known
        if args.peek:
            answer = client.look(name, limit=args.limit)
            return call.show(args, answer, _inbox(call, answer, name, note))
        answer = _read_within(client, name, args.limit, args.wait)
        ids = [item["id"] for item in answer["items"]]
        try:
            call.show(args, answer, _inbox(call, answer, name, note))
            sys.stdout.flush()
        except BaseException:
            with contextlib.suppress(PostinoError):  # then the end of the lease brings it back
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


def _stranger(client: Client, name: str) -> str:
    """Return what to add to an empty inbox that may be nobody's: a name mistyped looks like one without mail."""
    try:
        client.agent(name)
    except UnknownAgent as error:
        return f"\nNobody of that name has been seen.{_near(error.detail.get('names', []))}"
    return ""


def _inbox(call: Call, answer: Json, name: str, note: str) -> str:
    shown = render.messages(answer["items"], render.Ink(call.colour), f"No messages for {render.line(name)}.{note}")
    left = answer["total"] - len(answer["items"]) if "total" in answer else 0
    if answer.get("more") or left > 0:
        shown += f"\nMore wait{f': {left}' if left else ''}.\n"
    return shown


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError("must be 0 to 86400 seconds")
    return value


def check(call: Call) -> int:
    """Say how much waits for an agent; costs the same however much it is."""
    parser = call.parser(agent="whose inbox (POSTINO_AGENT_NAME)", named=True)
    args = parser.parse_args(call.argv)
    name = call.own_name(args)
    with call.client() as client:
        answer = client.check(name)
    unread = render.count(answer["unreadMessages"], "unread message")
    unseen = render.count(answer["unseenBroadcasts"], "unseen broadcast")
    return call.show(args, answer, f"{render.line(answer['agent'])}: {unread}, {unseen}\n")


def history(call: Call) -> int:
    """List what was sent, newest first, with what became of it."""
    parser = call.parser(agent="only what this agent sent or got")
    parser.add_argument("--with", dest="with_", metavar="NAME", help="only between --agent and this one")
    parser.add_argument("--search", metavar="TEXT", help="only what contains TEXT, or has it as its id")
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many")
    parser.add_argument("--before", metavar="ENTRY", help="the page before this entry, as the last page named it")
    args = parser.parse_args(call.argv)
    with call.client() as client:
        answer = client.history(agent=args.agent, with_=args.with_, q=args.search, before=args.before, limit=args.limit)
    text = render.history(answer["items"], render.Ink(call.colour))
    if answer.get("more"):
        text += f"\nOlder ones: {render.line(_older(args, answer.get('before')))}\n"
    return call.show(args, answer, text)


def _older(args: argparse.Namespace, before: object) -> str:
    """Return the command of the next page: the same question, further back."""
    given = {"agent": args.agent, "with": args.with_, "search": args.search, "limit": args.limit, "before": before}
    options = [f"--{name}={value}" for name, value in given.items() if value is not None]
    return shlex.join(["postino", "history", *options])


def dead(call: Call) -> int:
    """List the messages that were given up; put them back, or drop them."""
    parser = call.parser(agent="whose (POSTINO_AGENT_NAME)", named=True)
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many")
    parser.add_argument("--requeue", nargs="*", metavar="ID", help="put these, or all, back into the inbox")
    parser.add_argument("--clear", action="store_true", help="drop them all")
    args = parser.parse_args(call.argv)
    if args.requeue and not call.sender(args):  # `dead --requeue NAME` reads the name as an id
        raise BadRequest("whose? the name comes before --requeue and its ids: `postino dead NAME --requeue`")
    name = call.own_name(args)
    if args.clear and args.requeue is not None:
        raise BadRequest("--requeue and --clear exclude each other")
    with call.client() as client:
        if args.clear:
            return _cleared(call, args, client.clear_dead(name))
        if args.requeue is not None:
            answer = client.requeue(name, args.requeue or None)
            return call.show(args, answer, f"requeued {render.count(len(answer.get('requeued', [])), 'message')}\n")
        answer = client.dead(name, limit=args.limit)
    ink = render.Ink(call.colour)
    return call.show(args, answer, render.messages(answer["items"], ink, f"No dead letters of {render.line(name)}."))


def clear(call: Call) -> int:
    """Drop everything in an inbox, or the whole feed."""
    parser = call.parser(agent="whose inbox (POSTINO_AGENT_NAME)", named=True)
    parser.add_argument("--broadcasts", action="store_true", help="the broadcasts instead, for everyone")
    args = parser.parse_args(call.argv)
    if args.broadcasts and (args.name or args.agent):
        raise BadRequest("--broadcasts drops them for everyone; it takes no name")
    name = None if args.broadcasts else call.own_name(args)
    with call.client() as client:
        answer = client.clear_broadcasts() if name is None else client.clear(name)
    return _cleared(call, args, answer, "message" if name else "broadcast")


def _cleared(call: Call, args: argparse.Namespace, answer: Json, what: str = "message") -> int:
    return call.show(args, answer, f"dropped {render.count(answer.get('cleared', 0), what)}\n")
