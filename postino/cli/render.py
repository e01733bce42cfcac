"""Text for a terminal, made from answers. No body can look like anything else in it or control the terminal."""

from __future__ import annotations

from postino.values import ANONYMOUS, HUMAN, visible
from postino.values import count as count

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from postino.json_text import Json

MOST_NAMES = 10  # of a list of agents on one line; a group may have 200
LEAST_ROOM = 20  # columns of a body, however narrow the terminal

STEPS = ((60, 1, "s"), (3600, 60, "min"), (86_400, 3600, "h"), (float("inf"), 86_400, "d"))
CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


class Ink:
    """Styles text with ANSI colours, or leaves it plain."""

    def __init__(self, on: bool, width: int | None = None) -> None:
        self._on = on
        self.width = width  # columns at which bodies are wrapped; None: they are not

    def __call__(self, text: str, *styles: str) -> str:
        if not (self._on and styles):
            return text
        return f"\x1b[{';'.join(CODES[style] for style in styles)}m{text}\x1b[0m"


def line(value: object) -> str:
    """Return `value` with control characters and line ends escaped."""
    return visible(str(value)).replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t")


def block(body: str, indent: str = "    ", width: int | None = None) -> str:
    """Return a body indented, so that none of its lines can look like one of postino's; returns are escaped.

    What is longer than `width` columns is wrapped: a terminal would go on in its first column.
    """
    text = visible(body.replace("\r\n", "\n")).replace("\r", "\\r")
    lines = text.removesuffix("\n").split("\n")
    if width is not None:
        room = max(LEAST_ROOM, width - len(indent))
        lines = [piece for each in lines for piece in _wrapped(each, room)]
    return "".join(f"{indent}{each}\n" for each in lines)


def _wrapped(text: str, room: int) -> Iterable[str]:
    """Yield a line in pieces of at most `room` columns, ended at a blank where there is one."""
    start, used, blank = 0, 0, -1
    for at, character in enumerate(text):
        used += _columns(character)
        if used > room and at > start:
            end = blank + 1 if blank >= start else at
            yield text[start:end].rstrip(" ")
            start, used = end, sum(map(_columns, text[end : at + 1]))
        if character == " ":
            blank = at
    yield text[start:]


def _columns(character: str) -> int:
    """Return how many columns a character takes, a tab as many as it may."""
    if character < "\x7f":
        return 8 if character == "\t" else 1
    import unicodedata

    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def ago(stamp: str | None, now: datetime | None = None) -> str:
    """Return how long ago `stamp` was, in one unit. A time in the future, from another clock, is `just now`."""
    if not stamp:
        return "never"
    from datetime import UTC, datetime

    try:
        past = datetime.fromisoformat(stamp)
    except ValueError:
        return line(stamp)
    seconds = ((now or datetime.now(UTC)) - past).total_seconds()
    return "just now" if seconds < 2 else f"{span(seconds)} ago"


def span(seconds: float) -> str:
    """Return a duration in the largest unit that fits."""
    size, unit = next((size, unit) for below, size, unit in STEPS if seconds < below)
    return f"{max(0, int(seconds)) // size} {unit}"


def event(found: Json, ink: Ink) -> str:
    """Return one line: time, type, agents and the other members."""
    kind = str(found.get("type", ""))
    source = [found[key] for key in SOURCES if key in found]
    target = [found[key] for key in TARGETS if key in found]
    agents = " → ".join(ink(line(name), "bold", "cyan") for name in source[:1] + target[:1])
    shown = ("event_id", "type", "timestamp", *SOURCES, *TARGETS)
    rest = "  ".join(f"{line(key)} {_joined(value)}" for key, value in found.items() if key not in shown)
    return f"{ink(_time(found), 'dim')}  {line(kind):<15}  {agents}  {ink(rest, 'dim')}".rstrip()


SOURCES, TARGETS = ("from", "old", "reader"), ("to", "agent")


def _joined(value: object) -> str:
    return ", ".join(line(each) for each in value) if isinstance(value, list) else line(value)


def _time(found: Json) -> str:
    """Return the local time of day of an event, by its timestamp or else by its id."""
    from datetime import UTC, datetime

    ms = str(found.get("event_id", "")).partition("-")[0]
    try:
        moment = datetime.fromisoformat(found["timestamp"])
    except (KeyError, TypeError, ValueError):
        if not ms.isdigit():
            return " " * 8
        moment = datetime.fromtimestamp(int(ms) / 1000, UTC)
    return moment.astimezone().strftime("%H:%M:%S")


def message(item: Json, ink: Ink) -> str:
    """Return one message or broadcast: sender, age, notes, id, body and choices."""
    head = [ink(line(item["from"]), "bold", "cyan"), ink(ago(item.get("timestamp")), "dim")]
    head += [ink(note, "yellow") for note in _notes(item)]
    head.append(ink(f"id {line(item['id'])}", "dim"))
    return "  ".join(head) + "\n" + block(item["body"], width=ink.width) + choices(item) + seen(item)


