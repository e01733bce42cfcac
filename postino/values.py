"""What a name, an id and a text may be: limits, the types that the schemas show, and the checks that enforce them."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from postino.errors import BadField, BadName, NameReserved

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
ID_PATTERN = r"[A-Za-z0-9._:-]{1,128}"
EVENT_ID = "^[0-9]{1,15}(-[0-9]{1,19})?$"  # as in Last-Event-ID
RESERVED = frozenset({"all", "human", "system", "postino"})
LEAST_MEMORY = 8 << 20  # bytes that a server is allowed at least; an empty one takes 2 MB
MAX_BODY = 32_768  # characters
MAX_IDS = 200  # ids in one ack, nack, extend or requeue: as many as one read returns
MAX_PAGE = 200
DEFAULT_PAGE = 50
ESCAPE = "\x1b"
COLOURS = ": it begins a colour or another terminal sequence, which `postino send --strip-ansi` takes out"

# the schemas show these constraints; the checks have clearer messages than msgspec's
_RESERVED = "|".join("".join(f"[{each}{each.upper()}]" for each in name) for name in sorted(RESERVED))
OWN_NAME = f"^(?!(?:{_RESERVED})$){NAME_PATTERN}$"
Name = Annotated[str, Meta(extra_json_schema={"pattern": OWN_NAME})]
AnyName = Annotated[str, Meta(extra_json_schema={"pattern": f"^{NAME_PATTERN}$"})]
Id = Annotated[str, Meta(extra_json_schema={"pattern": f"^{ID_PATTERN}$"})]
# C0 except \t \n \r, DEL and C1, bidi overrides and isolates, tag characters, lone surrogates
_REFUSED_CHARACTERS = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f"
TEXT_PATTERN = f"^[^{_REFUSED_CHARACTERS}]+$"  # for a schema, whose texts have no lone surrogates
Text = Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": MAX_BODY, "pattern": TEXT_PATTERN})]
Ids = Annotated[list[Id], Meta(min_length=1, max_length=MAX_IDS)]
Limit = Annotated[int, Meta(ge=1, le=MAX_PAGE)]

_NAME = re.compile(NAME_PATTERN)
_ID = re.compile(ID_PATTERN)
_REFUSED = re.compile(f"[{_REFUSED_CHARACTERS}\ud800-\udfff]")
# of the same characters in UTF-8 those from DEL on: JSON's own rules escape the others
_ENCODED = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]|\xf3\xa0[\x80\x81][\x80-\xbf]")
_ENCODED_STARTS = (b"\x7f", b"\xc2", b"\xe2\x80", b"\xe2\x81", b"\xf3\xa0")  # found far faster than the pattern
_encode = msgspec.json.Encoder().encode


def check_text(value: str, field: str, *, longest: int = MAX_BODY) -> str:
    """Return `value`, or raise BadField if it is empty, too long or has a character that is not allowed."""
    if not value:
        raise BadField(f"{field} must not be empty", field=field)
    if len(value) > longest:
        raise BadField(f"{field} has {len(value)} characters; at most {longest} are allowed", field=field)
    found = _REFUSED.search(value)
    if found:
        raise BadField(
            f"{field} contains U+{ord(found.group()):04X} at position {found.start()}, which is not allowed; remove it"
            f"{COLOURS if found.group() == ESCAPE else ''}",
            field=field,
            position=found.start(),
        )
    return value


def check_name(value: str, field: str = "name") -> str:
    """Return `value`, or raise BadName if it cannot name an agent."""
    check_any_name(value, field)
    if value.lower() in RESERVED:
        raise NameReserved(
            f"{field}: {value!r} is a reserved name (all, human, system, postino); choose another", field=field
        )
    return value


def check_any_name(value: str, field: str) -> str:
    """Return `value`, or raise BadName if it is not a name. Reserved names pass: `system` sends notices."""
    if not _NAME.fullmatch(value):
        raise BadName(f"{field} must be 1 to 64 of A-Z a-z 0-9 . _ - and begin with a letter or digit", field=field)
    return value


def check_id(value: str, field: str = "id") -> str:
    """Return `value`, or raise BadField if it cannot identify a message."""
    if not _ID.fullmatch(value):
        raise BadField(f"{field} must be 1 to 128 of A-Z a-z 0-9 . _ : -", field=field)
    return value


def encode_visible(value: object) -> bytes:
    """Return `value` as JSON whose control characters are escaped, also those that JSON allows as they are.

    An answer may be printed in a terminal, and an old store may hold texts that are refused today.

    Raises:
        UnicodeEncodeError: a text has a lone surrogate.
    """
    data = _encode(value)
    if data.isascii() and b"\x7f" not in data:  # as nearly always, and found far faster
        return data
    if any(start in data for start in _ENCODED_STARTS):
        return _ENCODED.sub(_escape, data)
    return data


def _escape(found: re.Match[bytes]) -> bytes:
    return b"".join(b"\\u%b" % unit.hex().encode() for unit in _utf16_units(found.group().decode()))


def _utf16_units(text: str) -> list[bytes]:
    data = text.encode("utf-16-be")
    return [data[at : at + 2] for at in range(0, len(data), 2)]


def visible(text: str) -> str:
    """Return `text` with every control character escaped, for terminals, hooks and logs."""
    return _REFUSED.sub(lambda found: f"\\u{{{ord(found.group()):x}}}", text)
