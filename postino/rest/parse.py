"""What comes in: bytes and queries into records, strictly; whatever does not fit is a refusal, never a crash."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import msgspec
from aiohttp import web

from postino.errors import BadField, BadJson, BadPage, BadRequest, PostinoError, TooLarge, UnsupportedType
from postino.model import check_text, visible
from postino.wording import worded

T = TypeVar("T")

BODY_S = 10.0  # a body of the largest size takes milliseconds on loopback; longer is a stalled client
PAGE_FIELDS = frozenset({"limit", "offset", "before"})
QUOTED = 64  # characters of a caller's own words that an error repeats

_HALF = re.compile(rb"\\u[dD][89a-fA-F]")  # an escaped surrogate, in a pair or not
_SURROGATE = re.compile("[\ud800-\udfff]")
_STREAM_ID = re.compile(r"([0-9]{1,20})(?:-([0-9]{1,20}))?")  # not \d: that is every script's digits
_PLACE = re.compile(r" - at `\$\.([^`.\[]+)[^`]*`$")


class Body(Generic[T]):
    """The reader of one route's bodies. The decoder is made once: that costs more than decoding."""

    def __init__(self, kind: type[T]) -> None:
        self._decode = msgspec.json.Decoder(kind).decode
        self._fields = [each.encode_name for each in msgspec.structs.fields(kind)]  # type: ignore[arg-type]
        self._keys = re.compile(b'"(?:%b)"' % b"|".join(name.encode() for name in self._fields))

    def read(self, data: bytes) -> T:
        """Return the record in `data`; nothing at all is `{}`.

        Raises:
            BadJson: not one JSON object in UTF-8, too deep, or with a key twice.
            BadField: a field is missing, unknown, of the wrong type or holds half a character.
        """
        try:
            record = self._decode(data or b"{}")
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise self._refusal(data, error) from None
        keys = self._keys.findall(data)
        if len(keys) > len(set(keys)) or b"\\u" in data:
            _check(data)  # only now can a key be there twice
        return record

    def _refusal(self, data: bytes, error: Exception) -> PostinoError:
        try:
            _check_halves(data)
            _check(data)
        except (BadJson, BadField) as found:
            return found
        return explain(error, self._fields)


def query(request: web.Request, kind: type[T]) -> T:
    """Return the request's query as a record.

    Raises:
        BadField: a parameter is unknown, wrong or there twice.
        BadPage: limit, offset or before is out of range.
    """
    given: dict[str, str] = {}
    for key, value in request.query.items():
        if key in given:
            raise BadField(f"{_quoted(key)} is given twice", field=_quoted(key))
        given[key] = value
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        fields = [each.encode_name for each in msgspec.structs.fields(kind)]  # type: ignore[arg-type]
        raise explain(error, fields) from None


async def body(request: web.Request, largest: int) -> bytes:
    """Return the body of a POST, at most `largest` bytes, within 10 s.

    Raises:
        UnsupportedType: not `application/json` in UTF-8, or encoded.
        TooLarge: more bytes than allowed, said or sent.
        BadRequest: it ended early or stalled.
    """
    check_type(request)
    if (request.content_length or 0) > largest:
        raise _too_large(largest)
    try:
        if request.content.is_eof():  # all of it came with the head, as it nearly always does
            data = request.content.read_nowait()
        else:
            async with asyncio.timeout(BODY_S):
                data = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(largest) from None
    except TimeoutError:
        raise BadRequest(f"the body did not arrive within {BODY_S:.0f} s") from None
    except (web.RequestPayloadError, ConnectionError, ValueError):
        raise BadRequest("the body ended early or is badly chunked") from None
    if len(data) > largest:
        raise _too_large(largest)
    return data


