"""Answers a model can use: one JSON object, compact, never longer than clients show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from postino.model import ANSWER_BUDGET

ENVELOPE = 400  # characters of an answer that are not its items: the note, the names of the members
PER_ITEM = 230  # characters of a message that are not its body: members, id, names, time


def text(value: Any) -> str:
    """Return `value` as JSON."""
    return msgspec.json.encode(value).decode()


def fitting(items: Sequence[Any]) -> list[msgspec.Raw]:
    """Return the first of `items`, encoded, as many as fit into one answer; the first one always does."""
    chosen: list[msgspec.Raw] = []
    room = ANSWER_BUDGET - ENVELOPE
    for item in items:
        encoded = msgspec.json.encode(item)
        room -= len(encoded.decode()) + 1
        if chosen and room < 0:
            break
        chosen.append(msgspec.Raw(encoded))
    return chosen


def most(limit: int) -> int:
    """Return how many items are worth asking for: more could not fit even with empty bodies."""
    return min(limit, (ANSWER_BUDGET - ENVELOPE) // PER_ITEM)


def budget(limit: int) -> int:
    """Return how many characters of bodies to ask for, so that little has to be given back."""
    return ANSWER_BUDGET - ENVELOPE - PER_ITEM * min(limit, 10)
