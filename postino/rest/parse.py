"""Parse bodies and queries into records, strictly. Anything malformed is a PostinoError."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from types import NoneType
from typing import Any, Generic, TypeVar

import msgspec
from aiohttp import hdrs, web

from postino.errors import BadField, BadJson, BadPage, BadRequest, PostinoError, TooLarge, UnsupportedType
from postino.rest.known_heads import known_head
from postino.rest.route import JSON, PLAIN
from postino.values import MAX_BODY, check_text, visible
from postino.wording import worded

T = TypeVar("T")

BODY_S = 10.0  # for a whole body: on loopback the largest takes milliseconds
PAGE_FIELDS = frozenset({"limit", "offset", "after", "before"})
QUOTED = 64  # characters of a caller's text that an error quotes
SHORTER = (
    f"a message has at most {MAX_BODY:,} characters: send its end, with `postino send TO - --tail 200`, or with "
    "`tail -n 200 FILE | curl ... --data-binary @-`"
)

_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")  # in a pair or alone
_SURROGATE = re.compile("[\ud800-\udfff]")
_STREAM_ID = re.compile(r"([0-9]{1,20})(?:-([0-9]{1,20}))?")  # not \d, which matches the digits of every script
_EVENT_ID = re.compile(r"([0-9-]+)(?:([eh])([0-9-]+))?")
_PATH = re.compile(r" - at `\$\.([^`.\[]+)[^`]*`$")


class Body(Generic[T]):
    """The parser of one route's bodies. The decoder is made once, since that costs more than decoding."""

    def __init__(self, kind: type[T]) -> None:
        self._decode = msgspec.json.Decoder(kind).decode
        self._fields = [each.encode_name for each in msgspec.structs.fields(kind)]  # type: ignore[arg-type]
        self._keys = re.compile(b'"(?:%b)"' % b"|".join(name.encode() for name in self._fields))
        # a member that is None unless it is given, so that the quotes of a record can be counted
        self._counts = all(each.required or each.default is None for each in msgspec.structs.fields(kind))  # type: ignore[arg-type]

    def read(self, data: bytes) -> T:
        """Return the record in `data`. An empty body counts as `{}`.

        Raises:
            BadJson: not a single JSON object in UTF-8, nested too deeply, or with a duplicate key.
            BadField: a field is missing, unknown, of the wrong type or not allowed.
        """
        try:
            record = self._decode(data or b"{}")
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise self._explain(data, error) from None
        if not (self._counts and data.count(b'"') == _least_quotes(record)):
            keys = self._keys.findall(data)
            if len(keys) > len(set(keys)) or b"\\u" in data:
                _check_json(data)  # only then can there be a duplicate key
        return record

    def _explain(self, data: bytes, error: Exception) -> PostinoError:
        try:
            _check_surrogates(data)
            _check_json(data)
        except (BadJson, BadField) as found:
            return found
        return explain(error, self._fields)


def _least_quotes(record: Any) -> int:
    """Return how many quotes the JSON of a record has at least: two for each key that was given, and each text.

    Any more are those of a duplicate key, of a text in a list, or within a text.
    """
    kinds = [*map(type, msgspec.structs.astuple(record))]
    return 2 * (len(kinds) - kinds.count(NoneType) + kinds.count(str))


