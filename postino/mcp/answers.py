"""Answers for a model: one compact JSON object, within the length that clients show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from postino.model import ANSWER_BUDGET
from postino.schema import encode_visible

ENVELOPE = 550  # characters of an answer besides its items: the notes, the names of the members
PER_ITEM = 230  # characters of a message besides its body: members, id, names, time
ESTIMATED_ITEMS = 10  # a longer list seldom fits, so the body budget reserves PER_ITEM for no more


def to_json(value: Any) -> str:
    """Return `value` as JSON."""
    return encode_visible(value).decode()


def encode_fitting(items: Sequence[Any]) -> list[msgspec.Raw]:
    """Return the first of `items` as JSON, as many as fit into one answer; the first one always does."""
    encoded: list[msgspec.Raw] = []
    room = ANSWER_BUDGET - ENVELOPE
    for item in items:
        text = encode_visible(item)
        room -= len(text.decode()) + 1
        if encoded and room < 0:
            break
        encoded.append(msgspec.Raw(text))
    return encoded


def max_items(limit: int) -> int:
    """Return `limit`, or how many items with empty bodies fit into one answer if that is less."""
    return min(limit, (ANSWER_BUDGET - ENVELOPE) // PER_ITEM)


def body_budget(limit: int) -> int:
    """Return how many characters of bodies to read for one answer, so that few messages have to be given back."""
    return ANSWER_BUDGET - ENVELOPE - PER_ITEM * min(limit, ESTIMATED_ITEMS)
