"""Bad input: each piece of it gets the contract's refusal, changes nothing, and never is a 500."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postino.errors import BadRequest, PostinoError
from postino.rest.parse import Body
from postino.rest.records import ReadQuery, SendBody
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

#: bodies of POST /api/messages, with the field that is named
BAD_SENDS: list[tuple[Any, str, str]] = [
    ({}, "to", "bad_field"),
    ({"to": "bob"}, "body", "bad_field"),
    ({"body": "x"}, "to", "bad_field"),
    *[(GOOD | {"to": wrong}, "to", "bad_field") for wrong in (None, 1, 1.5, True, [], {}, ["bob"])],
    *[(GOOD | {"body": wrong}, "body", "bad_field") for wrong in (None, 1, True, [], {}, ["x"])],
    *[(GOOD | {"from": wrong}, "from", "bad_field") for wrong in (1, True, [], {})],
    *[
        (GOOD | {"id": wrong}, "id", "bad_field")
        for wrong in (1, True, [], {}, "", "a b", "ä", "x" * 129, "a/b", "a\n")
    ],
    *[(GOOD | {"thread": wrong}, "thread", "bad_field") for wrong in (1, [], "", "a b", "x" * 129)],
    *[(GOOD | {"reply_to": wrong}, "reply_to", "bad_field") for wrong in (1, [], "", "a b", "x" * 129)],
    *[
        (GOOD | {"to": wrong}, "to", "bad_name")
        for wrong in (
            "",
            " ",
            "a b",
            "-a",
            ".a",
            "_a",
            "a" * 65,
            "ä",
            "a/b",
            "a\n",
            "a\x00",
            "../x",
            "{po}",
            "*",
            "a,b",
        )
    ],
    *[(GOOD | {"to": name}, "to", "name_reserved") for name in ("all", "human", "system", "postino", "ALL", "System")],
    *[(GOOD | {"from": wrong}, "from", "bad_name") for wrong in ("", "a b", "a" * 65, "ä")],
    *[(GOOD | {"from": name}, "from", "name_reserved") for name in ("all", "human", "system", "postino")],
    *[
        (GOOD | {"body": wrong}, "body", "bad_field")
        for wrong in (
            "",
            "x" * 32_769,
            "a\x00b",
            "\x1b[31mred",
            "\x07",
            "\x08",
            "\x0b",
            "\x7f",
            "\x85",
            "\x9b31m",
            "\u202eevil",
            "\u2066",
            "\u2069",
            "\U000e0041",
        )
    ],
    (GOOD | {"subject": "x"}, "subject", "bad_field"),
    (GOOD | {"verified": True}, "verified", "bad_field"),
    (GOOD | {"via": "mcp"}, "via", "bad_field"),
]

#: other requests: method, path, body, status, code, field
BAD_CALLS: list[tuple[str, str, Any, int, str, str | None]] = [
    ("GET", "messages/a%20b", None, 400, "bad_name", "agent"),
    ("GET", "messages/" + "a" * 65, None, 400, "bad_name", "agent"),
    ("GET", "messages/all", None, 400, "name_reserved", "agent"),
    ("GET", "messages/%FF", None, 400, "bad_name", "agent"),
    ("GET", "messages/%00", None, 400, "bad_name", "agent"),
    ("GET", "messages/%ED%A0%80", None, 400, "bad_name", "agent"),
    ("GET", "messages/..%2F..%2Fx", None, 400, "bad_name", "agent"),
    ("GET", "messages/bob?limit=0", None, 400, "bad_page", "limit"),
    ("GET", "messages/bob?limit=201", None, 400, "bad_page", "limit"),
    ("GET", "messages/bob?limit=-1", None, 400, "bad_page", "limit"),
    ("GET", "messages/bob?limit=null", None, 400, "bad_page", "limit"),
    ("POST", "messages/bob/read?wait=null", {}, 400, "bad_field", "wait"),
    ("GET", "messages/bob?limit=x", None, 400, "bad_page", "limit"),
    ("GET", "messages/bob?limit=", None, 400, "bad_page", "limit"),
    ("GET", "messages/bob?limit=1.5", None, 400, "bad_page", "limit"),
    ("GET", "messages/bob?limit=99999999999999999999999", None, 400, "bad_page", "limit"),
    ("GET", "messages/bob?limit=%D9%A3", None, 400, "bad_page", "limit"),
    ("GET", "messages/bob?offset=-1", None, 400, "bad_page", "offset"),
    ("GET", "messages/bob?limit=1&limit=2", None, 400, "bad_field", "limit"),
    ("GET", "messages/bob?foo=1", None, 400, "bad_field", "foo"),
    ("GET", "messages/bob?%1B%5B31m=1", None, 400, "bad_field", "\\u{1b}[31m"),
    ("GET", "messages/bob/a%20b", None, 400, "bad_field", "id"),
    ("GET", "messages/bob/" + "x" * 129, None, 400, "bad_field", "id"),
    ("DELETE", "messages/system", None, 400, "name_reserved", "agent"),
    ("POST", "messages/bob/read", {"limit": 0}, 400, "bad_page", "limit"),
    ("POST", "messages/bob/read", {"limit": "5"}, 400, "bad_page", "limit"),
    ("POST", "messages/bob/read", {"wait": -1}, 400, "bad_field", "wait"),
    ("POST", "messages/bob/read", {"wait": 61}, 400, "bad_field", "wait"),
    ("POST", "messages/bob/read", {"wait": "x"}, 400, "bad_field", "wait"),
    ("POST", "messages/bob/read?wait=nan", {}, 400, "bad_field", "wait"),
    ("POST", "messages/bob/read?wait=inf", {}, 400, "bad_field", "wait"),
    ("POST", "messages/bob/read", {"ack": "never"}, 400, "bad_field", "ack"),
    ("POST", "messages/bob/read", {"ack": True}, 400, "bad_field", "ack"),
    ("POST", "messages/bob/read", {"resume": "yes"}, 400, "bad_field", "resume"),
    ("POST", "messages/bob/read", {"consumer": "a b"}, 400, "bad_field", "consumer"),
    ("POST", "messages/bob/read", {"consumer": ""}, 400, "bad_field", "consumer"),
    ("POST", "messages/all/read", {}, 400, "name_reserved", "agent"),
    ("POST", "messages/bob/ack", {"consumer": "c"}, 400, "bad_field", "ids"),
    ("POST", "messages/bob/ack", {"ids": ["m"]}, 400, "bad_field", "consumer"),
    ("POST", "messages/bob/ack", {"ids": [], "consumer": "c"}, 400, "bad_field", "ids"),
    ("POST", "messages/bob/ack", {"ids": "m", "consumer": "c"}, 400, "bad_field", "ids"),
    ("POST", "messages/bob/ack", {"ids": [1], "consumer": "c"}, 400, "bad_field", "ids"),
    ("POST", "messages/bob/ack", {"ids": ["a b"], "consumer": "c"}, 400, "bad_field", "ids"),
    ("POST", "messages/bob/ack", {"ids": ["m"] * 201, "consumer": "c"}, 400, "bad_field", "ids"),
    ("POST", "messages/bob/ack", {"ids": ["m"], "consumer": "c", "delay_ms": 1}, 400, "bad_field", "delay_ms"),
    ("POST", "messages/bob/nack", {"ids": ["m"], "consumer": "c", "delay_ms": -1}, 400, "bad_field", "delay_ms"),
    ("POST", "messages/bob/nack", {"ids": ["m"], "consumer": "c", "delay_ms": 10**12}, 400, "bad_field", "delay_ms"),
    ("POST", "messages/bob/extend", {"ids": [None], "consumer": "c"}, 400, "bad_field", "ids"),
    ("POST", "messages?x=1", GOOD, 400, "bad_field", "x"),
    ("POST", "broadcasts", {}, 400, "bad_field", "body"),
    ("POST", "broadcasts", {"body": ""}, 400, "bad_field", "body"),
    ("POST", "broadcasts", {"body": "x", "to": "bob"}, 400, "bad_field", "to"),
    ("POST", "broadcasts", {"body": "x", "from": "all"}, 400, "name_reserved", "from"),
    ("GET", "broadcasts?limit=1000", None, 400, "bad_page", "limit"),
    ("POST", "broadcasts/bob/read?limit=201", {}, 400, "bad_page", "limit"),
    ("POST", "agents/bob/rename", {}, 400, "bad_field", "name"),
    ("POST", "agents/bob/rename", {"name": 1}, 400, "bad_field", "name"),
    ("POST", "agents/bob/rename", {"name": "a b"}, 400, "bad_name", "name"),
    ("POST", "agents/bob/rename", {"name": "all"}, 400, "name_reserved", "name"),
    ("POST", "agents/a%20b/heartbeat", {}, 400, "bad_name", "agent"),
    ("POST", "agents/bob/heartbeat", {"x": 1}, 400, "bad_field", "x"),
    ("POST", "dead/bob/requeue", {"ids": []}, 400, "bad_field", "ids"),
    ("POST", "dead/bob/requeue", {"ids": ["a b"]}, 400, "bad_field", "ids"),
    ("GET", "history?agent=a%20b", None, 400, "bad_name", "agent"),
    ("GET", "history?before=yesterday", None, 400, "bad_page", "before"),
    ("GET", "history?before=1-1-1", None, 400, "bad_page", "before"),
    ("GET", "history?before=1", None, 400, "bad_page", "before"),
    ("GET", "history?before=٣-٣", None, 400, "bad_page", "before"),
    ("GET", f"history?before={1 << 64}-0", None, 400, "bad_page", "before"),
    ("GET", f"history?before=1-{1 << 64}", None, 400, "bad_page", "before"),
    ("GET", "history?q=", None, 400, "bad_field", "q"),
    ("GET", "history?q=" + "x" * 257, None, 400, "bad_field", "q"),
    ("GET", "history?limit=0", None, 400, "bad_page", "limit"),
    ("GET", "events?since=yesterday", None, 400, "bad_field", "since"),
    ("GET", "events?since=-1", None, 400, "bad_field", "since"),
    ("GET", "events?since=٣", None, 400, "bad_field", "since"),
    ("GET", f"events?since=1-{1 << 64}", None, 400, "bad_field", "since"),
    ("GET", f"events?since={1 << 64}", None, 400, "bad_field", "since"),
    ("GET", "events?type=msg_sned", None, 400, "bad_field", "type"),
    ("GET", "events?type=msg_send,%1B", None, 400, "bad_field", "type"),
    ("GET", "events?agent=a%20b", None, 400, "bad_name", "agent"),
    ("GET", "events?as=bob", None, 400, "bad_field", "as"),
    ("GET", "check/a%20b", None, 400, "bad_name", "agent"),
    ("GET", "health?x=1", None, 400, "bad_field", "x"),
    ("GET", "nowhere", None, 404, "not_found", None),
    ("GET", "messages", None, 405, "method_not_allowed", None),
    ("GET", "messages/", None, 404, "not_found", None),
    ("GET", "messages/bob/", None, 404, "not_found", None),
    ("GET", "messages//x", None, 404, "not_found", None),
    ("GET", "/api/messages%2Fbob", None, 404, "not_found", None),
    ("DELETE", "/api/messages%2Fbob", None, 404, "not_found", None),
    ("DELETE", "/api/he%61lth", None, 405, "method_not_allowed", None),
    ("GET", "/api", None, 404, "not_found", None),
    ("GET", "/api/", None, 404, "not_found", None),
    ("GET", "/API/health", None, 404, "not_found", None),
    ("GET", "/api/../api/nowhere", None, 404, "not_found", None),
    ("GET", "/metricsx", None, 404, "not_found", None),
    ("PUT", "messages", GOOD, 405, "method_not_allowed", None),
    ("PATCH", "messages/bob", {}, 405, "method_not_allowed", None),
    ("HEAD", "messages", None, 405, None, None),  # type: ignore[list-item]
    ("DELETE", "health", None, 405, "method_not_allowed", None),
    ("TRACE", "health", None, 405, "method_not_allowed", None),
    ("BREW", "health", None, 400, "bad_request", None),
    ("POST", "health", {}, 405, "method_not_allowed", None),
    ("GET", "agents/cleanup/now", None, 404, "not_found", None),
]

NOT_JSON_TYPES = [
    None,
    "",
    "text/plain",
    "text/plain;application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/json; charset=latin-1",
    "application/json; charset=bogus",
    "application/json; charset=utf-16",
    "application/json; profile=x",
    "application/jsonx",
    "application/vnd.api+json",
    "text/json",
    "json",
    "*/*",
    "application/json, text/plain",
]


async def nothing_happened(api: Any) -> None:
    """Nobody became known, nothing was stored, the daemon is well."""
    assert (await api.get("health")).status == 200
    assert (await api.get("history")).json["items"] == []
    assert [each["name"] for each in (await api.get("agents")).json["items"] if each["messageCount"]] == []
    assert (await api.get("broadcasts")).json["total"] == 0


def is_refusal(answer: Any) -> None:
    assert answer.json["ok"] is False
    assert answer.json["code"]
    assert answer.json["retryable"] is False
    assert "Traceback" not in answer.text
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


async def test_what_is_not_one_json_object_is_refused_by_every_post(api: Any) -> None:
    for path in POSTS:
        for data, code in NOT_JSON:
            expected = (413, "too_large") if path == "/api/signin" and len(data) > 1024 else (400, code)
            answer = await api.post(path.format(agent="bob"), data=data)
            assert (answer.status, answer.json["code"]) == expected, (path, data[:40], answer.text[:300])
            is_refusal(answer)
            assert len(answer.text) < 1000
    await nothing_happened(api)


def test_a_body_of_many_keys_is_refused_in_linear_time() -> None:
    data = b"{%b}" % b",".join(b'"k%d":1' % number for number in range(12_000))
    data = data[:-1] + b',"k11999":1}'
    began = time.process_time()
    with pytest.raises(PostinoError, match="twice"):
        Body(SendBody).read(data)

    assert time.process_time() - began < 0.25  # a quadratic check took 1.7 s of CPU, this one 0.02 s


async def test_a_bad_send_names_its_field(api: Any) -> None:
    for body, field, code in BAD_SENDS:
        answer = await api.post("messages", body)
        assert (answer.status, answer.json["code"], answer.json["field"]) == (400, code, field), (body, answer.text)
        is_refusal(answer)
    await nothing_happened(api)


async def test_a_refused_character_is_named_with_its_position(api: Any) -> None:
    answer = await api.post("messages", GOOD | {"body": "abc\u202edef"})

    assert answer.json["position"] == 3
    assert "U+202E" in answer.json["error"]


@pytest.mark.parametrize(
    ("escaped", "field", "position"),
    [
        (rb'{"to":"bob","body":"a\ud800b"}', "body", 1),
        (rb'{"to":"bob","body":"\ud83d\ude00\uDC00"}', "body", 1),
        (rb'{"to":"bob","body":"' + b"x" * 40_000 + rb'\udfff"}', "body", 40_000),
        (rb'{"to":"b\udbffb","body":"a"}', "to", 1),
        (rb'{"to":"bob","body":"a","thread":"\ud800"}', "thread", 0),
    ],
)
async def test_half_a_character_is_named_with_its_field_and_position(
    api: Any, escaped: bytes, field: str, position: int
) -> None:
    answer = await api.post("messages", data=escaped)

    assert (answer.status, answer.json["code"]) == (400, "bad_field"), answer.text
    assert (answer.json["field"], answer.json["position"]) == (field, position)
    assert f"{field} contains U+D" in answer.json["error"]
    await nothing_happened(api)


async def test_half_a_character_among_ids_is_named_too(api: Any) -> None:
    answer = await api.post("messages/bob/ack", data=rb'{"ids":["m1","\ud800"],"consumer":"c"}')

    assert (answer.json["code"], answer.json["field"]) == ("bad_field", "ids")


async def test_the_refusal_of_a_long_body_tells_what_escaping_costs(api: Any) -> None:
    data = json.dumps(GOOD | {"body": "é" * 32_768 + "😀"}).encode()
    answer = await api.post("messages", data=data)

    assert (answer.status, answer.json["code"]) == (413, "too_large")
    assert "ensure_ascii=False" in answer.json["error"] and "POSTINO_MAX_BODY_BYTES" in answer.json["error"]
    fixed = await api.post("signin", data=b" " * 1025)  # this limit is no setting
    assert "larger than 1024 bytes;" in fixed.json["error"]
    assert (await api.post("messages", GOOD | {"body": "😀" * 32_768})).status == 200


async def test_every_other_bad_call_gets_its_refusal(api: Any) -> None:
    for method, path, body, status, code, field in BAD_CALLS:
        answer = await api.call(method, path, body, **({} if method == "POST" else {"json": body}))
        assert answer.status == status, (method, path, body, answer.text)
        if method != "HEAD":
            assert (answer.json["code"], answer.json.get("field")) == (code, field), (method, path, body, answer.text)
            is_refusal(answer)
        if status == 405:
            assert answer.headers["Allow"]
    await nothing_happened(api)


@pytest.mark.parametrize("kind", NOT_JSON_TYPES)
async def test_a_post_that_does_not_say_it_is_json_is_refused(api: Any, kind: str | None) -> None:
    for path in POSTS:
        headers = {} if kind is None else {"Content-Type": kind}
        answer = await api.client.request(
            "POST", path.format(agent="bob"), data=b"{}", headers=headers, skip_auto_headers=["Content-Type"]
        )
        said = await answer.json()
        assert (answer.status, said["code"]) == (415, "unsupported_type"), (path, kind, said)
    await nothing_happened(api)


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        'application/json; charset="utf-8"',
        "Application/JSON",
    ],
)
async def test_json_may_be_said_in_many_ways(api: Any, kind: str) -> None:
    assert (await api.post("messages", GOOD, headers={"Content-Type": kind})).status == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity", "zstd"])
async def test_an_encoded_body_is_refused(api: Any, encoding: str) -> None:
    answer = await api.post("messages", data=b"\x1f\x8b", headers={"Content-Encoding": encoding})

    assert (answer.status, answer.json["code"]) == (415, "unsupported_type")
    await nothing_happened(api)


async def test_a_body_that_is_too_long_is_refused_said_or_chunked(api: Any) -> None:
    async def chunks() -> Any:
        for _ in range(40):
            yield b" " * 10_000

    for data in (b" " * 196_609, chunks()):
        answer = await api.post("messages", data=data)
        assert (answer.status, answer.json["code"]) == (413, "too_large")
        assert answer.headers["Connection"] == "close"
    await nothing_happened(api)


async def test_a_chunked_body_that_comes_with_its_head_is_measured_too(connect: Any, open_broker: Any) -> None:
    broker = await open_broker(max_body_bytes=1024)
    client = await connect(broker, broker.settings)
    host = f"127.0.0.1:{client.port}"
    head = f"POST /api/messages HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)

    writer.write(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n401\r\n" + b" " * 1025 + b"\r\n0\r\n\r\n")
    status = await reader.readline()
    writer.close()

    assert status.split()[1] == b"413"


async def test_a_delete_takes_no_body(api: Any) -> None:
    answer = await api.call("DELETE", "messages/bob", json={"really": True})

    assert (answer.status, answer.json["code"]) == (400, "bad_request")


async def test_an_unknown_expectation_is_refused_as_json(api: Any) -> None:
    answer = await api.post("messages", GOOD, headers={"Expect": "the unexpected"})

    assert (answer.status, answer.json["code"]) == (400, "bad_request")
    assert (await api.post("messages", GOOD, headers={"Expect": "100-continue"}, expect100=True)).status == 200


async def test_a_key_that_is_no_id_is_refused(api: Any) -> None:
    for key in ("", "a b", "x" * 129, "ä"):
        answer = await api.post("messages", GOOD, headers={"Idempotency-Key": key})
        assert (answer.status, answer.json["field"]) == (400, "Idempotency-Key"), key
    await nothing_happened(api)


def test_a_key_that_stands_twice_is_found_however_it_is_written() -> None:
    read = Body(SendBody).read

    assert read(b'{"to":"bob","body":"\\"to\\": \\"eve\\", to"}').to == "bob"
    assert read(b'{"to":"body","body":"to"}').body == "to"
    for doubled in (b'{"to":"bob","to":"eve","body":"x"}', b'{"to":"bob","t\\u006f":"eve","body":"x"}'):
        with pytest.raises(BadRequest, match="twice"):
            read(doubled)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
bodies = st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode())
near = st.fixed_dictionaries(
    {}, optional={name: json_values | st.text() for name in ("to", "body", "from", "id", "thread", "reply_to", "x")}
).map(lambda value: json.dumps(value).encode())


@given(bodies | near)
def test_any_bytes_become_a_record_or_a_refusal(data: bytes) -> None:
    for kind in (SendBody, ReadQuery):
        try:
            assert isinstance(Body(kind).read(data), kind)
        except BadRequest as refused:
            assert refused.message


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.text(st.characters(codec="utf-8", exclude_characters="\r\n #?"), max_size=20),
    query=st.text(st.characters(codec="ascii", exclude_characters="\r\n #"), max_size=20),
    method=st.sampled_from(["GET", "POST", "DELETE", "PUT"]),
    data=bodies,
)
def test_no_request_makes_a_500(raw_daemon: Any, path: str, query: str, method: str, data: bytes) -> None:
    head = (
        f"{method} /api/{path}?{query} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    )
    answer = raw_daemon(head.encode("utf-8", "surrogateescape") + data)
    status = int(answer.split(b" ", 2)[1])
    assert 200 <= status < 500, answer
    if status >= 400:
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["ok"] is False


@pytest.fixture
def raw_daemon(served: Any) -> Any:
    """Send bytes to a real daemon's unix socket; return all that comes back."""
    import socket

    def ask(request: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(5)
            line.connect(str(served.home.socket))
            line.sendall(request)
            answer = b""
            while part := line.recv(1 << 16):
                answer += part
            return answer

    return ask


async def test_two_hundred_bad_requests_at_once_disturb_nobody(api: Any) -> None:
    bad = [api.post("messages", data=NOT_JSON[number % len(NOT_JSON)][0]) for number in range(200)]
    good = [api.post("messages", GOOD) for _ in range(20)]
    answers = await asyncio.gather(*bad, *good)

    assert [each.status for each in answers] == [400] * 200 + [200] * 20
