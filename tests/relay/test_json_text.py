"""JSON for the relay and for quick commands is that of `json`, with the C code and without it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

from postino import json_text

VALUES = [
    0,
    -1,
    10**30,
    0.5,
    -1e300,
    None,
    True,
    "",
    'a"\\\n\x00\u2028\U0001f4ec',
    "\ud800",
    [],
    {},
    {"a": [1, {"b": [None]}]},
]
WRONG = [
    b"",
    b" ",
    b"{",
    b"x",
    b"1 2",
    b"[1,]",
    b'"\x01"',
    b"\xff",
    b'{"a":1}x',
    b"NaN",
    b"[-Infinity]",
    b"{'a':1}",
    b'"\\x"',
]


def without_c() -> ModuleType:
    spec = importlib.util.spec_from_file_location("json_text_without_c", json_text.__file__)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    kept = sys.modules.pop("_json")
    sys.modules["_json"] = None  # type: ignore[assignment]
    try:
        spec.loader.exec_module(made)
    finally:
        sys.modules["_json"] = kept
    return made


BOTH = pytest.mark.parametrize("text", [json_text, without_c()], ids=["C", "json"])


@BOTH
@pytest.mark.parametrize("value", VALUES, ids=ascii)
def test_values_are_written_and_read_as_json_does(text: Any, value: object) -> None:
    written = text.dumps(value)

    assert written == json.dumps(value, separators=(",", ":"))
    assert text.dumps(value, in_ascii=False) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert text.loads(written) == text.loads(f" {json.dumps(value, indent=1)}\r\n".encode()) == value


@BOTH
@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_what_is_no_json_is_refused_and_the_next_is_read(text: Any, wrong: bytes) -> None:
    with pytest.raises(ValueError):
        text.loads(wrong)
    with pytest.raises(RecursionError):
        text.loads("[" * 100_000)
    with pytest.raises(ValueError):
        text.dumps([{"a": float("nan")}])
    assert text.loads('{"a":[1]}') == {"a": [1]}
    assert text.dumps([{"a": 1}]) == '[{"a":1}]'


def test_errors_are_errors_where_json_is_not_imported() -> None:
    code = """
import sys
from postino.json_text import loads
assert "json" not in sys.modules
try:
    loads(bytes.fromhex(sys.argv[1]))
except ValueError:
    print("refused", loads('[{"a":1}]'))
"""
    for wrong in WRONG:
        said = subprocess.check_output([sys.executable, "-c", code, wrong.hex()], text=True)
        assert said == "refused [{'a': 1}]\n", wrong
