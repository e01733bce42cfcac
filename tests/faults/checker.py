"""Judge a history: every broken promise by name, and the figures of a run. Nothing here talks to anything."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from tests.faults.history import ACCEPTED, NONE, UNSENT, Call, Fault, History, Opened, Shown, State, Stuck, Try, Unread

REFUSAL_S = 2.0  # within which every refusal over HTTP comes
Message = tuple[str, str, int]  # inbox ("" for a broadcast), sender, number

#: the promises; `judge` returns those that were broken
PROMISES = (
    "lost",
    "acknowledged unseen",
    "stored twice",
    "one number for two",
    "altered",
    "invented",
    "order",
    "overtaken",
    "stuck",
    "unlabelled repeats",
    "untrue none",
    "internal errors",
    "late refusals",
)


def judge(history: History) -> dict[str, list[str]]:
    """Return every broken promise by name with its cases; empty when all were kept."""
    view = _View(history)
    found = {
        "lost": lost(view),
        "acknowledged unseen": acknowledged_unseen(view),
        "stored twice": stored_twice(view),
        "one number for two": shared_numbers(view),
        "altered": [_name(each) for each in view.shown if not each.sound and each.number >= 0],
        "invented": invented(view),
        "order": disorder(view),
        "overtaken": overtaken(view),
        "stuck": [f"{each.left} for {each.inbox}" for each in history.of(Stuck)],
        "unlabelled repeats": unlabelled(view),
        "untrue none": untrue_none(view),
        "internal errors": [f"{each.face} {each.tool}" for each in view.calls if each.code == "internal"],
        "late refusals": late_refusals(view),
    }
    assert tuple(found) == PROMISES
    return {name: cases for name, cases in found.items() if cases}


class _View:
    """The entries of a history by what the checks ask for."""

    def __init__(self, history: History) -> None:
        self.tries: dict[Message, list[Try]] = defaultdict(list)
        for each in history.of(Try):
            self.tries[each.to, each.sender, each.number].append(each)
        everything = history.of(Shown)
        self.shown = [each for each in everything if not each.crossed]
        self.mail = [each for each in self.shown if not each.broadcast]
        self.crossed = {message_of(each) for each in everything if each.crossed}
        self.seen = {message_of(each) for each in self.mail}
        self.had: dict[tuple[str, int], set[str]] = defaultdict(set)  # broadcast -> whose clients had it
        for each in everything:
            if each.broadcast:
                self.had[each.sender, each.number].add(each.inbox)
        self.opened = {each.session: each.at for each in history.of(Opened)}
        self.states = {(each.inbox, each.id): each.state for each in history.of(State)}
        self.calls = history.of(Call)
        self.readers = {each.reader for each in history.of(Unread)}

    def accepted(self, message: Message) -> Try | None:
        """Return the try that was accepted, if one was."""
        return next((each for each in self.tries[message] if each.outcome == ACCEPTED), None)

    def state(self, message: Message) -> str:
        """Return what postino said at the end of an unshown message; the last of its ids is meant."""
        return next((found for t in self.tries[message] if (found := self.states.get((t.to, t.id)))), "")


def message_of(shown: Shown) -> Message:
    """Return the message that an answer showed."""
    return ("" if shown.broadcast else shown.inbox, shown.sender, shown.number)


def _name(each: Shown) -> str:
    return f"{each.inbox} {each.sender} {each.number} seq {each.seq} in {each.session} at {each.at}"


def lost(view: _View) -> list[str]:
    """Accepted, never shown, no dead letter. A sender's last ones (postfix) may be a slow reader's, others cannot."""
    found = []
    for message in view.tries:
        inbox, sender, number = message
        accepted = view.accepted(message)
        if accepted is None:
            continue
        if inbox == "":
            readers = view.had[sender, number] | {sender}  # who had seen all others is not given its own
            found += [f"broadcast {sender} {number} to {each}" for each in sorted(view.readers - readers)]
        elif message not in view.seen | view.crossed and view.state(message) not in ("dead", "acked"):
            found.append(f"{inbox} {sender} {number} id {accepted.id} ({_place(view, message)}) {view.state(message)}")
    return found


def _place(view: _View, message: Message) -> str:
    shown = [number for inbox, sender, number in view.seen if (inbox, sender) == message[:2]]
    if not shown or message[2] > max(shown):
        return "postfix"
    return "prefix" if message[2] < min(shown) else "middle"


def acknowledged_unseen(view: _View) -> list[str]:
    """In state acked although no client had a successful answer with it."""
    return [
        f"{inbox} {sender} {number}"
        for inbox, sender, number in view.tries
        if view.state((inbox, sender, number)) == "acked" and (inbox, sender, number) not in view.seen | view.crossed
    ]


def stored_twice(view: _View) -> list[str]:
    """The same content under two numbers of its inbox or of the feed."""
    places: dict[Message, set[int]] = defaultdict(set)
    for each in view.shown:
        places[message_of(each)].add(each.seq)
    for message in view.tries:
        accepted = [each.seq for each in view.tries[message] if each.outcome == ACCEPTED]
        places[message].update(accepted)
    return [f"{message} as {sorted(seqs)}" for message, seqs in places.items() if len(seqs) > 1]


def shared_numbers(view: _View) -> list[str]:
    """One number of an inbox or of the feed for two contents."""
    owners: dict[tuple[str, int], set[Message]] = defaultdict(set)
    for each in view.shown:
        message = message_of(each)
        owners[message[0], each.seq].add(message)
    return [f"{place}: {sorted(messages)}" for place, messages in owners.items() if len(messages) > 1]


def invented(view: _View) -> list[str]:
    """Shown although never sent, or sent to somebody else."""
    return [_name(each) for each in view.shown if message_of(each) not in view.tries]


def disorder(view: _View) -> list[str]:
    """First deliveries rise per sender and inbox; in one answer, what was given out before precedes what is new."""
    last: dict[tuple[str, str], Shown] = {}
    answers: dict[int, int] = {}
    found = []
    for each in view.mail:
        if each.seq < answers.get(each.answer, 0) and not each.resumed:
            found.append(f"within an answer: {_name(each)}")
        answers[each.answer] = each.seq
        if each.delivery > 1 or each.redelivered:
            continue
        before = last.get((each.inbox, each.sender))
        if before and before.number > each.number:
            found.append(f"{_name(before)} before {_name(each)}")
        last[each.inbox, each.sender] = each
    return found


def overtaken(view: _View) -> list[str]:
    """First shown after later ones of its sender, although the session that showed those was open all the time.

    Sessions of one inbox never overlap, so nobody else can have held it: the session itself did, and never showed it.
    """
    highest: dict[tuple[str, str], Shown] = {}
    seen: set[Message] = set()
    found = []
    for each in view.mail:
        if message_of(each) in seen:
            continue
        seen.add(message_of(each))
        before = highest.get((each.inbox, each.sender))
        if before and before.number > each.number:
            sent = min((t.started for t in view.tries[message_of(each)]), default=0.0)
            if sent > view.opened.get(before.session, float("inf")):
                found.append(f"{_name(before)} before {_name(each)}")
        else:
            highest[each.inbox, each.sender] = each
    return found


def unlabelled(view: _View) -> list[str]:
    """Shown again to the same inbox, or a broadcast to the same reader, without `redelivered`."""
    seen: set[tuple[str, Message]] = set()
    found = []
    for each in view.shown:
        what = each.inbox, message_of(each)
        if what in seen and not each.redelivered:
            found.append(_name(each))
        seen.add(what)
    return found


def untrue_none(view: _View) -> list[str]:
    """Stored although every answer said that nothing was: shown later, or a next try found it there already."""
    found = []
    for message, tries in view.tries.items():
        said = [each for each in tries if each.outcome == NONE]
        if not said:
            continue
        if all(each.outcome in (NONE, UNSENT) for each in tries):
            if message in view.seen or view.state(message) not in ("", "unknown_message"):
                found.append(f"{message} {said[-1].code}, then shown or kept")
            continue
        first = next(at for at, each in enumerate(tries) if each.outcome not in (NONE, UNSENT))
        repeated = first and tries[first].outcome == ACCEPTED and not tries[first].created
        if repeated and tries[first].face == "http":  # a relay repeats by itself
            found.append(f"{message} {said[-1].code}, then created: false")
    return found


def late_refusals(view: _View) -> list[str]:
    """Refusals over HTTP that took longer than REFUSAL_S."""
    return [
        f"{each.tool} {each.code} after {each.ended - each.started:.2f} s at {each.started}"
        for each in view.calls
        if each.face == "http" and each.code and each.code != "unreachable" and each.ended - each.started > REFUSAL_S
    ]


def figures(history: History) -> dict[str, Any]:
    """Return the numbers of a run for the table: counts that can be added, and lists of seconds."""
    view = _View(history)
    faults = history.of(Fault)
    stops = [each for each in faults if each.stops]
    calls = [each for each in view.calls if each.face == "mcp"]
    failed = [each for each in calls if each.code]
    refusals = [each for each in view.calls if each.face == "http" and each.code not in ("", "unreachable")]
    broken = judge(history)
    return {
        "faults": dict(Counter(each.kind for each in faults)),
        "accepted": sum(1 for message in view.tries if view.accepted(message)),
        "accepted over mcp": sum(1 for m in view.tries if (t := view.accepted(m)) and t.face == "mcp"),
        "shown": len(view.mail),
        "repeats": sum(1 for each in view.mail if each.redelivered),
        "unknown": sum(1 for each in history.of(Try) if each.outcome == "unknown"),
        "none": sum(1 for each in history.of(Try) if each.outcome == NONE),
        "crossed a cancel": len(view.crossed - view.seen),
        "mcp calls": len(calls),
        "mcp calls failed": len(failed),
        "refusals": len(refusals),
        "broken": {name: len(broken.get(name, [])) for name in PROMISES},
        "recovery": _by_kind(stops),
        "never recovered": [each.kind for each in stops if each.recovered is None],
        "refusal": [round(each.ended - each.started, 3) for each in refusals],
    }


def _by_kind(faults: list[Fault]) -> dict[str, list[float]]:
    """Return the seconds from the end of each fault until every sender was served."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for each in faults:
        if each.recovered is not None:
            seconds[each.kind].append(round(each.recovered - each.ended, 3))
    return seconds


def added(runs: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Add the figures of several runs: numbers, lists, and dicts of either by their keys."""
    total: dict[str, Any] = {}
    for run in runs:
        for name, value in run.items():
            if isinstance(value, dict):
                total[name] = added([total.get(name, {}), value])
            else:
                total[name] = total[name] + value if name in total else value
    return total
