"""What is no export of postino is refused with its line, and nothing of it is quoted at length."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from postino.broker.import_file import LONGEST_LINE, ImportFile
from postino.errors import BadField

Lines = list[dict[str, Any]]
Edit = Callable[[Lines], object]

TIME = "2026-11-29T21:00:00.000Z"
NOW_MS = 1_795_986_000_000  # an hour later
CONTENT = {"from": "ci", "via": "http", "timestamp": TIME, "remembered": {"digest": "0" * 32, "forget_at": TIME}}
SAMPLE = f"""
{{"postino": "0.1.0", "format": 1, "export": "f00d", "exported": "{TIME}"}}
{{"type": "agent", "name": "alice", "aliases": [{{"name": "al", "since": "{TIME}"}}], "seq": 4, "cursor": {{"entry": "1-0", "seq": 1}}}}
{{"type": "dead", "to": "alice", "entry": "5-0", "id": "d1", "seq": 1, "body": "x", "reason": "max_deliveries", "died_at": "{TIME}"}}
{{"type": "message", "to": "alice", "entry": "6-0", "id": "m1", "seq": 2, "body": "x", "thread": "a title, free"}}
{{"type": "message", "to": "alice", "entry": "6-1", "id": "m2", "seq": 3, "body": "x"}}
{{"type": "id", "to": "alice", "entry": "7-0", "id": "m3", "seq": 4, "state": "acked", "settled_at": "{TIME}"}}
{{"type": "agent", "name": "bob"}}
{{"type": "message", "to": "bob", "entry": "6-0", "id": "m1", "seq": 1, "body": "x"}}
{{"type": "notice", "agent": "alice", "id": "d1", "death": 1, "sender": "bob"}}
{{"type": "claude", "session": "c-1", "agent": "bob", "at": "{TIME}"}}
{{"type": "history", "kind": "message", "to": "alice", "entry": "6-0", "id": "m1", "seq": 2, "body": "x"}}
{{"type": "broadcast", "entry": "8-0", "id": "b1", "seq": 1, "body": "x"}}
{{"type": "broadcast", "entry": "9-0", "id": "b2", "seq": 2, "body": "x"}}
{{"type": "id", "to": "all", "entry": "8-0", "id": "b1", "seq": 1, "state": "acked"}}
{{"type": "feed", "last": 2, "cleared": [[1, 1]]}}
{{"type": "end", "counts": {{"agent": 2, "dead": 1, "message": 3, "id": 2, "notice": 1, "claude": 1, "history": 1, "broadcast": 2, "feed": 1}}}}
"""  # noqa: E501 - one line of the file in each


def sample() -> Lines:
    lines: Lines = [json.loads(line) for line in SAMPLE.strip().splitlines()]
    for line in lines:
        if "entry" in line:
            without = {"history": ("remembered",), "broadcast": ("remembered",), "id": ("via",)}.get(line["type"], ())
            line.update({key: value for key, value in CONTENT.items() if key not in without})
    return lines


def read(lines: list[Any]) -> ImportFile:
    file = ImportFile(NOW_MS)
    first, *rest = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    file.read_header(first)
    for line in rest:
        file.read(line)
    file.finish()
    return file


def test_a_whole_file_is_read() -> None:
    assert sum(read(sample()).counts.values()) == 15


def at(number: int, **members: Any) -> Edit:
    """Change members of a line; numbers begin with 1."""
    return lambda lines: lines[number - 1].update(members)


def nested(number: int, **members: Any) -> Edit:
    return lambda lines: lines[number - 1].update(remembered=lines[number - 1]["remembered"] | members)


WRONG: list[tuple[str, Edit, str]] = [
    ("no header", lambda lines: lines.pop(0), "line 1: this is not the first line of an export of postino"),
    ("newer", at(1, format=2, postino="9.0"), "line 1: the file has format 2, which postino 9.0 wrote"),
    ("header control", at(1, export="\x1b[2J"), "line 1: this is not the first line"),
    ("header time", at(1, exported="soon"), "line 1: this is not the first line"),
    ("cut", lambda lines: lines.pop(), "line 15: the file ends here, before the end of the export; it was cut off"),
    ("line lost", lambda lines: lines.pop(4), "line 15: the file should have 3 lines of type message and has 2"),
    ("line more", lambda lines: lines.insert(6, {"type": "agent", "name": "x"}), "line 17: the file should have 2"),
    ("after the end", lambda lines: lines.append(lines[1]), "line 17: there is a line after the end of the export"),
    ("type", at(2, type="god"), "line 2: type: Invalid value 'god'"),
    ("field", at(2, power=9), "line 2: Object contains unknown field `power`"),
    ("reserved", at(2, name="all"), "line 2: name: 'all' is a reserved name"),
    ("name", at(2, name="a b"), "line 2: name must be 1 to 64 of"),
    ("alias", at(2, aliases=[{"name": "../x", "since": TIME}]), "line 2: aliases must be 1 to 64 of"),
    ("aliases", at(2, aliases=[{"name": f"a{n}", "since": TIME} for n in range(33)]), "line 2: aliases: at most 32"),
    ("name twice", at(7, name="alice"), "line 7: the name alice is in the file before"),
    ("alias twice", at(7, aliases=[{"name": "al", "since": TIME}]), "line 7: the name al is in the file before"),
    ("name is alias", at(7, name="al"), "line 7: the name al is in the file before"),
    ("time", at(2, last_seen="yesterday"), "line 2: last_seen must be a time, such as"),
    ("time beyond", at(2, last_seen="9999-12-31T23:59:59.999-23:59"), "line 2: last_seen must be a time"),
    ("time far", at(2, last_seen="5139-01-01T00:00:00Z"), "line 2: last_seen must be a time"),
    ("time before", at(2, last_seen="1812-01-01T00:00:00Z"), "line 2: last_seen must be a time"),
    ("time in other digits", at(2, last_seen="２０２６-11-29T21:00:00Z"), "line 2: last_seen must be a time"),
    ("seq", at(2, seq=2**60), "line 2: seq must be a number from 0 to 999999999999"),
    ("seq below", at(4, seq=-1), "line 4: seq must be a number from 0"),
    ("seq beyond", at(2, seq=10**40), "line 2: seq"),
    ("seq type", at(2, seq="1"), "line 2: seq: must be a whole number, not text"),
    ("cursor", at(2, cursor={"entry": "x", "seq": 1}), "line 2: cursor must be a stream ID"),
    ("no body", lambda lines: lines[3].pop("body"), "line 4: Object missing required field `body`"),
    ("body type", at(4, body=7), "line 4: body: must be text, not a whole number"),
    ("body null", at(4, body=None), "line 4: body: must be text, not null"),
    ("body empty", at(4, body=""), "line 4: body must not be empty"),
    ("body long", at(4, body="x" * 32_769), "line 4: body has 32769 characters; at most 32768 are allowed"),
    ("body control", at(4, body="a\x1b[2J"), "line 4: body contains U+001B at position 1"),
    ("body nul", at(4, body="\x00"), "line 4: body contains U+0000"),
    ("body bidi", at(4, body="\u202e"), "line 4: body contains U+202E"),
    ("history control", at(11, body="a\x9b"), "line 11: body contains U+009B"),
    ("broadcast control", at(12, body="\x7f"), "line 12: body contains U+007F"),
    ("from", at(4, **{"from": "\u202ex"}), "line 4: from must be 1 to 64 of"),
    ("via", at(4, via="smoke"), "line 4: via: not a known value"),
    ("id", at(4, id="a b"), "line 4: id must be 1 to 128 of"),
    ("id in index", at(6, id="#seq"), "line 6: id must be 1 to 128 of"),
    ("id twice", at(5, id="m1"), "line 5: the id m1 is in the section before"),
    ("id dead and alive", at(5, id="d1"), "line 5: the id d1 is in the section before"),
    ("thread", at(4, thread="\x07"), "line 4: thread contains U+0007"),
    ("thread long", at(4, thread="x" * 300), "line 4: thread has 300 characters"),
    ("stray message", at(5, to="bob"), "line 5: to must be the agent whose section this is"),
    ("stray id", at(6, to="bob"), "line 6: to must be the agent whose section this is, or all"),
    ("message to all", at(5, to="all"), "line 5: to must be the agent"),
    ("entry 0", at(4, entry="0-0"), "line 4: entry must be a stream ID"),
    ("entry *", at(4, entry="*"), "line 4: entry must be a stream ID"),
    ("entry beyond", at(4, entry="18446744073709551615-1"), "line 4: entry must be a stream ID"),
    ("entry future", at(5, entry=f"{NOW_MS + 3_600_001}-0"), "line 5: entry 1795989600001-0 is in the future"),
    ("entry order", at(5, entry="6-0"), "line 5: entry 6-0 must be greater than that of the message before"),
    ("broadcast order", at(13, entry="8-0"), "line 13: entry 8-0 must be greater than that of the broadcast before"),
    ("digest", nested(4, digest="0" * 31), "line 4: digest must be 32 of"),
    ("remembered", nested(4, magic=1), "line 4: remembered: Object contains unknown field `magic`"),
    ("deliveries", nested(4, deliveries=-1), "line 4: deliveries must be a number from 0"),
    ("reader", nested(4, reader="\x1b"), "line 4: reader contains U+001B"),
    ("state", at(6, state="queued"), "line 6: state: queued is not that of a message that has ended"),
    ("state unknown", at(6, state="lost"), "line 6: state: not a known value"),
    ("no end", lambda lines: lines[5].pop("settled_at"), "line 6: settled_at is missing"),
    ("broadcast expired", at(14, state="expired"), "line 14: settled_at is missing"),
    ("reason", at(3, reason="\n\x1b"), "line 3: reason contains U+001B"),
    ("died", at(3, died_at=""), "line 3: died_at must be a time"),
    ("notice", at(9, agent="x y"), "line 9: agent must be"),
    ("claude", at(10, session="x y"), "line 10: session must be"),
    ("kind", at(11, kind="rumour"), "line 11: kind: not a known value"),
    ("cleared beyond", at(15, cleared=[[1, 3]]), "line 15: cleared must be up to 64 ranges"),
    ("cleared order", at(15, cleared=[[2, 1]]), "line 15: cleared must be up to 64 ranges"),
    ("cleared", at(15, cleared=[[1]]), "line 15: cleared"),
    ("counts", at(16, counts={"message": "3"}), "line 16: counts"),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "sentence"), [each[1:] for each in WRONG], ids=[each[0] for each in WRONG])
def test_a_wrong_file_is_refused_with_its_line(edit: Edit, sentence: str) -> None:
    lines = sample()
    edit(lines)

    with pytest.raises(BadField) as refusal:
        read(lines)

    assert refusal.value.message.startswith(sentence)
    assert len(refusal.value.message) < 400
    assert f"line {refusal.value.detail['line']}: " in sentence


RAW = {
    "not UTF-8": b"\xff\xfe",
    "half": b"{",
    "list": b"[]",
    "null": b"null",
    "empty": b"",
    "surrogate": b'{"type":"agent","name":"\\ud800"}',
    "surrogate bytes": b'{"type":"agent","name":"\xed\xa0\x80"}',
    "deep": b'{"type":"agent","aliases":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "raw control": b'{"type":"agent","name":"a\x00b"}',
    "two": b'{"type":"agent","name":"a"} {"type":"agent","name":"b"}',
    "long": b'{"type":"agent","name":"' + b"a" * LONGEST_LINE + b'"}',
}


@pytest.mark.parametrize("line", RAW.values(), ids=RAW)
def test_a_line_that_is_no_json_object_is_refused(line: bytes) -> None:
    with pytest.raises(BadField, match=r"^line 2: ") as refusal:
        read([sample()[0], line])
    assert len(refusal.value.message) < 400


@pytest.mark.parametrize("line", RAW.values(), ids=RAW)
def test_a_first_line_that_is_no_header_is_refused(line: bytes) -> None:
    with pytest.raises(BadField, match=r"^line 1: "):
        read([line])
