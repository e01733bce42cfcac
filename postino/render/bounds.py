"""What one body may cost: whoever reaches a limit is shown as written."""

from __future__ import annotations

import time

PARSE_S = 0.100  # of one thread's processor time; a usual report of 2 KB takes 1 ms
COLOUR_S = 0.030  # of one body, for all its code blocks together
MOST_NODES = 4_000  # 32 KB of usual text have 1,900
MOST_TOKENS = 10_000  # of the parser, at most 2.5 for a node; freeing 30,000 stops all threads for 50 ms
MAX_NESTING = 20  # of blocks and of inline marks


class Exceeded(Exception):
    """A body costs more than its bounds, or its rendering would not show all of it."""


class Bounds:
    """The limits of one rendering, which begins when this is made, in the thread that makes it."""

    __slots__ = ("_colour_s", "_nodes", "_until")

    def __init__(self) -> None:
        self._until = time.thread_time() + PARSE_S
        self._colour_s = COLOUR_S
        self._nodes = 0

    def check(self, tokens: int) -> None:
        """Raise Exceeded if the time is used up or there are too many tokens."""
        if tokens > MOST_TOKENS or time.thread_time() > self._until:
            raise Exceeded("tokens or time")

    def extend(self, seconds: float) -> None:
        """Allow as much more time."""
        self._until += seconds

    def add_node(self) -> None:
        """Count a node of the tree; raise Exceeded if there are too many."""
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise Exceeded("nodes")

    def colour_until(self) -> float:
        """Return the processor time of this thread until which a block of code may be coloured."""
        return min(self._until, time.thread_time() + self._colour_s)

    def coloured(self, spent_s: float) -> None:
        """Take the time that a block of code took from what is left for the others."""
        self._colour_s = max(0.0, self._colour_s - spent_s)
