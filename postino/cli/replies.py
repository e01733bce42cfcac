"""The command reply."""

from __future__ import annotations

from postino.cli import body
from postino.cli.mail import sent

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from postino.cli.command import Command


def reply(command: Command) -> int:
    """Send BODY to the sender of a message, in its thread."""
    parser = command.parser(agent="who got the message, and answers it (default: POSTINO_AGENT_NAME)")
    parser.add_argument("answered", metavar="ID", help="the id of the message")
    body.add_options(parser)
    parser.add_argument("--id", help="the id of the reply; repeating an id stores nothing new")
    parser.add_argument("--thread", metavar="TITLE", help="another thread than that of the message")
    parser.add_argument("--expects", choices=("reply", "none"), help="what the receiver is asked to do")
    args = parser.parse_args(command.argv)
    name = command.own_name(args)
    with command.client() as client:
        answer = client.send(
            None,
            body.of(args),
            sender=name,
            id=args.id,
            thread=args.thread,
            reply_to=args.answered,
            expects=args.expects,
        )
    return command.show(args, answer, sent(answer))
