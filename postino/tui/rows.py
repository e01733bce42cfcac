"""One line for each agent, thread, message and broadcast, as wide as its pane."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.cells import cell_len, set_cell_size
from textual.content import Content
from textual.style import Style

from postino.json_text import Json
from postino.values import visible

STUCK_S = 600  # as on the page: an agent that is not busy and whose oldest message waits for longer
NEW = "●"
SEEN = " "
ARROW = " → "


def line(text: object) -> str:
    """Return a text of somebody else on one line."""
    return " ".join(visible(str(text)).split())


def seconds_since(iso: str | None, now: datetime | None = None) -> float:
    """Return how many seconds ago a time was; 0 if there is none."""
    return 0.0 if not iso else ((now or datetime.now(UTC)) - datetime.fromisoformat(iso)).total_seconds()


def lasting(seconds: float) -> str:
    """Return a duration as the page does: `4 min`, `3 h`, `2 d`; less than a minute is `now`."""
    minutes = int(seconds // 60)
    if minutes < 1:
        return "now"
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 2880 else f"{minutes // 1440} d"


def clock(iso: str | None) -> str:
    """Return a time of today as hours and minutes, an older one as its day."""
    if not iso:
        return ""
    there = datetime.fromisoformat(iso).astimezone()
    return there.strftime("%H:%M" if there.date() == datetime.now().astimezone().date() else "%d %b")


def is_stuck(agent: Json) -> bool:
    """Return whether mail waits for an agent that does not come to it."""
    waits = agent.get("unread", 0) and agent.get("kind") != "human" and agent.get("state") != "busy"
    return bool(waits) and seconds_since(agent.get("oldestUnread")) > STUCK_S


def needs_attention(agent: Json) -> bool:
    """Return whether an agent has dead letters or is stuck."""
    return bool(agent.get("dead")) or is_stuck(agent)


def clickable(style: str, action: str) -> Style:
    """Return a style of a text that does something when it is clicked; `action` is ours, never a text of others."""
    return Style.parse(style) + Style.from_meta({"@click": action})


def row(left: list[tuple[str, str | Style]], right: tuple[str, str], width: int) -> Content:
    """Return one line: `left` cut where `right` begins."""
    end = Content.assemble(right)
    room = max(1, width - end.cell_length - 1)
    begin = Content.assemble(*left)
    if begin.cell_length > room:
        begin = begin.truncate(room, ellipsis=True)
    return Content.assemble(begin, " " * max(1, width - begin.cell_length - end.cell_length), end)


def agent_row(agent: Json, width: int) -> Content:
    """Return an agent: needing attention, online or not, its name, how much waits and since when."""
    attention = needs_attention(agent)
    mark = ("!", "bold ansi_red") if attention else (NEW, "ansi_green") if agent.get("online") else (" ", "")
    unread, waits = agent.get("unread", 0), ""
    if agent.get("dead"):
        waits = f"{agent['dead']} dead"
    elif unread:
        waits = f"{unread} {lasting(seconds_since(agent.get('oldestUnread')))}"
    elif agent.get("online") and agent.get("state", "unknown") != "unknown":
        waits = str(agent["state"])
    style = "bold" if unread else "" if agent.get("online") else "dim"
    return row([mark, (" ", ""), (line(agent["name"]), style)], (waits, "ansi_red" if attention else "dim"), width)


def thread_row(thread: Json, width: int) -> Content:
    """Return a thread: its title, and how much of it waits."""
    waiting = int(thread.get("waiting", 0))
    right = (
        f"{waiting}{'' if thread.get('complete', True) else '+'} waiting" if waiting else clock(thread.get("last_at"))
    )
    return row([(line(thread["thread"]), "bold" if waiting else "")], (right, "dim"), width)


def message_row(item: Json, me: str | None, width: int) -> Content:
    """Return a message or broadcast: who to whom, the thread, its beginning, and what became of it.

    A third of the width belongs to the words; names, thread and the rest are shortened for them.
    """
    new = is_new(item)
    begin = line(str(item.get("body", ""))[:400])
    room = width - 1 - cell_len(f"{NEW}   ") - min(cell_len(begin), -(-width // 3))
    names = [_party(item.get("from"), me)]
    if item.get("to") not in (None, "all"):
        names.append(_party(item["to"], me))
    end = shortened(fate(item, me), room - min(cell_len(ARROW.join(names)), width // 4))
    parties = _parties(names, line(item["thread"]) if item.get("thread") else "", room - cell_len(end), new)
    mark = (f"{NEW if new else SEEN} ", "bold")
    return row([mark, *parties, ("  ", ""), (begin, "" if new else "dim")], (end, "dim"), width)


def _parties(names: list[str], thread: str, room: int, new: bool) -> list[tuple[str, str]]:
    """Return who to whom and the thread in at most `room` columns; what says least is left out where these are few."""
    if names[1:] == ["you"] and cell_len(ARROW.join(names)) + (cell_len(thread) + 2 if thread else 0) > room:
        names = names[:1]
    if room - len(ARROW) * (len(names) - 1) < 4 * len(names) + 6:
        thread = ""
    room -= len(ARROW) * (len(names) - 1) + (2 if thread else 0)
    texts = [*names, thread] if thread else names
    texts = [shortened(*each) for each in zip(texts, _shares([cell_len(each) for each in texts], room), strict=True)]
    found = [(texts[0], "bold" if new else "")]
    if names[1:]:
        found += [(ARROW, "dim"), (texts[1], "bold" if new else "")]
    return found + ([("  ", ""), (texts[-1], "italic")] if thread else [])


def _shares(lengths: list[int], room: int) -> list[int]:
    """Return what each gets of `room`, at least 1: the longest give way first."""
    shares = [0] * len(lengths)
    for others, at in enumerate(sorted(range(len(lengths)), key=lengths.__getitem__)):
        shares[at] = min(lengths[at], max(1, room // (len(lengths) - others)))
        room -= shares[at]
    return shares


def shortened(text: str, width: int) -> str:
    """Return a text in at most `width` columns; a wide character that does not fit whole is left out."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)).rstrip() + "…"


