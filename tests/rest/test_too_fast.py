"""The loop guard over HTTP and MCP: its answer names the reason and when to go on, and an event tells of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.waiting import eventually


async def test_a_pair_that_answers_each_other_is_refused_with_the_reason_and_the_time(
    api: Any, connect: Any, open_broker: Any, settings: Any
) -> None:
    broker = await open_broker(pair_rate=3)
    own = type(api)(await connect(broker, replace(settings, pair_rate=3)))
    answers = [
        await own.post(
            "messages", {"to": "bob" if at % 2 else "ada", "body": "thanks", "from": "ada" if at % 2 else "bob"}
        )
        for at in range(5)
    ]
    refused = answers[-1]

    assert [each.status for each in answers] == [200, 200, 200, 200, 429]
    assert refused.json | {"error": ""} == {
        "ok": False, "code": "too_fast", "error": "", "retryable": True, "reason": "pair_rate", "to": "ada",
        "retry_after_s": 60,
    }  # fmt: skip
    assert refused.headers["Retry-After"] == "60"
    assert "bob and ada have answered each other 3 times within a minute" in refused.json["error"]
    assert (await own.get("history?agent=ada")).json["items"][0]["id"] == answers[3].json["id"]
    events = await eventually(lambda: told(broker))
    assert events[0].data == {"from": "bob", "to": "ada", "reason": "pair_rate", "retry_after_s": 60}
    page = await own.post("messages", {"to": "bob", "body": "go on", "from": "lea"}, headers={"X-Postino-Via": "web"})
    assert page.status == 200
    assert (await own.post("messages", {"to": "ada", "body": "x", "from": "bob"})).status == 200


async def told(broker: Any) -> list[Any]:
    found, _ = await broker.events.replay("0-0", 100)
    return [each for each in found if each.type == "too_fast"]
