"""Thousands of raw HTTP requests, whole and broken: no 500, no traceback, and each answer is what the API documents."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

import msgspec
import pytest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from postino.errors import ERRORS
from postino.rest.page import KINDS
from postino.rest.route import NDJSON, Route
from postino.rest.routes import ROUTES
from tests.attacks import ESCAPES, attacked, closed, damaged, in_parts, no_failure_in, value, with_hostile_field
from tests.daemons import Daemon

REQUESTS = 16_000  # not half of which get an answer: others come behind one that ends their connection
AT_ONCE = 8  # connections
PATIENCE_S = 40.0
ANSWER = re.compile(rb"HTTP/[0-9]\.[0-9] ")  # aiohttp repeats the version of the request

METHODS = ["GET", "POST", "DELETE", "HEAD", "PUT", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW", "get", "G\x00T", ""]
PARTS = ["bob", "eve", "m1", "cleanup", "..", "%2e%2e", "%00", "%0d%0a", "%", "%zz", "\xff", "a b", "x" * 300, "%2F"]
PATHS = ["/", "//", "/api", "/api/", "*", "http://evil.example/", "http://[", "/%", "/api/messages/", "/web/../x", "x"]
QUERIES = ["limit=5", "limit=0", "limit=x", "limit=5&limit=6", "wait=1", "offset=-1", "q=%00", "token=x", "a", "&", "%"]
VERSIONS = ["HTTP/1.1"] * 100 + ["HTTP/1.0", "HTTP/2.0", "HTTP/9.9", "HTTP/1", "http/1.1", "", "HTTP/1.1 x"]
HEADERS = [
    "Content-Type: text/plain",
    "Content-Type: application/json; charset=utf-16",
    "Content-Type: multipart/form-data; boundary=x",
    "Content-Encoding: gzip",
    "Content-Length: 5",
    "Content-Length: -1",
    "Content-Length: 99999999999999999999",
    "Content-Length: 0x10",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: identity",
    "Expect: 100-continue",
    "Expect: 200-ok",
    "Connection: close",
    "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13",
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x",
    "Host: evil.example",
    "Origin: http://evil.example",
    "Origin: null",
    "Sec-Fetch-Site: cross-site",
    "Authorization: Bearer x",
    "Authorization: \xff",
    "Cookie: a=b",
    "Range: bytes=0-1",
    "If-None-Match: *",
    "Accept: text/plain",
    "Accept: \x01",
    "Idempotency-Key: k1",
    "Idempotency-Key: \x1b[31m",
    "Idempotency-Key: " + "k" * 200,
    "X-Postino-Consumer: s-0123456789abcdef",
    "X-Postino-Consumer: a b",
    "X-Postino-Via: mcp",
    "X-Postino-As: bob",
    "X-Postino-As: all",
    "X-Postino-Agent: a\tb",
    "X-Claude-Pid: 1",
    "X-Claude-Socket: ../../x",
    "Last-Event-ID: 0-0",
    "Last-Event-ID: 99999999999999999999-1",
    "X-Forwarded-For: 127.0.0.1",
    "X-HTTP-Method-Override: DELETE",
    "X-Long: " + "y" * 9000,
    "No-Colon",
    " folded: value",
    "Bad Name: x",
    "X: a\x00b",
]
#: answers that are not JSON: the page, streams, the hint of /api/check, and the metrics
DOCUMENTED = (*KINDS.values(), NDJSON, "text/event-stream", "text/plain; charset=utf-8", CONTENT_TYPE_PLAIN_0_0_4)
SAMPLES: dict[str, Any] = {
    "to": "bob",
    "body": "hello",
    "from": "eve",
    "thread": "t",
    "limit": 3,
    "wait": 1,
    "ack": "now",
    "consumer": "c-1",
    "delay_ms": 5,
    "name": "eve2",
    "ids": ["m1"],
    "code": "0",
    "resume": True,
}


class Sent(NamedTuple):
    """What goes out on one connection: some requests in a row, the last of which may be cut short."""

    data: bytes
    requests: int
    unix: bool


def body(random: Random, route: Route) -> bytes:
    names = [each.encode_name for each in msgspec.structs.fields(route.body)]
    record = {name: SAMPLES.get(name, "x") for name in names if random.random() < 0.8}
    kind = random.random()
    if kind < 0.3:
        return json.dumps(record).encode()
    if kind < 0.7:
        return json.dumps(with_hostile_field(random, record), ensure_ascii=random.random() < 0.5).encode(
            "utf-8", "surrogatepass"
        )
    if kind < 0.8:
        return json.dumps(value(random)).encode()
    if kind < 0.9:
        return damaged(random, json.dumps(record).encode())
    return random.choice(
        [b"", b"[" * 5000, b'{"to":"bob","to":"eve","body":"x"}', b"\xef\xbb\xbf{}", b"\xff", random.randbytes(50)]
    )


def chunked(random: Random, data: bytes) -> bytes:
    at = random.randrange(len(data) + 1)
    size = random.choice(["%x", "%X", "0%x", "%x;extension=1", "%x \t", "-%x", "0x%x", "%xg", "%xffffffffffffffff"])
    pieces = b"".join((size % len(part)).encode() + b"\r\n" + part + b"\r\n" for part in (data[:at], data[at:]) if part)
    return pieces + random.choice([b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nTrailer: x\r\n\r\n", b"", b"0\r\n"])


def target(random: Random, route: Route) -> str:
    if random.random() < 0.06:
        path = random.choice(PATHS)
    else:
        part = random.choice([*PARTS, *ESCAPES] if random.random() < 0.4 else ["bob", "eve", "m1", "Stop"])
        path = re.sub(r"{[^}]+}", lambda _: part.replace("\n", ""), route.path)
    if random.random() < 0.2:
        path += "?" + "&".join(random.choice(QUERIES) for _ in range(random.randrange(3)))
    return path


def request(random: Random, host: str) -> bytes:
    route = random.choice(ROUTES)
    method = route.method if random.random() < 0.8 else random.choice(METHODS)
    lines = [f"{method} {target(random, route)} {random.choice(VERSIONS)}"]
    if random.random() < 0.99:
        lines.append(f"Host: {host}")
    data = body(random, route) if method == "POST" or random.random() < 0.05 else b""
    if data and random.random() < 0.9:
        lines.append("Content-Type: application/json")
    if data and random.random() < 0.2:
        data = chunked(random, data)
        lines.append("Transfer-Encoding: chunked")
    elif data and random.random() < 0.95:
        lines.append(f"Content-Length: {len(data)}")
    lines += random.sample(HEADERS, random.choice([0, 0, 0, 0, 0, 0, 1, 1, 2]))
    made = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + data
    return damaged(random, made) if random.random() < 0.06 else made


def connections(random: Random, host: str) -> Iterator[Sent]:
    left = REQUESTS
    while left:
        count = min(left, random.choice([1, 1, 1, 2, 3, 6]))
        data = b"".join(request(random, host) for _ in range(count))
        if random.random() < 0.1:
            data = data[: random.randrange(len(data))]
        left -= count
        yield Sent(data, count, random.random() < 0.2)


async def answer_to(daemon: Daemon, sent: Sent) -> bytes:
    """Send the requests and no more after them; return all that comes back until the daemon closes."""
    if sent.unix:
        reader, writer = await asyncio.open_unix_connection(str(daemon.home.socket))
    else:
        reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
    answer = b""
    try:
        async with asyncio.timeout(PATIENCE_S):
            writer.write(sent.data)
            writer.write_eof()
            while part := await reader.read(1 << 16):
                answer += part
    except (ConnectionError, OSError):
        pass  # the daemon closed before it had read everything
    except TimeoutError:
        pytest.fail(f"no end of the answer to {sent}: {answer[:500]!r}")
    finally:
        await closed(writer)
    return answer


def check(sent: Sent, answer: bytes) -> list[int]:
    """Check everything that came back on one connection; return the status of each answer."""
    statuses = []
    while ANSWER.match(answer):
        head, _, answer = answer.partition(b"\r\n\r\n")
        status = int(head.split(b" ")[1])
        if status == 100:
            continue
        statuses.append(status)
        pairs = (each.partition(": ") for each in head.decode().split("\r\n"))
        fields = {name.lower(): text for name, _, text in pairs}
        assert fields["server"] == "postino", head
        assert not [name for name in fields if name.startswith("access-control") or name == "set-cookie"]
        if "content-length" not in fields:  # a stream, the last answer of its connection
            assert status == 200 and fields["content-type"] in ("text/event-stream", NDJSON), head
            return statuses
        length = int(fields.get("content-length", 0))
        has_body = length and not ANSWER.match(answer) and answer  # HEAD has the length and no body
        data, answer = (answer[:length], answer[length:]) if has_body else (b"", answer)
        documented(status, fields["content-type"], data, sent)
    assert answer == b"" or (sent.unix and sent.data.startswith(b"{")), (sent, answer[:200])
    return statuses


def documented(status: int, kind: str, data: bytes, sent: Sent) -> None:
    """Check that an answer is JSON with a code of the table of errors, or a file of the page."""
    assert status < 500 or status == 503, (status, data, sent)
    if status == 200 and not kind.startswith("application/json"):
        assert kind in DOCUMENTED, kind
        return
    assert kind.startswith("application/json"), (status, kind, sent)
    if data and status != 200:
        told = json.loads(data)
        if told.get("jsonrpc") == "2.0":  # of /mcp
            assert told["error"]["message"]
            return
        assert told["ok"] is False
        if "code" in told:
            assert ERRORS[told["code"]].http == status, told
    elif data:
        json.loads(data)


async def test_no_request_makes_the_daemon_fail(served: Daemon) -> None:
    everything = list(connections(Random(5), f"127.0.0.1:{served.port}"))
    statuses: Counter[int] = Counter()
    for part in in_parts(everything, AT_ONCE):
        came = await asyncio.gather(*(answer_to(served, sent) for sent in part))
        for sent, answer in zip(part, came, strict=True):
            statuses.update(check(sent, answer))

    assert statuses[200] > 500 and len(statuses) > 8, statuses  # they reach what is behind the checks
    assert served.health()["ok"] is True
    no_failure_in(served.home.log)
    attacked("Random HTTP requests: methods, paths, headers, bodies, chunks, pipelined, truncated", statuses.total())
