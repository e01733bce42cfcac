"""What may be said, and by what name: the limits of the records, against rules written down anew."""

from __future__ import annotations

import json
import re
import unicodedata
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postino.errors import BadField, BadName, NameReserved
from postino.model import EVENTS, STREAM_EVENTS, digest, iso
from postino.schema import encode_visible
from postino.values import MAX_BODY, check_id, check_name, check_text, visible
from tests.attacks import raw_controls

BIDI = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}
ANY_TEXT = st.text(st.characters(codec=None, categories=None), max_size=60) | st.text(
    st.sampled_from("ab\t\n\r\x00\x1b\x7f\x85\x9f\u200b\u202a\u202e\u2066\u2069\U000e0001\U000e007f\ud800\udfff😀é "),
    max_size=20,
)


def refused(character: str) -> bool:
    """The contract's sentence, in other words than the code's."""
    code = ord(character)
    if character in "\n\t\r":
        return False
    return unicodedata.category(character) in ("Cc", "Cs") or code in BIDI or 0xE0000 <= code <= 0xE007F


@given(ANY_TEXT)
def test_a_text_is_taken_as_it_is_or_refused_at_its_first_bad_character(text: str) -> None:
    bad = [at for at, character in enumerate(text) if refused(character)]
    if text and not bad:
        assert check_text(text, "body") is text
        return
    with pytest.raises(BadField) as refusal:
        check_text(text, "body")
    assert refusal.value.detail["field"] == "body"
    if bad:
        assert refusal.value.detail["position"] == bad[0]
        assert f"U+{ord(text[bad[0]]):04X}" in refusal.value.message


@pytest.mark.parametrize(("length", "good"), [(0, False), (1, True), (MAX_BODY, True), (MAX_BODY + 1, False)])
@pytest.mark.parametrize("character", ["x", "é", "😀"])
def test_length_is_counted_in_characters(length: int, good: bool, character: str) -> None:
    if good:
        assert check_text(character * length, "body")
    else:
        with pytest.raises(BadField):
            check_text(character * length, "body")


def test_the_whole_of_unicode_is_judged_as_the_contract_says() -> None:
    wrong = []
    for code in range(0x110000):
        try:
            check_text(chr(code), "body")
            check_text(f"é\n{chr(code)}", "body")  # as one of several
            taken = True
        except BadField:
            taken = False
        if taken == refused(chr(code)):
            wrong.append(hex(code))
    assert not wrong


@given(ANY_TEXT)
def test_what_is_made_visible_can_be_shown_and_good_text_stays_as_it_is(text: str) -> None:
    shown = visible(text)

    assert not any(refused(character) for character in shown)
    assert (shown == text) == (not any(refused(character) for character in text))
    shown.encode()  # no lone surrogate is left


NAMES = st.text(st.sampled_from("aZ09._-:/ é\n"), max_size=70) | st.from_regex(r"[A-Za-z0-9._-]{1,66}", fullmatch=True)


@given(NAMES)
def test_a_name_is_short_plain_and_begins_with_a_letter_or_digit(name: str) -> None:
    plain = bool(name) and all(
        character.isascii() and (character.isalnum() or character in "._-") for character in name
    )
    if plain and len(name) <= 64 and name[0].isalnum() and name.lower() not in ("all", "human", "system", "postino"):
        assert check_name(name) == name  # an equal one: it keeps those it has checked
    else:
        with pytest.raises(BadName) as refusal:
            check_name(name, "to")
        assert refusal.value.detail["field"] == "to"


@pytest.mark.parametrize("name", ["all", "human", "system", "postino", "ALL", "System"])
def test_reserved_names_are_refused_as_such_in_any_case(name: str) -> None:
    with pytest.raises(NameReserved):
        check_name(name)


@pytest.mark.parametrize("name", ["bob\n", "bob\x00", "ｂｏｂ", "٣", "", "-bob", ".bob", "a" * 65])
def test_look_alikes_and_ends_of_line_are_no_names(name: str) -> None:
    with pytest.raises(BadName):
        check_name(name)


@given(st.text(max_size=140) | st.from_regex(r"[A-Za-z0-9._:-]{1,130}", fullmatch=True))
def test_an_id_is_short_and_plain(id: str) -> None:
    if re.fullmatch(r"[A-Za-z0-9._:\-]{1,128}", id) and id.isascii() and not id.endswith("\n"):
        assert check_id(id) is id
    else:
        with pytest.raises(BadField):
            check_id(id)


WORDS = st.text(st.sampled_from('ab",[]\\nul'), max_size=6)
CONTENT = st.tuples(WORDS, WORDS, st.none() | WORDS, st.none() | WORDS)


@given(CONTENT, CONTENT)
def test_a_digest_tells_contents_apart(one: tuple, other: tuple) -> None:
    assert (digest(*one) == digest(*other)) == (one == other)


@given(st.integers(0, 4_102_444_800_000))  # to the year 2100
def test_times_are_utc_to_the_millisecond_and_sort_as_text(ms: int) -> None:
    text = iso(ms)

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    assert abs((datetime.fromisoformat(text) - datetime.fromtimestamp(0, UTC)).total_seconds() * 1000 - ms) < 0.5


def test_the_types_of_events_are_what_the_scripts_emit_and_the_documents_list() -> None:
    root = Path(__file__).resolve().parents[2]
    scripts = "\n".join(script.read_text() for script in (root / "lua").rglob("*.lua"))
    emitted = re.findall(r"(?<!function )\bemit\(\s*[\w.]+,\s*'(\w+)'", scripts)

    assert len(emitted) == len(re.findall(r"(?<!function )\bemit\(", scripts))
    assert {*emitted, "broadcast"} == {*EVENTS, "gap"}, "a broadcast is told by its history entry"
    told = (root / "docs/events.md").read_text().partition("Types: ")[2].partition("Events carry no bodies")[0]
    assert set(re.findall(r"`(\w+)`", told)) == {*EVENTS, *STREAM_EVENTS}


def test_json_that_is_printed_has_no_character_that_controls_a_terminal() -> None:
    text = "".join(chr(code) for code in (*range(0x100), *range(0x2020, 0x2070), *range(0xE0000, 0xE0080), 0x1F4EC))
    data = encode_visible({"body": text})

    assert json.loads(data)["body"] == text
    assert raw_controls(data.decode()) == []
    assert encode_visible("\u00e9\U0001f4ec") == '"\u00e9\U0001f4ec"'.encode()
