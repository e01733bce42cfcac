"""Numbered bodies of every shape. A body says who sent it as which number, so that nothing altered goes unseen."""

from __future__ import annotations

import hashlib
import random
from functools import lru_cache

from postino.model import ANSWER_BUDGET
from postino.values import MAX_BODY

#: shape -> how often it is chosen; the last four fill an answer alone or nearly so
SHAPES = {"short": 80, "unicode": 10, "quotes": 4, "newlines": 4, "budget": 1, "longest": 1}
_TEXT = "Grüße 漢字 \U0001f4ec\U0001f469\u200d\U0001f4bb e\u0301 שלום \t<a&b> \\n \u2028"


@lru_cache(512)
def body_of(sender: str, number: int, shape: str) -> str:
    """Return the one body that this sender, number and shape can have."""
    name = f"{sender} {number} {shape} "
    head = name + hashlib.sha256(name.encode()).hexdigest()[:16] + " "
    room = MAX_BODY - len(head)
    fill = {
        "short": "x" * (number % 40),
        "unicode": _TEXT * (1 + number % 9),
        "quotes": '"\\"' * (number % 900),
        "newlines": "\n" * 4000,  # twice as long as JSON: eight of them exceed the budget of an answer that they met
        "budget": "b" * (ANSWER_BUDGET - 700 + number % 60 * 10 - len(head)),  # just under, at and over the budget
        "longest": ("l" * room)[:room],
    }[shape]
    return head + fill


def choose_shape(chance: random.Random) -> str:
    """Return a shape."""
    return chance.choices(list(SHAPES), list(SHAPES.values()))[0]


def parse(body: str) -> tuple[str, int, bool]:
    """Return sender and number as a body says them, and whether all of it is as it was sent."""
    sender, number, shape, *_ = [*body.split(" ", 3), "", "", ""]
    if not number.isdigit() or shape not in SHAPES:
        return sender, -1, False
    return sender, int(number), body == body_of(sender, int(number), shape)
