"""The command show: one message, rendered, and what became of it."""

from __future__ import annotations

from postino.cli import render
from postino.errors import UnknownMessage

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from postino.cli.command import Command
    from postino.json_text import Json

MOST = 200  # messages that have the id, in several inboxes


def show(command: Command) -> int:
    """Print the messages with an id, or as written with --raw, and their states."""
    parser = command.parser()
    parser.add_argument("id", metavar="ID", help="the id of the message or broadcast")
    parser.add_argument("--raw", action="store_true", help="print the body as it was written, not rendered")
    args = parser.parse_args(command.argv)
    with command.client() as client:
        found = client.history(id=args.id, limit=MOST, render=not (args.raw or args.json))["items"]
    if not found:
        raise UnknownMessage(f"no message with the id {args.id!r} is in the history", field="id")
    return command.show(args, {"items": found}, "\n".join(_shown(each, command.ink) for each in reversed(found)))


def _shown(item: Json, ink: render.Ink) -> str:
    from postino.cli.markdown import rendered

    fate = _fate(item)
    head, _, rest = render.entry(item, ink, state=len(fate) != 1).partition("\n")
    tree = item.get("tree")
    body = rest if tree is None else rendered(tree, ink) + render.choices(item)
    return "".join([f"{head}\n", *(f"{ink(each, 'dim')}\n" for each in fate), body])


def _fate(item: Json) -> list[str]:
    """Return in lines what became of a message, for each recipient."""
    if item.get("recipients"):
        return [f"{render.line(each['to'])}: {_state(each)}" for each in item["recipients"]]
    if said := render.seen(item).strip():
        return [said]
    return [_state(item)] if item.get("state") else []


def _state(about: Json) -> str:
    state, settled, leased = about.get("state"), _at(about.get("settled_at")), _at(about.get("leased_at"))
    reader = f" by {render.line(about['reader'])}" if about.get("reader") else ""
    if state in ("leased", "acked"):
        parts = [f"{state}{reader}{settled or leased}"]
    else:
        parts = [f"{state or 'no longer tracked'}{settled}", *([f"last read{reader}{leased}"] if reader else [])]
    if about.get("reason") not in (None, about.get("state")):
        parts.append(render.line(about["reason"]))
    if about.get("deliveries", 0) > 1:
        parts.append(f"delivered {about['deliveries']} times")
    if about.get("notified", "none") != "none":
        parts.append(f"notified: {render.line(about['notified'])}")
    return ", ".join(parts)


def _at(when: str | None) -> str:
    return f" at {render.line(when)}" if when else ""
