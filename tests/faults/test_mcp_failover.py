"""MCP sessions while the primary of their Valkey dies: nothing accepted is lost, and what waits goes on waiting."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from postino.paths import Home
from tests.daemons import daemon_of
from tests.nodes import watched
from tests.relays import RealRelay, real_relays

pytestmark = pytest.mark.timeout(300)
PATIENCE_S = 150.0  # a deadline: Sentinels try a failed failover again after 20 s, on a busy machine several times
MAIL = [f"m{number}" for number in range(8)]
INBOX = {"uri": "postino://inbox/bob"}
QUESTION = {
    "name": "msg_ask",
    "arguments": {"to": "bob", "body": "?", "id": "question", "timeout": PATIENCE_S},
    "_meta": {"progressToken": 1},  # so that it is waited for so long
}


async def done(relay: RealRelay, tool: str, **arguments: Any) -> Any:
    """Call a tool until it is carried out; meanwhile it may only be said that the store is away, or nobody answers."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = await relay.answer(relay.tool(tool, **arguments))
            if "error" in answer:
                assert answer["error"]["data"]["outcome"] == "unknown", answer
                continue
            said = json.loads(answer["result"]["content"][0]["text"])
            if "code" not in said:
                return said
            assert (said["code"], said["retryable"]) == ("store_away", True), said


async def read_until(relay: RealRelay, wanted: set[str]) -> list[Any]:
    """Read until all of `wanted` have come; return what came."""
    came: list[Any] = []
    async with asyncio.timeout(PATIENCE_S):
        while not wanted <= {each["id"] for each in came}:
            came += (await done(relay, "msg_read"))["messages"]
    return came


async def told_of_mail(relay: RealRelay) -> None:
    """Return when the client has been told that its inbox changed."""
    async with asyncio.timeout(PATIENCE_S):
        while not any(each["method"] == "notifications/resources/updated" for each in relay.others):
            relay.others.append(await relay.next())


async def test_sessions_go_on_through_the_death_of_the_primary(home: Home) -> None:
    settings = {"POSTINO_REPLICAS": "1", "POSTINO_MAX_DELIVERIES": "100"}
    with watched(2) as servers, daemon_of(home, POSTINO_VALKEY_URL=servers.url, **settings) as daemon:
        async with real_relays() as spawn:
            ada, bob = (
                await spawn(daemon.env, POSTINO_AGENT_NAME="ada"),
                await spawn(daemon.env, POSTINO_AGENT_NAME="bob"),
            )
            assert "result" in await bob.ask("resources/subscribe", INBOX)
            asking = ada.request("tools/call", QUESTION)
            given = await read_until(bob, {"question"})
            for id in MAIL:
                if id == MAIL[4]:
                    await asyncio.to_thread(servers.primary().kill)
                await done(ada, "msg_send", to="bob", body="x", id=id)
            given += await read_until(bob, set(MAIL))
            bob.others.clear()
            await done(ada, "msg_send", to="bob", body="x", id="last")
            await told_of_mail(bob)
            given += await read_until(bob, {"last"})
            await done(bob, "msg_send", to="ada", body="!", reply_to="question", id="reply")
            answer = json.loads((await ada.answer(asking, PATIENCE_S))["result"]["content"][0]["text"])

    assert answer["reply"]["id"] == "reply"
    assert list(dict.fromkeys(each["id"] for each in given)) == [
        "question",
        *(f"m{number}" for number in range(8)),
        "last",
    ]
