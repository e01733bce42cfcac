"""Whatever is written to the daemon's relay socket or to a relay's stdin is answered, and harms no other line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from postino.relay.lines import LINE_LIMIT
from tests.attacks import attacked, closed, damaged, in_parts, no_failure_in, value, with_hostile_field
from tests.daemons import Daemon, scratch_daemon
from tests.relays import HELLO, INITIALIZE, Lines, real_relays

PLAIN: list[dict[str, Any]] = [
    {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {}},
    {"jsonrpc": "2.0", "id": "a", "method": "initialize", "params": INITIALIZE},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}},
    {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "msg_check", "arguments": {}}},
    {
        "jsonrpc": "2.0",
        "id": 4,
        "method": "tools/call",
        "params": {"name": "msg_send", "arguments": {"to": "eve", "body": "x", "id": "f1", "thread": "t"}},
    },
    {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "msg_ack", "arguments": {"ids": ["m"]}}},
    {"jsonrpc": "2.0", "id": 6, "method": "resources/read", "params": {"uri": "postino://inbox/bob"}},
    {"jsonrpc": "2.0", "id": 7, "method": "prompts/get", "params": {"name": "send-message", "arguments": {"to": "a"}}},
    {
        "jsonrpc": "2.0",
        "id": 8,
        "method": "completion/complete",
        "params": {"ref": {"type": "ref/prompt", "name": "send-message"}, "argument": {"name": "to", "value": "b"}},
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 3}},
    {"jsonrpc": "2.0", "id": 9, "result": {}},
]
CONTROLS: list[dict[str, Any]] = [
    {"postino": "written", "id": 3},
    {"postino": "woken", "msg_id": "m", "ok": True},
    {"postino": "hello", "session": "s-2", "generation": 2, "name": "eve"},
]
GREETING: dict[str, Any] = {
    "postino": "hello",
    "version": "0",
    "session": "s-9",
    "generation": 1,
    "name": "eve",
    "terminal": "abc",
    "directory": "/work",
    "host": "h",
    "claude": {"pid": 1, "start": 2, "socket": "/tmp/x", "session_id": "c"},
}
KNOWN = [
    b"5",
    b"null",
    b"{{{",
    b"[]",
    b"true",
    b'"text"',
    b"",
    b"\xff\xfe",
    b"[" * 5000,
    b'{"a":' * 5000,
    b'{"postino":',
    b'{"postino":}',
    b'{"postino":1}',
    b'{"postino":' + b"[" * 2000,
    b'{"jsonrpc":"2.0","id":NaN,"method":"ping"}',
    b'{"jsonrpc":"2.0","id":1e999,"method":"ping"}',
    b'{"jsonrpc":"2.0","id":%s,"method":"ping"}' % (b"9" * 5000),
    b"x" * (LINE_LIMIT + 10),
]
FIRST, TO_DAEMON, TO_RELAY = 300, 2_000, 1_000
BATCH = 50  # lines, after which the connection must still answer


@pytest.fixture(scope="module")
def served() -> Iterator[Daemon]:
    """A daemon for this file; none of what it was sent may leave an error in its log."""
    with scratch_daemon() as started:
        yield started
        no_failure_in(started.home.log)


def compact(record: Any) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode()


def line(random: Random, records: list[dict[str, Any]]) -> bytes:
    record = random.choice(records)
    made = compact(random.choice([record, with_hostile_field(random, record), value(random)]))
    return (damaged(random, made) if random.random() < 0.4 else made).replace(b"\n", b"")


async def survives(peer: Lines, sent: list[bytes], name: str) -> None:
    """Send lines; the connection must answer a request after them."""
    for each in sent:
        peer.send(each)
    peer.send({"jsonrpc": "2.0", "id": name, "method": "ping"})
    while (message := await peer.next()).get("id") != name:
        assert message.get("jsonrpc") == "2.0" or "postino" in message
    assert message["result"] == {}


async def test_no_line_ends_a_connection_to_the_daemon(served: Daemon) -> None:
    random = Random(1)
    lines = [*KNOWN, *(line(random, [*PLAIN, *CONTROLS]) for _ in range(TO_DAEMON))]
    reader, writer = await asyncio.open_unix_connection(str(served.home.socket), limit=1 << 22)
    peer = Lines(reader, writer)
    peer.send(HELLO.strip())
    assert (await peer.next())["postino"] == "welcome"
    await peer.open()
    for number, sent in enumerate(in_parts(lines, BATCH)):
        await survives(peer, sent, f"p{number}")
    await closed(writer)

    no_failure_in(served.home.log)
    attacked("Lines on the daemon's socket for relays: not JSON, not JSON-RPC, damaged", len(lines))


async def test_no_first_line_disturbs_the_daemon(served: Daemon) -> None:
    random = Random(2)
    firsts = [b"{" + each[1:] for each in KNOWN if each]
    while len(firsts) < FIRST:
        made = compact(with_hostile_field(random, GREETING))
        firsts.append((damaged(random, made) if random.random() < 0.4 else made).replace(b"\n", b""))
    for sent in in_parts(firsts, 25):
        async with asyncio.timeout(20):
            await asyncio.gather(*(greeted(served, each) for each in sent))

    assert served.health()["ok"] is True
    no_failure_in(served.home.log)
    attacked("First lines on the daemon's socket for relays", len(firsts))


async def greeted(served: Daemon, first: bytes) -> None:
    """Send a first line and nothing more; what comes back must be one line of JSON at most."""
    reader, writer = await asyncio.open_unix_connection(str(served.home.socket))
    try:
        writer.write(first + b"\n")
        writer.write_eof()
        answer = await reader.read()
    except ConnectionError:
        return
    finally:
        await closed(writer)
    if answer.startswith(b"{"):
        assert json.loads(answer.splitlines()[0])["postino"] in ("welcome", "refused")
    else:
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400")


async def test_no_line_of_a_client_ends_its_relay(served: Daemon) -> None:
    random = Random(3)
    lines = [*KNOWN, *(line(random, [*PLAIN, *CONTROLS]) for _ in range(TO_RELAY))]
    async with real_relays() as spawn:
        relay = await spawn(served.env, POSTINO_AGENT_NAME="mallory")
        for number, sent in enumerate(in_parts(lines, BATCH)):
            await survives(relay, sent, f"p{number}")
        code, stderr = await relay.leave()

    assert (code, stderr) == (0, b"")
    no_failure_in(served.home.log)
    attacked("Lines on a relay's stdin", len(lines))
