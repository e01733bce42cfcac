"""The commands reply and ask."""

from __future__ import annotations

import os
import sys

from postino.cli import body, render, streams
from postino.cli.mail import seconds, sent
from postino.errors import BadRequest, PostinoError, UnknownMessage

ASK_S = 60.0
NO_REPLY = 3  # exit code

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from postino.cli.command import Command
    from postino.json_text import Json


def reply(command: Command) -> int:
    """Send BODY to the sender of a message, in its thread."""
    parser = command.parser(agent="who got the message, and answers it (default: POSTINO_AGENT_NAME, else you)")
    parser.add_argument("answered", metavar="ID", help="the id of the message")
    body.add_options(parser)
    parser.add_argument("--id", help="the id of the reply; repeating an id stores nothing new")
    parser.add_argument("--thread", metavar="TITLE", help="another thread than that of the message")
    parser.add_argument("--expects", choices=("reply", "none"), help="what the receiver is asked to do")
    args = parser.parse_args(command.argv)
    name = command.writer_name(args)
    with command.client() as client:
        try:
            answer = client.send(
                None,
                body.of(args),
                sender=name,
                id=args.id,
                thread=args.thread,
                reply_to=args.answered,
                expects=args.expects,
            )
        except UnknownMessage as error:
            raise UnknownMessage(
                f"no message {args.answered} is known in the inbox of {name}; `postino history` lists messages, and "
                "`postino send TO BODY --reply-to ID` answers any",
                field="id",
            ) from error
    return command.show(args, answer, sent(answer))


def ask(command: Command) -> int:
    """Send BODY and wait for the reply: print and flush it, and only then acknowledge it. Without one, exit with 3."""
    parser = command.parser(agent="who asks, and gets the reply (default: POSTINO_AGENT_NAME, else you)")
    parser.add_argument("to", metavar="TO", help="the agent that is asked")
    body.add_options(parser)
    parser.add_argument(
        "--timeout", type=seconds, default=ASK_S, metavar="S", help="wait up to S seconds (default: 60)"
    )
    parser.add_argument("--id", help="the id of the message; the same command under it waits on")
    parser.add_argument("--thread", metavar="TITLE", help="the thread of the message")
    args = parser.parse_args(command.argv)
    if args.to.startswith("#") or "," in args.to:
        raise BadRequest("a question goes to one agent; `postino send` writes to several")
    name, text = command.writer_name(args), body.of(args)
    id = os.urandom(16).hex() if args.id is None else args.id
    streams.require_stdout()
    with command.client() as client:
        try:
            answer = client.ask(args.to, text, seconds=args.timeout, sender=name, id=id, thread=args.thread)
        except KeyboardInterrupt:
            sys.stderr.write(f"\npostino: no reply yet; {_later(id)}\n")
            raise
        reply = answer["reply"]
        if reply is None:
            sys.stderr.write("" if args.json else f"postino: {_none(answer)}\n")
            command.show(args, answer, "")
            return NO_REPLY
        from contextlib import suppress

        try:
            command.show(args, answer, render.message(reply, command.ink) + render.unverified([reply]))
            sys.stdout.flush()
        except BaseException:
            with suppress(PostinoError):  # otherwise it returns when the lease ends
                client.nack(reply["to"], [reply["id"]])
            raise
        with suppress(PostinoError):  # a copy of what another reader has is not leased to this one
            client.ack(reply["to"], [reply["id"]])
    return 0


def _none(answer: Json) -> str:
    to, reach = render.line(answer["to"]), f" ({render.line(answer['reach'])})" if answer.get("reach") else ""
    return f"no reply from {to}{reach}; {_later(answer['id'])}"


def _later(id: str) -> str:
    return f"it will come as ordinary mail, or the same `postino ask` with --id {render.line(id)} waits on"
