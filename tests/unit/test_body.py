"""What --tail and --strip-ansi make of a log."""

from __future__ import annotations

import pytest

from postino.cli.body import last_lines, without_terminal_sequences
from postino.values import MAX_BODY, check_text
from tests.attacks import ESCAPES


def test_nothing_is_left_out_of_what_fits() -> None:
    assert last_lines("a\nb\n", 2) == "a\nb\n"
    assert last_lines("a\nb", 9) == "a\nb"
    assert last_lines("", 1) == ""
    longest = "x" * (MAX_BODY - 1) + "\n"
    assert last_lines(longest, 1) == longest


def test_what_is_left_out_is_said_in_a_first_line() -> None:
    assert last_lines("a\nb\nc\n", 2) == "[the last 2 lines]\nb\nc\n"
    assert last_lines("a\nb\nc", 1) == "[the last line]\nc"
    assert last_lines("b\nc\n", 5, cut=True) == "[the last 2 lines]\nb\nc\n"
    assert last_lines("a\u2028b\x85c\rd\n", 1) == "a\u2028b\x85c\rd\n"


@pytest.mark.parametrize("line", ["x" * 99 + "\n", "\n", "é" * 40_000 + "\n", "y" * 32_760 + "\n"])
def test_as_many_lines_as_fit_are_kept(line: str) -> None:
    text = last_lines(line * 40_000 if len(line) <= 100 else line * 3, 30_000)
    note, _, rest = text.partition("\n")
    check_text(text, "body")
    assert note.startswith("[the ") and note.endswith(("lines]", "line]"))
    assert rest.endswith(line[-1000:])
    assert len(line) > 100 or set(rest.split("\n")) == {line[:-1], ""}, "only whole lines"


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b[38;2;1;2;3mtrue\x1b[m colour", "true colour"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x07", "link"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b(Bascii\x1b=\x1bc", "ascii"),
        ("\x9b31mred\x9d0;t\x9c", "red"),
        ("\x1b[2K\rprogress\x08\x08", "\rprogress"),
        ("\x1b", ""),
        ("\x1b]never ended\nnext line", "\nnext line"),
        ("no colour\tat\r\nall", "no colour\tat\r\nall"),
        ("[31m is text", "[31m is text"),
    ],
)
def test_terminal_sequences_are_taken_out_and_nothing_else(raw: str, clean: str) -> None:
    assert without_terminal_sequences(raw) == clean


@pytest.mark.parametrize("raw", [each for each in ESCAPES if not set(each) & set("\u202e\u2066\U000e0041")])
def test_what_is_left_may_be_sent(raw: str) -> None:
    check_text(without_terminal_sequences(f"a{raw}b"), "body")