def is_new(item: Json) -> bool:
    """Return whether nobody has opened a message that is for me."""
    return "opened_by" in item and item["opened_by"] is None


def choices(item: Json) -> Content:
    """Return the line that offers the choices of a message, for keys and clicks, empty without any."""
    offered: list[str | tuple[str, Style]] = []
    for number, each in enumerate(item.get("choices") or [], 1):
        offered += [
            ("   " if offered else ""),
            (f"{number} [{line(each)}]", clickable("bold", f"app.choose({number})")),
        ]
    return Content.assemble(*offered)


def _party(name: object, me: str | None) -> str:
    return "you" if me is not None and name == me else line(name)


def fate(item: Json, me: str | None = None) -> str:
    """Return what became of a message, in words that fit a column."""
    if "opened_by" in item:
        if item["opened_by"] is None:
            return lasting(seconds_since(item.get("timestamp")))
        by = "" if item["opened_by"] == me else f" by {line(item['opened_by'])}"
        return f"opened{by} {clock(item.get('opened_at'))}"
    if "seen" in item and "agents" in item:
        return f"seen by {item['seen']} of {max(item['seen'], item['agents'])}"
    words = {
        "queued": f"waiting {lasting(seconds_since(item.get('timestamp')))}",
        "leased": "being read",
        "acked": f"read {clock(item.get('settled_at'))}",
        "dead": "gave up",
        "expired": "nobody read it",
        "cleared": "cleared",
    }
    untold = "no longer tracked" if item.get("kind") == "message" else clock(item.get("timestamp"))
    return words.get(str(item.get("state")), untold)


def _list(item: Json) -> str:
    """Return to whom a message to a list went."""
    more = item.get("sent_to_total", 0) - len(item["sent_to"])
    return f"to {', '.join(map(line, item['sent_to']))}{f' and {more} more' if more > 0 else ''}"


def heading(item: Json, me: str | None) -> Content:
    """Return the lines above a message: who, to whom, in which thread, when, and whether the sender is known."""
    verified = "" if item.get("verified") else " · not verified"
    sender, recipient = _party(item.get("from"), me), _party(item.get("to", "all"), me)
    who = Content.assemble((sender, "bold"), (" to ", "dim"), (recipient, "bold"), (verified, "italic"))
    about = [_list(item)] if item.get("sent_to") else []
    about += [f"#{line(item['group'])}"] if item.get("group") and "recipients" not in item else []
    about += [line(item["thread"])] if item.get("thread") else []
    about += dict.fromkeys([clock(item.get("timestamp")), fate(item, me)])
    return Content.assemble(who, "\n", (" · ".join(each for each in about if each), "dim"))
