"""An altered record of a message is no failure of any call: no 500, and the others of the agent are served."""

from __future__ import annotations

from typing import Any

import pytest

ALTERED = [
    "",
    "X",
    "{}",
    "\x00\ufffd",
    "1-1 d 1 queued 1 ci",
    "9-9 d x leased 1 ci",
    "1-1 d 1 acked 1 ci x x x x x x x x x x",
]

LOOKS = [
    *("messages/bob", "messages/bob/m0", "messages/bob/m2", "check/bob", "dead/bob", "agents", "agents/bob", "stats"),
    *("history?agent=bob", "history?q=m1", "threads", "threads/t", "broadcasts"),
]


@pytest.mark.parametrize("altered", ALTERED)
async def test_every_call_about_an_inbox_answers_beside_an_altered_record(api: Any, broker: Any, altered: str) -> None:
    async def alter(agent: str = "bob", id: str = "m1") -> None:
        await broker._store.call("HSET", broker._store.keys.of("index", agent), id, altered)

    async def looked_at() -> None:
        for path in LOOKS:
            assert (await api.get(path)).status == 200, path
        assert (await api.get("messages/bob/m1")).status in (200, 404)

    async def settle(verb: str, status: int = 200) -> None:
        await alter()
        answer = await api.post(
            f"messages/bob/{verb}", {"ids": ["m0", "m1", "m2"]}, headers={"X-Postino-Consumer": "c1"}
        )
        assert answer.status in (200, 409), answer.text
        assert {"m0", "m2"} <= set(answer.json["acknowledged"])

    for id in ("m0", "m1", "m2"):
        await api.send(id=id, thread="t")
        assert (await api.post("broadcasts", {"body": "hear", "id": f"b-{id}"})).status == 200
    await alter()
    await alter("all", "b-m1")
    await looked_at()
    assert {each["id"] for each in await api.read()} >= {"m0", "m2"}
    await settle("extend")
    await settle("nack")
    await looked_at()
    assert {each["id"] for each in await api.read()} >= {"m0", "m2"}
    await settle("ack")
    await looked_at()
    assert (await api.post("messages", {"to": "bob", "body": "other", "id": "m1"})).status in (200, 409)
    assert (await api.post("broadcasts", {"body": "other", "id": "b-m1"})).status in (200, 409)
    assert (await api.post("broadcasts/bob/seen", {"id": "b-m1"})).status in (200, 404)
    assert (await api.post("broadcasts/bob/read")).status == 200
    assert (await api.delete("messages/bob")).status == 200
