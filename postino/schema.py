"""What msgspec is told of values: the types that the schemas show, and JSON without control characters.

Apart from `values`, which every command imports: msgspec costs 10 ms.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from postino.values import (
    ADDRESSEE,
    CHOICE_PATTERN,
    ID_PATTERN,
    MAX_BODY,
    MAX_CHOICES,
    MAX_IDS,
    MAX_PAGE,
    MAX_RECIPIENTS,
    NAME_PATTERN,
    OWN_NAME,
    RECIPIENT,
    TEXT_PATTERN,
    TITLE_PATTERN,
)

# the schemas show these constraints; the checks have clearer messages than msgspec's
Name = Annotated[str, Meta(extra_json_schema={"pattern": OWN_NAME})]
AnyName = Annotated[str, Meta(extra_json_schema={"pattern": f"^{NAME_PATTERN}$"})]
#: of a message: an agent, `#` and a group, or a list of agents
Recipient = Annotated[str, Meta(extra_json_schema={"pattern": RECIPIENT})]
Recipients = Annotated[
    list[Annotated[str, Meta(extra_json_schema={"pattern": ADDRESSEE})]],
    Meta(extra_json_schema={"minItems": 1, "maxItems": MAX_RECIPIENTS, "uniqueItems": True}),
]
Id = Annotated[str, Meta(extra_json_schema={"pattern": f"^{ID_PATTERN}$"})]
Title = Annotated[str, Meta(extra_json_schema={"pattern": f"^{TITLE_PATTERN}$"})]
#: the title of a thread, which may be of the time when titles were ids
Thread = Annotated[str, Meta(extra_json_schema={"pattern": f"^({ID_PATTERN}|{TITLE_PATTERN})$"})]
Text = Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": MAX_BODY, "pattern": TEXT_PATTERN})]
Choices = Annotated[
    list[Annotated[str, Meta(extra_json_schema={"pattern": f"^{CHOICE_PATTERN}$"})]],
    Meta(extra_json_schema={"minItems": 1, "maxItems": MAX_CHOICES, "uniqueItems": True}),
]
Ids = Annotated[list[Id], Meta(min_length=1, max_length=MAX_IDS)]
Limit = Annotated[int, Meta(ge=1, le=MAX_PAGE)]

# of the same characters in UTF-8 those from DEL on: JSON's own rules escape the others
_ENCODED = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]|\xf3\xa0[\x80\x81][\x80-\xbf]")
_ENCODED_STARTS = (b"\x7f", b"\xc2", b"\xe2\x80", b"\xe2\x81", b"\xf3\xa0")  # found far faster than the pattern
_encode = msgspec.json.Encoder().encode


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