def plain_text(data: bytes) -> str:
    """Return a body of plain text as it stands. An empty one is left to the check of what it becomes.

    Raises:
        BadField: it is not UTF-8, or longer than a message.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise BadField(f"body is not UTF-8 at byte {error.start}", field="body", position=error.start) from None
    if len(text) > MAX_BODY:
        raise BadField(f"body has {len(text):,} characters; {SHORTER}", field="body")
    return text


def query(request: web.Request, kind: type[T]) -> T:
    """Return the request's query as a record.

    Raises:
        BadField: a parameter is unknown, wrong or given twice.
        BadPage: limit, offset, after or before is out of range.
    """
    given: dict[str, str] = {}
    for key, value in request.query.items():
        if key in given:
            raise BadField(f"{_quoted(key)} is given twice; send it once", field=_quoted(key))
        given[key] = value
    fields = msgspec.structs.fields(kind)  # type: ignore[arg-type]
    try:
        record = msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise explain(error, [each.encode_name for each in fields]) from None
    for each in fields:
        if each.encode_name in given and getattr(record, each.name) is None:  # msgspec takes the word `null` for None
            kind_of_error = BadPage if each.encode_name in PAGE_FIELDS else BadField
            raise kind_of_error(f"{each.encode_name} has no value; leave it out instead", field=each.encode_name)
    return record


def arrived_body(request: web.Request, largest: int, *, setting: str, wanted: str) -> bytes | None:
    """Return the body of a POST, as `body` does, if it has arrived with the head, as nearly always; else None."""
    known, content = known_head(request), request.content
    if known is None or not known.is_typed:
        check_type(request, wanted)
        if known is not None:
            known.is_typed = True
    if known is None and (not content.is_eof() or content.exception() is not None):
        return None
    data = content.read_nowait()
    if len(data) > largest:
        raise _too_large(largest, setting, wanted, len(data))
    return data


async def body(request: web.Request, largest: int, *, setting: str = "", wanted: str = JSON) -> bytes:
    """Return the body of a POST, at most `largest` bytes, which must arrive within 10 s.

    `setting` is the variable that sets `largest`, if one does; `wanted` is the content type.

    Raises:
        UnsupportedType: it is not `wanted` in UTF-8, or has a content encoding.
        TooLarge: it has more than `largest` bytes, by its head or in fact.
        BadRequest: it ended early or stalled.
    """
    check_type(request, wanted)
    length = request.content_length or 0
    if length > largest:
        raise _too_large(largest, setting, wanted, length)
    try:
        async with asyncio.timeout(BODY_S):
            data = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(largest, setting, wanted, length) from None
    except TimeoutError:
        raise BadRequest(f"the body did not arrive within {BODY_S:.0f} s; send it again") from None
    except (web.RequestPayloadError, ConnectionError, ValueError):
        raise BadRequest("the body ended early or is badly chunked") from None
    if len(data) > largest:
        raise _too_large(largest, setting, wanted, len(data))
    return data


def stream_id(text: str, *, digits: int = 20) -> str | None:
    """Return a stream ID in full, or None if it is not one. Its second number may be absent and is 0 then."""
    found = _STREAM_ID.fullmatch(text)
    if found is None or len(found[1]) > digits:
        return None
    ms, seq = int(found[1]), int(found[2] or 0)
    return f"{ms}-{seq}" if max(ms, seq) < 1 << 64 else None


def event_place(text: str, *, digits: int) -> str | None:
    """Return the id of an event in full, or None if it is not one: one stream ID, or two with a letter between them."""
    found = _EVENT_ID.fullmatch(text)
    ids = [stream_id(each, digits=digits) for each in (found[1], found[3]) if each] if found else [None]
    return (found[2] or "").join(map(str, ids)) if found and None not in ids else None


def entry_of(given: str | None, field: str) -> str | None:
    """Return the entry that continues a page, in full.

    Raises:
        BadPage: it is none.
    """
    if given is None:
        return None
    found = stream_id(given) if "-" in given else None
    if found is None:
        raise BadPage(f"{field} must be the `before`, the `after` or an `entry` of an earlier page", field=field)
    return found


def check_type(request: web.Request, wanted: str) -> None:
    """Raise UnsupportedType unless the body is declared as `wanted`. A page cannot declare JSON without a preflight.

    Plain text it can: the route that takes it needs a header that no page can set without one.
    """
    headers = request.headers
    given = headers.get(hdrs.CONTENT_TYPE, "")
    if given != wanted:
        kind, _, rest = given.partition(";")
        charset = rest.strip().lower().replace('"', "")
        if kind.strip().lower() != wanted or charset not in ("", "charset=utf-8", "charset=utf8"):
            other = "; JSON goes to POST /api/messages" if wanted == PLAIN else ""
            raise UnsupportedType(f"send a POST with Content-Type: {wanted} (in UTF-8){other}")
    if hdrs.CONTENT_ENCODING in headers:
        raise UnsupportedType("Content-Encoding is not supported; send the body without it")


def refuse_body(request: web.Request) -> None:
    """Raise BadRequest if a request has a body: its method takes none."""
    if request.body_exists and (request.content_length is None or request.content_length > 0):
        raise BadRequest(f"{request.method} takes no body")


def explain(error: Exception, fields: list[str]) -> PostinoError:
    """Return msgspec's error as one that names the field and says what is wrong with it."""
    text = str(error)
    path = _PATH.search(text)
    field = path.group(1) if path else ""
    problem = text[: path.start()] if path else text
    if not path:
        if "unknown field" in text:
            name = _quoted(text.split("`", 1)[-1].rsplit("`", 1)[0])
            known = f"it must be one of {', '.join(fields)}" if fields else "this route takes none"
            return BadField(f"{name} is not a field; {known}", field=name)
        if "missing required field" in text:
            name = text.split("`")[1]
            return BadField(f"{name} is missing", field=name)
        return BadJson("the body must be one JSON object")
    kind = BadPage if field in PAGE_FIELDS else BadField
    return kind(f"{field}: {worded(problem)}", field=field)


def _check_json(data: bytes) -> None:
    """Raise BadJson if `data` is not a single valid JSON value. Slow: only called in case of doubt."""
    if data.startswith(b"\xef\xbb\xbf"):
        raise BadJson("the body begins with a byte order mark; send UTF-8 without it")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise BadJson(f"the body is not UTF-8 (byte {error.start})") from None
    try:
        msgspec.json.decode(data or b"{}")
        json.loads(text or "{}", object_pairs_hook=_without_duplicates)
    except RecursionError:
        raise BadJson("the body is nested too deeply") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise BadJson(f"the body is not JSON: {error}") from None


def _check_surrogates(data: bytes) -> None:
    """Raise BadField if an escaped lone surrogate is all that is wrong; msgspec's error does not say so."""
    if not _ESCAPED_SURROGATE.search(data):
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
    """Yield every text in a JSON value, at any depth, keys too."""
    rest = [value]
    while rest:
        match rest.pop():
            case str(text):
                yield text
            case list(items):
                rest += items
            case dict(pairs):
                rest += [*pairs, *pairs.values()]


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        duplicate = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BadJson(f"the body has the key {_quoted(duplicate)} twice", field=_quoted(duplicate))
    return found


def _quoted(text: str) -> str:
    return visible(text[:QUOTED])


def _too_large(largest: int, setting: str, wanted: str, length: int) -> TooLarge:
    """Return the error about a body of `length` bytes; 0: its length is not known."""
    limit = f"the body is larger than {largest} bytes{setting and f' ({setting})'}"
    if wanted == PLAIN:
        return TooLarge(f"{limit}{f': it has {length:,}' if length else ''}; {SHORTER}")
    return TooLarge(
        f"{limit}; JSON that escapes non-ASCII as \\uXXXX "
        "takes 6 to 12 bytes per character: send UTF-8 (in Python ensure_ascii=False)"
    )
