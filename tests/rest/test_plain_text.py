"""POST /messages/{to} with text/plain: the request's body is the message; a web page cannot send one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from postino.rest.app import STATE
from postino.values import MAX_BODY

PLAIN = {"Content-Type": "text/plain"}
FROM_CI = PLAIN | {"X-Postino-From": "ci"}
LOG = "$ make\r\ncc -o a a.c\n\ttab, „Umlaut“ and 🛠\n\n"
#: as the body of a form in a page: each is sent without a preflight, and none can add a header
SIMPLE_TYPES = ("text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "multipart/form-data")


async def post(api: Any, data: bytes, **headers: str) -> Any:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return await api.call("POST", "messages/bob", data=data, headers=FROM_CI | named)


async def test_the_body_arrives_as_it_stands_with_what_the_headers_say(api: Any) -> None:
    sent = await post(api, LOG.encode(), X_Postino_Thread="build-812", Idempotency_Key="log-1", X_Postino_Via="cli")
    again = await post(api, LOG.encode(), X_Postino_Thread="build-812", Idempotency_Key="log-1")
    other = await post(api, b"another", X_Postino_Thread="build-812", Idempotency_Key="log-1")

    assert (sent.status, sent.json["id"], sent.json["created"]) == (200, "log-1", True)
    assert sent.text.endswith("}\n") and other.text.endswith("}\n")
    assert (again.json["created"], other.json["code"]) == (False, "key_reused")
    (item,) = await api.read()
    assert item["body"] == LOG
    assert (item["from"], item["verified"], item["via"], item["thread"]) == ("ci", False, "cli", "build-812")


@pytest.mark.parametrize(
    ("data", "words", "position"),
    [
        (b"", "body must not be empty", None),
        (b"ok \xff", "body is not UTF-8 at byte 3", 3),
        (b"ok\x00", "body contains U+0000 at position 2", 2),
        (b"\x1b[31mred", "`postino send --strip-ansi` takes out", 0),
        ("x‮y".encode(), "body contains U+202E at position 1", 1),
        (b"x" * (MAX_BODY + 1), "body has 32,769 characters; a message has at most 32,768 characters", None),
    ],
)
async def test_what_is_not_allowed_is_refused_with_its_place(api: Any, data: bytes, words: str, position: Any) -> None:
    answer = await post(api, data)

    assert (answer.status, answer.json["code"], answer.json["field"]) == (400, "bad_field", "body")
    assert words in answer.json["error"]
    assert answer.json.get("position") == position
    assert (await api.get("messages/bob")).json["total"] == 0


async def test_a_body_that_is_too_large_tells_its_size_and_the_way_out(api: Any) -> None:
    answer = await post(api, b"x" * 300_000)

    assert (answer.status, answer.json["code"]) == (413, "too_large")
    assert all(word in answer.json["error"] for word in ("it has 300,000", "32,768", "--tail"))


@pytest.mark.parametrize(
    ("headers", "code", "field"),
    [
        ({"X-Postino-From": "human"}, "name_reserved", "from"),
        ({"X-Postino-From": "a b"}, "bad_name", "from"),
        ({"X-Postino-From": ""}, "bad_name", "from"),
        ({"X-Postino-Thread": "a\tb"}, "bad_field", "thread"),
        ({"Idempotency-Key": "a b"}, "bad_field", "Idempotency-Key"),
        ({"Content-Type": "application/json"}, "unsupported_type", None),
        ({"Content-Type": "text/plain; charset=latin1"}, "unsupported_type", None),
        ({"Content-Encoding": "gzip"}, "unsupported_type", None),
    ],
)
async def test_a_wrong_header_is_named(api: Any, headers: dict[str, str], code: str, field: Any) -> None:
    answer = await api.call("POST", "messages/bob", data=b"hello", headers=FROM_CI | headers)

    assert (answer.json["code"], answer.json.get("field")) == (code, field)


@pytest.mark.parametrize("kind", SIMPLE_TYPES)
async def test_what_a_page_can_send_without_asking_is_refused(api: Any, kind: str) -> None:
    port = api.port
    evil = [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {}]
    for headers in evil:  # the last: a browser that says nothing of the page
        answer = await api.call("POST", "messages/bob", data=b"planted", headers={"Content-Type": kind} | headers)
        assert answer.status in (400, 403, 415), headers
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-postino-from"}
    preflight = await api.call(
        "OPTIONS", "messages/bob", headers=asked | {"Origin": f"http://localhost:{port}", "Sec-Fetch-Site": "same-site"}
    )
    assert preflight.status == 403
    assert not [name for name in preflight.headers if name.lower().startswith("access-control")]
    twice = f"POST /api/messages/bob HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: text/plain\r\n"
    twice += "X-Postino-From: ci\r\nX-Postino-From: eve\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(twice.encode())
    assert b"X-Postino-From is given twice" in await reader.read()
    writer.close()
    await writer.wait_closed()
    assert (await api.get("messages/bob")).json["total"] == 0


async def test_a_named_token_sends_as_its_own_name(api: Any) -> None:
    text, _ = await api.client.app[STATE].tokens.create("ci", "publish", None)
    signed = PLAIN | {"Authorization": f"Bearer {text}"}
    sent = await api.call("POST", "messages/bob", data=b"without a name", headers=signed)
    own = await api.call("POST", "messages/bob", data=b"with it", headers=signed | {"X-Postino-From": "ci"})
    other = await api.call("POST", "messages/bob", data=b"another", headers=signed | {"X-Postino-From": "eve"})

    assert (sent.status, own.status, other.status, other.json["code"]) == (200, 200, 403, "not_allowed")
    assert [(each["from"], each["verified"]) for each in await api.read()] == [("ci", True), ("ci", True)]
