"""Questions by the SDK's own clients over real relays: answered, interrupted by a kill, and by ten at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest

from tests.waiting import eventually


async def call(client: Any, tool: str, **arguments: Any) -> Any:
    result = await client.call_tool(tool, arguments)
    return json.loads(result.content[0].text)


async def answers(client: Any, count: int = 1) -> None:
    """Read until `count` questions came, and answer each by its id, which wants no further reply."""
    while count:
        for each in (await call(client, "msg_read"))["messages"]:
            if each["expects"] == "none":  # the reply that another call of this client waits for: it was read first
                continue
            await call(client, "msg_send", body=f"answer to {each['body']}", reply_to=each["id"], expects="none")
            count -= 1


async def test_two_sdk_clients_ask_and_answer(steady, sdk_client):
    async with sdk_client(steady.env, f"{steady.name}-a") as ann, sdk_client(steady.env, f"{steady.name}-b") as bob:
        asking = asyncio.ensure_future(call(ann, "msg_ask", to=f"{steady.name}-b", body="who?", timeout=60))
        await answers(bob)
        said = await asking
        assert (said["reply"]["body"], said["reply"]["from"]) == ("answer to who?", f"{steady.name}-b")
        assert (await call(ann, "msg_check"))["unreadMessages"] == 0


@pytest.mark.timeout(120)
async def test_ten_sdk_clients_ask_each_other_at_once(steady, sdk_client):
    names = [f"{steady.name}-{number}" for number in range(10)]
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(sdk_client(steady.env, name)) for name in names]
        asked = [
            asyncio.ensure_future(call(client, "msg_ask", to=names[(at + 1) % 10], body=names[at], timeout=100))
            for at, client in enumerate(clients)
        ]
        await asyncio.gather(*map(answers, clients))
        for at, said in enumerate(await asyncio.gather(*asked)):
            assert said["reply"]["body"] == f"answer to {names[at]}"
            assert said["reply"]["from"] == names[(at + 1) % 10]


async def test_a_question_survives_the_daemon_that_waits(replaceable, spawn):
    """Killed while it waits: the relay asks again under the same id, the question is stored once, the reply arrives."""
    ann, bob = [await spawn(replaceable.env, POSTINO_AGENT_NAME=name) for name in ("ann", "bob")]
    asking = ann.tool("msg_ask", to="bob", body="who?", timeout=100)
    (question,) = await some_mail(bob)
    replaceable.kill()
    await bob.call("msg_send", body="me", reply_to=question["id"])

    said = json.loads((await ann.answer(asking, 60))["result"]["content"][0]["text"])

    assert (said["reply"]["body"], said["created"]) == ("me", False)
    await asyncio.sleep(0.1)  # so long that the next call acknowledges
    assert (await ann.call("msg_read"))["messages"] == []
    assert [each["id"] for each in (await bob.call("msg_read"))["messages"]] in ([], [question["id"]])


async def test_a_client_killed_after_the_reply_was_given_loses_nothing(steady, spawn):
    ann, bob = [await spawn(steady.env, POSTINO_AGENT_NAME=f"{steady.name}-{each}") for each in "ab"]
    asking = ann.tool("msg_ask", to=f"{steady.name}-b", body="who?", timeout=100)
    (question,) = await some_mail(bob)
    await bob.call("msg_send", body="me", reply_to=question["id"])
    await ann.answer(asking)
    ann.kill()  # before anything shows that its model has seen the answer

    again = await spawn(steady.env, POSTINO_AGENT_NAME=f"{steady.name}-a")
    (item,) = await some_mail(again)
    assert (item["body"], item["redelivered"]) == ("me", True)


async def some_mail(relay: Any) -> list[Any]:
    async def came() -> list[Any]:
        found: list[Any] = (await relay.call("msg_read"))["messages"]
        return found

    items: list[Any] = await eventually(came)
    return items