def seen(item: Json) -> str:
    """Return a line that says which agents have seen a broadcast, where that is known; else nothing."""
    if "notSeenBy" not in item:
        return ""
    agents, number = item["agents"], item["seen"]
    parts = [f"seen by {number} of {count(agents, 'agent')}{_some(item['seenBy'], number)}"]
    if agents > number:
        parts.append(f"not yet by{_some(item['notSeenBy'], agents - number).removeprefix(':')}")
    return f"    {'; '.join(parts)}\n"


def _some(given: list[str], number: int) -> str:
    """Return names after a colon, and how many there are of the `number` beyond them; nothing without any."""
    more = f" and {number - len(given)} more" if number > len(given) else ""
    return f": {', '.join(map(line, given))}{more}" if given else ""


def choices(item: Json) -> str:
    """Return a line with the choices that a message offers, or nothing."""
    return f"    choices: {' | '.join(map(line, item['choices']))}\n" if item.get("choices") else ""


def names(given: list[str], total: int | None = None) -> str:
    """Return the first MOST_NAMES names, and how many there are beyond them, of `total` if not all are given."""
    total = len(given) if total is None else total
    more = f" and {total - MOST_NAMES} more" if total > MOST_NAMES else ""
    return ", ".join(map(line, given[:MOST_NAMES])) + more


def _notes(item: Json) -> Iterable[str]:
    if "opened_by" in item and item["to"] == HUMAN:
        yield "to all people"
    if item.get("opened_by"):
        yield f"opened by {line(item['opened_by'])}"
    if item.get("altered"):
        yield "altered on disk: not what was sent"
    if item.get("redelivered"):  # also with a count of 1: a requeue starts it anew
        yield f"redelivered (delivery {item['delivery']})" if item.get("delivery", 0) > 1 else "redelivered"
    if item.get("reason") and item.get("state", "dead") == "dead":  # an item of the dead letters has no state
        yield f"dead: {line(item['reason'])}"
    if "sent_to" in item:
        yield f"to {names(item['sent_to'], item.get('sent_to_total'))}"
    elif item.get("group") and "recipients" not in item:
        yield f"to #{line(item['group'])}"
    if item.get("thread"):
        yield f"thread {line(item['thread'])}"
    if item.get("reply_to"):
        yield f"reply to {line(item['reply_to'])}"
    if item.get("expects"):
        yield f"expects {'a reply' if item['expects'] == 'reply' else 'no reply'}"


def messages(items: list[Json], ink: Ink, nothing: str) -> str:
    """Return `items` separated by blank lines, or the sentence `nothing` if there are none."""
    return "\n".join(message(item, ink) for item in items) if items else f"{nothing}\n"


def unverified(items: list[Json]) -> str:
    """Return a line with the senders that are not verified, each once; nothing if all are."""
    names = sorted({line(item["from"]) for item in items if not item.get("verified") and item["from"] != ANONYMOUS})
    return f"\nNot verified, as any program of this user can use the name: {', '.join(names)}\n" if names else ""


def history(items: list[Json], ink: Ink) -> str:
    """Return a head line and the body of each entry, of which `items` has the newest first, in the order of time."""
    return "\n".join(entry(item, ink) for item in reversed(items)) if items else "No messages or broadcasts match.\n"


def entry(item: Json, ink: Ink, *, state: bool = True) -> str:
    """Return a head line, with its `state` if wanted, and the body of one entry of the history."""
    way = f"{ink(line(item['from']), 'bold', 'cyan')} → {ink(names(str(item['to']).split(', ')), 'bold')}"
    head = [way, ink(ago(item.get("timestamp")), "dim")]
    if state:
        known = str(item.get("state") or ("broadcast" if item.get("kind") == "broadcast" else "no longer tracked"))
        head.append(ink(_state(item, known), STATE_STYLES.get(known, "yellow")))
    head += [ink(note, "yellow") for note in _notes(item)]
    head.append(ink(f"id {line(item['id'])}", "dim"))
    return "  ".join(head) + "\n" + block(item["body"], width=ink.width) + choices(item)


def _state(item: Json, state: str) -> str:
    """Return the state; of a message to several how many have acknowledged it, unless all or none have."""
    recipients = item.get("recipients", [])
    acked = sum(1 for each in recipients if each["state"] == "acked")
    return line(state) + (f", {acked} of {len(recipients)} acked" if 0 < acked < len(recipients) else "")


STATE_STYLES = {"acked": "green", "broadcast": "dim", "no longer tracked": "dim", "dead": "red", "expired": "red"}


def table(rows: list[list[str]], ink: Ink, paint: Callable[[int, str], tuple[str, ...]] | None = None) -> str:
    """Return aligned columns under the first row, the heading. `paint` returns a cell's styles by column and text."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for number, row in enumerate(rows):
        cells = []
        for column, text in enumerate(row):
            styles = ("dim",) if number == 0 else paint(column, text) if paint else ()
            cells.append(ink(text, *styles) + " " * (widths[column] - len(text)))
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines) + "\n"
