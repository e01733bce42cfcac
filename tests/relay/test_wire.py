"""The lines between relay and daemon, cut and put together."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postino.relay.lines import END_BYTES, LINE_LIMIT, LineBuffer, WriteBuffer, ensure_id, find_id


@given(st.lists(st.binary(max_size=50)), st.lists(st.integers(1, 20)))
def test_lines_are_the_same_in_whatever_pieces_they_come(parts, sizes):
    stream, cut = b"".join(part.replace(b"\n", b"") + b"\n" for part in parts), LineBuffer()
    got, at = [], 0
    for size in [*sizes, len(stream) + 1]:
        got += cut.feed(stream[at : at + size])
        at += size
    assert got == [(part.replace(b"\n", b""), None) for part in parts]


@pytest.mark.parametrize("step", [1000, 65536, 1 << 22])
def test_of_a_line_over_the_limit_only_its_ends_are_kept(step):
    cut, got = LineBuffer(), []
    stream = b"a" * END_BYTES + b"x" * 2 * LINE_LIMIT + b"z" * END_BYTES + b"\nnext\n"
    for at in range(0, len(stream), step):
        got += cut.feed(stream[at : at + step])
        assert len(cut.rest) <= LINE_LIMIT + step
    assert got == [(b"a" * END_BYTES, b"z" * END_BYTES), (b"next", None)]


@pytest.mark.parametrize("size", [LINE_LIMIT - 1, LINE_LIMIT])
def test_a_line_of_just_the_limit_passes(size):
    assert LineBuffer().feed(b"x" * size + b"\n") == [(b"x" * size, None)]


@pytest.mark.parametrize(
    ("message", "id"),
    [
        ({"jsonrpc": "2.0", "id": 5, "method": "m", "params": {"x": 1}}, b"5"),
        ({"id": "a-1", "jsonrpc": "2.0", "method": "m", "params": {"x": 1}}, b'"a-1"'),
        ({"method": "m", "params": {"id": 3}, "jsonrpc": "2.0", "id": -7}, b"-7"),
        ({"method": "m", "params": {"arguments": {"id": 3}}}, None),
        ({"method": "m", "params": {"x": 'say "id":3}'}}, None),
        ({"method": "m", "jsonrpc": "2.0", "id": None}, None),
    ],
)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_the_id_of_a_line_too_long_is_found_where_clients_put_it_and_never_invented(message, id, separators):
    line = json.dumps(message, separators=separators).encode()
    assert find_id(line[:END_BYTES], line[-END_BYTES:]) == id


def test_a_line_is_reported_only_when_its_last_byte_has_left():
    out = WriteBuffer()
    out.put(b"abc", 1)
    out.put(b"d", None)
    out.put(b"ef", "two")
    assert (out.next(3), out.advance(3), out.advance(1)) == (b"abc", [], [1])
    assert (out.advance(4), out.advance(1), len(out)) == ([], ["two"], 0)


@pytest.mark.parametrize(
    "params",
    [None, [], {"name": "msg_read"}, {"name": "msg_send"}, {"name": "msg_send", "arguments": []}, {"name": ["x"]}],
)
def test_a_call_that_needs_no_id_passes_byte_for_byte(params):
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    line = json.dumps(message, indent=None).encode()
    assert ensure_id(line, message) == (line, None)


def test_an_id_the_client_has_chosen_passes_byte_for_byte():
    message = {"id": 1, "params": {"name": "msg_send", "arguments": {"id": "mine"}}}
    line = json.dumps(message).encode()
    assert ensure_id(line, message) == (line, "mine")
