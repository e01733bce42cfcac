"""What tests of refusals share."""

from __future__ import annotations

from typing import Any

from postino.rest.routes import ROUTES

#: of JSON; for those that are read raw see tests/hooks, for plain text test_plain_text.py
POSTS = sorted(
    {route.path for route in ROUTES if route.method == "POST" and not route.raw and route.accepts == "application/json"}
)
GOOD = {"to": "bob", "body": "hello"}
DEEP = 30_000
#: bytes no POST may take, with the code of the refusal; sent to every POST route
NOT_JSON = [
    (b"{", "bad_json"),
    (b"}", "bad_json"),
    (b"nope", "bad_json"),
    (b"null", "bad_json"),
    (b"true", "bad_json"),
    (b"17", "bad_json"),
    (b'"text"', "bad_json"),
    (b"[]", "bad_json"),
    (b"[{}]", "bad_json"),
    (b"{} {}", "bad_json"),
    (b"{}x", "bad_json"),
    (b"{'to':'bob'}", "bad_json"),
    (b"{to:1}", "bad_json"),
    (b'{"a":1,}', "bad_json"),
    (b'{"a":NaN}', "bad_json"),
    (b'{"a":Infinity}', "bad_json"),
    (b'{"a":-Infinity}', "bad_json"),
    (b'{"a":01}', "bad_json"),
    (b'{"a":1} // comment', "bad_json"),
    (b"\x00", "bad_json"),
    (b"   ", "bad_json"),
    (b"\xef\xbb\xbf{}", "bad_json"),
    (b"\xff\xfe{\x00}\x00", "bad_json"),
    (b'{"a":"\xff"}', "bad_json"),
    (b'{"a":"\xed\xa0\x80"}', "bad_json"),
    (b'{"a":"\\ud800"}', "bad_field"),
    (b'{"a":"\\udc00\\ud800"}', "bad_field"),
    (b'{"\\ud800":1}', "bad_field"),
    (b'["\\ud800"]', "bad_json"),
    (b'"\\ud800"', "bad_json"),
    (b'{"a":"\\ud800"', "bad_json"),
    (b'{"a":{"b":"\\ud800"}}', "bad_field"),
    (b'{"a":[{"\\ud800":[]}]}', "bad_field"),
    (b'{"a":"\n"}', "bad_json"),
    (b'{"a":1,"a":2}', "bad_json"),
    (b"[" * DEEP, "bad_json"),
    (b'{"a":' * DEEP, "bad_json"),
    (b'{"a":' + b"[" * DEEP + b"]" * DEEP + b"}", "bad_json"),
    (b'{"unknown":1}', "bad_field"),
    (b'{"":1}', "bad_field"),
    (b'{"\\u0000":1}', "bad_field"),
    (b'{"__proto__":{}}', "bad_field"),
    (b'{"' + b"k" * 5000 + b'":1}', "bad_field"),
]


async def nothing_happened(api: Any) -> None:
    """Nobody became known, nothing was stored, the daemon is well."""
    assert (await api.get("health")).status == 200
    assert (await api.get("history")).json["items"] == []
    assert [each["name"] for each in (await api.get("agents")).json["items"] if each["messageCount"]] == []
    assert (await api.get("broadcasts")).json["total"] == 0
