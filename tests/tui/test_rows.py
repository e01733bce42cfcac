"""The rows of the terminal inbox in few columns."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from rich.cells import cell_len

from postino.tui import rows
from tests.tui.conftest import Open

WORDS = "May I merge this before noon, or shall I wait for the review?"
WIDTHS = (36, 52, 53, 77, 120)  # of a terminal of 60 columns, of 80, of more
NAMES = ("ci", "release-manager-of-the-east", "r" * 64)
THREADS = (
    None,
    "fix-42",
    "the release of version one of the shop",
    "日本語の長い題名をここに書く",
    "\N{PARTY POPPER}" * 20,
)
NOW = {"opened_by": None}
OPENED = {"opened_by": "x" * 64, "opened_at": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize("width", WIDTHS)
def test_a_third_of_a_row_stays_for_the_words(width: int) -> None:
    for sender, to, thread, state in product(NAMES, ("me", *NAMES), THREADS, (NOW, OPENED, {"state": "queued"})):
        item: dict[str, Any] = {"from": sender, "to": to, "body": WORDS, "thread": thread} | state
        shown = rows.message_row(item, "me", width).plain

        assert cell_len(shown) == width, shown
        assert WORDS[: min(len(WORDS), -(-width // 3)) - 1] in shown, shown
        assert shown[2:4] == sender[:2], shown


def test_short_words_leave_their_room_to_the_names() -> None:
    item = {"from": "builder", "to": "me", "thread": "the release of version one", "body": "Now?", **NOW}

    assert rows.message_row(item, "me", 60).plain.startswith("● builder → you  the release of version one  Now? ")
    assert rows.message_row(item, "me", 52).plain.startswith("● builder  the release of version one  Now? ")
    assert rows.message_row(item, "me", 40).plain.startswith("● builder  the release of ver…  Now? ")


def test_a_text_is_shortened_between_wide_characters() -> None:
    assert [rows.shortened("日本語", width) for width in range(7)] == ["…", "…", "…", "日…", "日…", "日本…", "日本語"]


async def test_at_80_columns_the_words_of_a_message_are_seen(open_inbox: Open, client, person) -> None:
    thread = "the release of version one of the shop"
    client.send(person, WORDS, sender="release-manager-of-the-east-side", thread=thread)
    async with open_inbox(person, size=(80, 24)) as terminal:
        await terminal.shows("May I merge this", "● release")
