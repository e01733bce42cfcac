"""JSON by the C code behind the module `json`, which itself imports `re`: 7 ms and 1 MB for every relay and command.

Texts are read and written as `json.loads` and `json.dumps` do it, apart from NaN and Infinity, which are refused.
"""

from __future__ import annotations

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from typing import Any

Json = dict[str, "Any"]
BLANK = " \t\n\r"


def _refuse(constant: Any) -> Any:
    raise ValueError(f"{constant!r} is not JSON")


class _Reading:
    """What the scanner asks how to read."""

    strict = True
    object_hook = object_pairs_hook = array_hook = None
    parse_float, parse_int, parse_constant = float, int, staticmethod(_refuse)


_reading: Any = _Reading()
try:
    from _json import encode_basestring, encode_basestring_ascii, make_encoder, make_scanner

    _scan: Any = make_scanner(_reading)
    _encode: Any = make_encoder(None, _refuse, encode_basestring_ascii, None, ":", ",", False, False, False)
    _encode_plain: Any = make_encoder(None, _refuse, encode_basestring, None, ":", ",", False, False, False)
except (ImportError, AttributeError, TypeError):  # a Python other than CPython, or a later one: json itself
    import json

    _decoder: Any = json.JSONDecoder(parse_constant=_refuse)
    _scan = _decoder.scan_once

    def _encode(value: Any, _: int) -> tuple[str, ...]:
        return (json.dumps(value, separators=(",", ":"), allow_nan=False),)

    def _encode_plain(value: Any, _: int) -> tuple[str, ...]:
        return (json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False),)


def loads(text: bytes | str) -> Any:
    """Return the value of a text, in UTF-8 if it is bytes.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deeply.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogatepass").removeprefix("\ufeff")
    text = text.strip(BLANK)
    try:
        value, end = _scan(text, 0)
    except StopIteration as error:
        raise ValueError(f"no JSON value at position {error.value}") from None
    except SystemError:  # CPython before 3.13 can name an error only where json is imported, which few relays need
        import json

        json.loads(text)
        raise
    if end != len(text):
        raise ValueError(f"more than one JSON value, at position {end}")
    return value


def dumps(value: Any, *, in_ascii: bool = True) -> str:
    """Return a value as JSON without blanks; what is beyond ASCII is escaped, or with `in_ascii` false stays."""
    return "".join(_encode(value, 0) if in_ascii else _encode_plain(value, 0))
