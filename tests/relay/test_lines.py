"""What a client may write to the relay, line by line, and a client that does not read."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from postino.relay.lines import LINE_LIMIT

DEEP = b'{"jsonrpc":"2.0","id":7,"method":"ping","params":%s%s}'


@pytest.mark.parametrize(
    ("line", "code", "id"),
    [
        (b"nonsense", -32700, None),
        (b'{"jsonrpc":"2.0","id":1,', -32700, None),
        (b"\xff\xfe{}", -32700, None),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":NaN}}', -32700, None),
        (b"[" * 100_000, -32600, None),
        (DEEP % (b'{"x":' * 100 + b"1", b"}" * 100), -32600, 7),
        (DEEP % (b'{"x":' * 980 + b"1", b"}" * 980), -32600, 7),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600, None),
        (b'{"postino":"written","id":1}', -32600, None),
        (b'{"postino":1,"jsonrpc":"2.0","id":1,"method":"ping"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":7,"method":5}', -32600, 7),
        (b'{"jsonrpc":"1.0","id":7,"method":"ping"}', -32600, 7),
        (b'{"jsonrpc":"2.0","id":7,"method":"ping","params":{"x":"%s"}}' % (b"x" * LINE_LIMIT), -32600, 7),
        (b'{"method":"ping","params":{"x":"%s"},"jsonrpc":"2.0","id":"a7"}' % (b"x" * LINE_LIMIT), -32600, "a7"),
        (b"x" * (3 * LINE_LIMIT), -32600, None),
    ],
)
async def test_a_line_that_is_no_request_is_answered_and_the_connection_lives(steady, spawn, line, code, id):
    relay = await spawn(steady.env, POSTINO_AGENT_NAME=steady.name)
    relay.send(line)
    assert (await relay.answer(id))["error"]["code"] == code
    assert (await relay.call("msg_check"))["agent"] == steady.name


async def test_a_hundred_levels_and_any_number_of_brackets_in_a_text_are_no_harm(steady, spawn):
    relay = await spawn(steady.env, POSTINO_AGENT_NAME=steady.name)
    relay.send(DEEP % (b'{"x":' * 99 + b'"[[["', b"}" * 99))
    assert (await relay.answer(7))["result"] == {}
    assert (await relay.call("msg_send", to=steady.name, body="[{" * 1000))["created"]


async def test_empty_lines_and_carriage_returns_do_no_harm(steady, spawn):
    relay = await spawn(steady.env, POSTINO_AGENT_NAME=steady.name)
    relay.send(b"")
    relay.send(b"\r")
    relay.send(b'{"jsonrpc":"2.0","id":"cr","method":"ping"}\r')
    assert (await relay.answer("cr"))["result"] == {}


async def test_a_line_may_arrive_in_any_pieces(steady, spawn):
    relay = await spawn(steady.env, POSTINO_AGENT_NAME=steady.name)
    call = json.dumps(
        {
            "jsonrpc": "2.0",
            "id": "slow",
            "method": "tools/call",
            "params": {"name": "msg_send", "arguments": {"to": steady.name, "body": "\u4f60\U0001f4ec" * 50}},
        },
        ensure_ascii=False,
    ).encode()
    for at in range(0, len(call), 7):
        relay.writer.write(call[at : at + 7])
        await relay.writer.drain()
        await asyncio.sleep(0)
    relay.send(b"")
    assert "result" in await relay.answer("slow")
    (message,) = (await relay.call("msg_read"))["messages"]
    assert message["body"] == "\u4f60\U0001f4ec" * 50


async def test_the_largest_body_passes_whatever_it_is_made_of(steady, spawn):
    relay = await spawn(steady.env, POSTINO_AGENT_NAME=steady.name)
    body = '\\"\n\U0001f4ec' * 8192
    await relay.call("msg_send", to=steady.name, body=body)
    assert (await relay.call("msg_read"))["messages"][0]["body"] == body


async def test_a_send_without_an_id_is_given_one_by_the_relay(steady, spawn):
    relay = await spawn(steady.env, POSTINO_AGENT_NAME=steady.name)
    assert len((await relay.call("msg_send", to=steady.name, body="x", id=None))["id"]) == 32
    assert (await relay.call("msg_send", to=steady.name, body="x", id="mine"))["id"] == "mine"
    assert len((await relay.call("msg_broadcast", body="x"))["id"]) == 32


async def test_what_is_not_served_is_answered_at_once(steady, spawn):
    relay = await spawn(steady.env, POSTINO_AGENT_NAME=steady.name)
    for method in ("server/discover", "subscriptions/listen", "postino/x"):
        assert (await relay.ask(method, {}))["error"]["code"] == -32601


# a client that does not read


async def test_a_client_that_does_not_read_costs_bounded_memory_and_loses_nothing(steady, spawn):
    relay = await spawn(steady.env, POSTINO_AGENT_NAME=steady.name)
    body = "x" * 30_000
    for number in range(40):
        await relay.call("msg_send", to=steady.name, body=body, id=f"m{number}")
    before = relay.rss_kb()
    relay.reader._transport.pause_reading()
    asked = [relay.tool("msg_read", limit=1) for _ in range(40)]
    pings = [relay.request("ping", {"_meta": {"pad": "y" * 4000}}) for _ in range(1500)]
    async with asyncio.timeout(30):
        while not stuck(relay):  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0.02)
    assert relay.rss_kb() - before < 12_000
    relay.reader._transport.resume_reading()
    got = [(await relay.answer(each))["result"] for each in asked]
    ids = {json.loads(each["content"][0]["text"])["messages"][0]["id"] for each in got}
    assert ids == {f"m{number}" for number in range(40)}
    for each in pings:
        assert (await relay.answer(each))["result"] == {}


def stuck(relay: Any) -> bool:
    """Whether the process sleeps with its stdin left unread: its client is not reading either."""
    return (
        relay.writer.transport.get_write_buffer_size() > 0
        and "S (sleeping)" in Path(f"/proc/{relay.process.pid}/status").read_text()
    )


async def test_it_writes_nothing_but_json_rpc_even_at_debug(replaceable, spawn):
    relay = await spawn(replaceable.env, POSTINO_LOG_LEVEL="debug", POSTINO_AGENT_NAME="bob")
    relay.send(b"nonsense")
    replaceable.kill()
    assert (await relay.call("msg_whoami"))["agent"] == "bob"  # every line on the way was checked
    code, stderr = await relay.leave()
    assert code == 0 and b"postino mcp: daemon lost" in stderr
