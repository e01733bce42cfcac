"""Terminal output: nothing that a sender wrote may pose as postino's own words or move the cursor."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from postino.cli import render
from postino.cli.command import as_json

PLAIN = render.Ink(False)
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def message(**fields: object) -> dict[str, object]:
    return {"id": "m1", "from": "ada", "body": "hello", "timestamp": "2026-11-22T12:00:00.000Z"} | fields


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-5, "just now"),
        (1.9, "just now"),
        (2, "2 s ago"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (3600, "1 h ago"),
        (86_400, "1 d ago"),
        (8_640_000, "100 d ago"),
    ],
)
def test_a_time_is_told_in_its_largest_unit(seconds: float, told: str) -> None:
    stamp = (NOW - timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
    assert render.ago(stamp, NOW) == told


def test_no_time_is_never() -> None:
    assert render.ago(None) == "never"


def test_every_line_of_a_body_is_indented() -> None:
    text = render.message(message(body="one\n\nada  just now  id m2\r\n    two\n"), PLAIN)
    assert text.splitlines()[1:] == ["    one", "    ", "    ada  just now  id m2", "        two"]


@pytest.mark.parametrize(
    "evil", ["\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\u202e", "\r", "\x08", "\U000e0041", "\x7f"]
)
def test_what_a_terminal_would_obey_is_shown_instead(evil: str) -> None:
    fields = dict.fromkeys(("id", "from", "thread", "reply_to", "reason", "to", "state"), f"x{evil}y\nz")
    for text in (
        render.message(message(body=f"a{evil}b") | fields, PLAIN),
        render.history([message(body=f"a{evil}b") | fields], PLAIN),
        render.event({"event_id": "1-0", "type": f"t{evil}", "to": f"x{evil}y", f"k{evil}": [f"v{evil}"]}, PLAIN),
        as_json(message(body=f"a{evil}b") | fields),
    ):
        assert evil not in text
    assert len(render.event({"event_id": "1-0", "type": "a\nb"}, PLAIN).splitlines()) == 1


def test_json_keeps_what_is_harmless_readable() -> None:
    assert as_json({"body": "é → 你好"}, indent=None) == '{"body": "é → 你好"}'
    assert as_json({"body": "é\x9b"}, indent=None) == '{"body": "\\u00e9\\u009b"}'


def test_a_redelivered_message_says_so() -> None:
    head = render.message(message(redelivered=True, delivery=2, thread="t"), PLAIN).splitlines()[0]
    assert "redelivered (delivery 2)" in head
    assert "thread t" in head


def test_a_repeat_whose_count_began_anew_tells_no_count() -> None:
    head = render.message(message(redelivered=True, delivery=1), PLAIN).splitlines()[0]
    assert "  redelivered  " in head


def test_columns_align_and_colours_do_not_count() -> None:
    rows = [["NAME", "X"], ["a-long-name", "1"], ["b", "22"]]
    assert render.table(rows, PLAIN) == "NAME         X\na-long-name  1\nb            22\n"
    painted = render.table(rows, render.Ink(True), lambda column, text: ("green",))
    assert painted.splitlines()[2] == "\x1b[32mb\x1b[0m            \x1b[32m22\x1b[0m"


def test_events_of_every_kind_fit_one_line() -> None:
    assert render.event(
        {"event_id": "0-0", "type": "msg_send", "id": "m", "from": "ada", "to": "bob", "seq": 3}, PLAIN
    ).endswith("msg_send         ada → bob  id m  seq 3")
    assert render.event({"event_id": "", "type": "connected"}, PLAIN).split() == ["connected"]
    at = "2026-11-22T09:19:12.039Z"
    local = datetime.fromisoformat(at).astimezone().strftime("%H:%M:%S")
    shown = render.event({"event_id": "1-0", "type": "connected", "timestamp": at}, PLAIN)
    assert shown.split() == [local, "connected"]
    assert "v1  → v2" not in render.event({"event_id": "1-0", "type": "agent_rename", "old": "a", "agent": "b"}, PLAIN)


def test_what_the_disk_altered_is_marked() -> None:
    entry = message(to="bob", kind="message", altered=True)
    for text in (render.message(entry, PLAIN), render.history([entry], PLAIN)):
        assert "altered on disk: not what was sent" in text
    assert "altered" not in render.message(message(), PLAIN)


def test_the_choices_of_a_message_are_listed_wherever_it_is() -> None:
    asked = message(to="human", choices=["Yes", "No\x1b"])

    for text in (render.message(asked, PLAIN), render.history([asked], PLAIN)):
        assert text.endswith("\n    choices: Yes | No\\u{1b}\n")


def test_of_many_names_the_first_ten_are_shown() -> None:
    names = [f"m{number}" for number in range(200)]

    assert render.names(names[:10]) == "m0, m1, m2, m3, m4, m5, m6, m7, m8, m9"
    assert render.names(names).endswith("m8, m9 and 190 more")
