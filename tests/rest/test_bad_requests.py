"""Requests that are wrong before their JSON is read: kinds, encodings, lengths, expectations, keys, any bytes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postino.errors import BadRequest
from postino.rest.parse import Body
from postino.rest.records import Asked, ReadQuery, SendBody
from tests.rest.refusals import GOOD, NOT_JSON, POSTS, nothing_happened
from tests.waiting import PATIENCE_S

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


@pytest.mark.parametrize("kind", NOT_JSON_TYPES)
async def test_a_post_that_does_not_say_it_is_json_is_refused(api: Any, kind: str | None) -> None:
    for path in POSTS:
        headers = {} if kind is None else {"Content-Type": kind}
        answer = await api.client.request(
            "POST",
            path.format(agent="bob", group="team"),
            data=b"{}",
            headers=headers,
            skip_auto_headers=["Content-Type"],
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


class Listed(Asked, frozen=True, kw_only=True):
    """A body with a member that is not None when it is not given."""

    name: str | None = None
    ids: list[str] = []


def test_a_key_that_stands_twice_is_found_beside_a_member_with_a_value_of_its_own() -> None:
    assert Body(Listed).read(b'{"name":"x"}') == Listed(name="x")
    with pytest.raises(BadRequest, match="twice"):
        Body(Listed).read(b'{"name":null,"name":"x"}')


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
            line.settimeout(PATIENCE_S)
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