def stream_id(text: str, *, digits: int = 20) -> str | None:
    """Return a stream ID, its second half 0 where it is left out; None if Valkey would not take it for one."""
    found = _STREAM_ID.fullmatch(text)
    if found is None or len(found[1]) > digits:
        return None
    ms, seq = int(found[1]), int(found[2] or 0)
    return f"{ms}-{seq}" if max(ms, seq) < 1 << 64 else None


def check_type(request: web.Request) -> None:
    """Refuse what a web page can send without asking: every POST says that it is JSON.

    Raises:
        UnsupportedType: see above.
    """
    headers = request.headers
    given = headers.get("Content-Type", "")
    if given != "application/json":
        kind, _, rest = given.partition(";")
        charset = rest.strip().lower().replace('"', "")
        if kind.strip().lower() != "application/json" or charset not in ("", "charset=utf-8", "charset=utf8"):
            raise UnsupportedType("a POST must say Content-Type: application/json (in UTF-8)")
    if "Content-Encoding" in headers:
        raise UnsupportedType("Content-Encoding is not accepted; send the JSON as it is")


def refuse_body(request: web.Request) -> None:
    """Raise BadRequest when a request that takes no body has one."""
    if request.body_exists and (request.content_length is None or request.content_length > 0):
        raise BadRequest(f"{request.method} takes no body")


def explain(error: Exception, fields: list[str]) -> PostinoError:
    """Say in words what msgspec found."""
    said = str(error)
    place = _PLACE.search(said)
    field = place.group(1) if place else ""
    problem = said[: place.start()] if place else said
    if not place:
        if "unknown field" in said:
            name = _quoted(said.split("`", 1)[-1].rsplit("`", 1)[0])
            known = f"it may be {', '.join(fields)}" if fields else "none is taken here"
            return BadField(f"{name} is not a field; {known}", field=name)
        if "missing required field" in said:
            name = said.split("`")[1]
            return BadField(f"{name} is missing", field=name)
        return BadJson("the body must be one JSON object")
    kind = BadPage if field in PAGE_FIELDS else BadField
    return kind(f"{field}: {worded(problem)}", field=field)


def _check(data: bytes) -> None:
    """Raise BadJson if `data` is not one sound JSON value; slow, for when there is a doubt."""
    if data.startswith(b"\xef\xbb\xbf"):
        raise BadJson("the body begins with a byte order mark; send UTF-8 without it")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise BadJson(f"the body is not UTF-8 (byte {error.start})") from None
    try:
        msgspec.json.decode(data or b"{}")
        json.loads(text or "{}", object_pairs_hook=_once)
    except RecursionError:
        raise BadJson("the body is nested too deep") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise BadJson(f"the body is not JSON: {error}") from None


def _check_halves(data: bytes) -> None:
    """Raise BadField if an escaped lone surrogate is all that is wrong: msgspec cannot even say that it is one."""
    if not _HALF.search(data):
        return
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return
    if not isinstance(found, dict):
        raise BadJson("the body must be one JSON object")
    for name, value in found.items():
        field = _quoted(name)
        if _SURROGATE.search(name):
            raise BadField(f"{field} is not a field", field=field)
        for text in _texts(value):
            if _SURROGATE.search(text):
                check_text(text, field, longest=len(text))


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a JSON value, keys too, however deep."""
    left = [value]
    while left:
        match left.pop():
            case str(text):
                yield text
            case list(items):
                left += items
            case dict(pairs):
                left += [*pairs, *pairs.values()]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        double = next(key for key in keys if keys.count(key) > 1)
        raise BadJson(f"the body has the key {_quoted(double)} twice", field=_quoted(double))
    return found


def _quoted(words: str) -> str:
    return visible(words[:QUOTED])


def _too_large(largest: int) -> TooLarge:
    return TooLarge(
        f"the body is larger than {largest} bytes (POSTINO_MAX_BODY_BYTES); JSON that escapes non-ASCII as \\uXXXX "
        "takes 6 to 12 bytes per character: send UTF-8 (in Python ensure_ascii=False)"
    )
