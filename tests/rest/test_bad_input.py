"""Bad input: each piece of it gets the contract's refusal, changes nothing, and never is a 500."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from postino.errors import PostinoError
from postino.rest.parse import Body
from postino.rest.records import SendBody
from tests.rest.refusals import GOOD, NOT_JSON, POSTS, nothing_happened

#: bodies of POST /api/messages, with the field that is named
BAD_SENDS: list[tuple[Any, str, str]] = [
    ({}, "body", "bad_field"),
    ({"to": "bob"}, "body", "bad_field"),
    ({"body": "x"}, "to", "bad_field"),
    *[(GOOD | {"to": wrong}, "to", "bad_field") for wrong in (None, 1, 1.5, True, [], {}, ["bob", 1])],
    (GOOD | {"to": None, "reply_to": "m1"}, "from", "bad_field"),
    *[(GOOD | {"expects": wrong}, "expects", "bad_field") for wrong in (1, [], "", "thanks", True)],
    *[(GOOD | {"body": wrong}, "body", "bad_field") for wrong in (None, 1, True, [], {}, ["x"])],
    *[(GOOD | {"from": wrong}, "from", "bad_field") for wrong in (1, True, [], {})],
    *[
        (GOOD | {"id": wrong}, "id", "bad_field")
        for wrong in (1, True, [], {}, "", "a b", "ä", "x" * 129, "a/b", "a\n")
    ],
    *[(GOOD | {"thread": wrong}, "thread", "bad_field") for wrong in (1, [], "", " a", "a\nb", "x" * 121)],
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
    *[(GOOD | {"to": name}, "to", "name_reserved") for name in ("all", "system", "postino", "ALL", "System")],
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
    ("GET", "messages/bob?after=m1", None, 400, "bad_page", "after"),
    ("GET", "messages/bob?before=1", None, 400, "bad_page", "before"),
    ("GET", "messages/bob?before=1-1&after=1-1", None, 400, "bad_page", "before"),
    ("GET", "dead/bob?offset=1&after=1-1", None, 400, "bad_page", "after"),
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
    ("GET", "events?since=1-0h", None, 400, "bad_field", "since"),
    ("GET", "events?since=1-0x1-0", None, 400, "bad_field", "since"),
    ("GET", f"events?since=1-0e1-{1 << 64}", None, 400, "bad_field", "since"),
    ("GET", f"events?since=1-0h{10**15}-0", None, 400, "bad_field", "since"),
    ("GET", "events?since=1-0h1-0e1-0", None, 400, "bad_field", "since"),
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
            answer = await api.post(path.format(agent="bob", group="team"), data=data)
            assert (answer.status, answer.json["code"]) == expected, (path, data[:40], answer.text[:300])
            is_refusal(answer)
            assert len(answer.text) < 1000
    await nothing_happened(api)


GIVEN = [
    *(
        '"from":"ada"',
        '"thread":"a \\"b\\": c"',
        '"thread":null',
        '"id" : "m1"',
        '"choices":["yes","no"]',
        '"wait_reply":1',
    ),
    *('"from":null', '"choices":null', '"wait_reply":2', '"to":"bob"', '"expects":"reply"'),
]


@pytest.mark.parametrize("again", GIVEN)
@pytest.mark.parametrize("before", GIVEN)
def test_a_key_that_is_there_twice_is_found_whatever_its_values_are(before: str, again: str) -> None:
    data = f'{{{before},"body":"x",{again}}}'.encode()
    if before.partition(":")[0].strip() != again.partition(":")[0].strip():
        assert Body(SendBody).read(data).body == "x"
        return
    with pytest.raises(PostinoError, match="twice"):
        Body(SendBody).read(data)


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
