"""Loops of three to five agents: each of their messages follows the last one that its sender got."""

from __future__ import annotations

SPAN_S = 60.0
MOST_MEMBERS = 5  # of a loop: a coordinator that asks many agents in turn is none
_MOST = 10_000  # agents that are remembered

Chain = tuple[tuple[float, str], ...]  # when each message was sent and by whom, each to the sender of the next one


class Rings:
    """Counts how many messages led to one another, among few agents, up to the one that an agent got last.

    Two agents are a pair, whose turns the guard counts. What went to several at once leads to nothing here: it is no
    answer, and a coordinator that tells all what each reports would look like a loop.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._led: dict[str, Chain] = {}  # to the last message that an agent got: that and at most `rate` before it

    def refused(self, sender: str, to: str, now: float) -> tuple[list[str], float] | None:
        """Return the members of a loop that a message would go on with, and when its oldest turn counts no more."""
        chain = self._led.get(sender, ())
        if len(chain) <= self._rate or now - chain[1][0] >= SPAN_S:  # the first answered nothing
            return None
        members = {name for _, name in chain[1:]} | {sender}
        return (sorted(members), chain[1][0] + SPAN_S) if to in members and 2 < len(members) <= MOST_MEMBERS else None

    def add(self, sender: str, to: str, now: float, *, alone: bool) -> Chain | None:
        """Note a message, to one agent `alone` or to several; return what `restore` takes if it was not stored."""
        before = self._led.get(to)
        chain = self._led.get(sender, ()) if alone else ()
        if chain and now - chain[-1][0] >= SPAN_S:
            chain = ()
        self._led[to] = (*chain[-self._rate :], (now, sender))
        while len(self._led) > _MOST:
            del self._led[next(iter(self._led))]
        return before

    def restore(self, to: str, before: Chain | None) -> None:
        """Take back the message that `add` noted last for an agent."""
        if before is None:
            self._led.pop(to, None)
        else:
            self._led[to] = before

    def reset(self, member: str) -> None:
        """Forget every loop that an agent is a member of: a person has written to it."""
        for name, chain in [*self._led.items()]:
            if name == member or any(each == member for _, each in chain):
                del self._led[name]

    def rename(self, before: str, after: str) -> None:
        """Note that two names are of one agent."""
        if (chain := self._led.pop(before, None)) is not None:
            self._led[after] = chain
