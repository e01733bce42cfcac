"""POST /messages with wait_reply: the answer of the send holds the reply."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

QUESTION = {"to": "bob", "from": "ann", "body": "who?", "id": "q1"}


async def ask(api: Any, **more: Any) -> asyncio.Task[Any]:
    """Ask, and return the call once the question is stored."""
    call = asyncio.ensure_future(api.post("messages", QUESTION | {"wait_reply": 20} | more))
    while not (await api.get("messages/bob")).json["total"]:
        assert not call.done(), call.result().text
    return call


async def answer(api: Any, id: str = "r1") -> None:
    assert (await api.post("messages", {"reply_to": "q1", "from": "bob", "body": "me", "id": id})).status == 200


async def test_the_reply_comes_with_the_answer_and_is_acknowledged(api: Any) -> None:
    call = await ask(api)
    await answer(api)

    said = (await call).json

    assert (said["ok"], said["to"], said["created"]) == (True, "bob", True)
    assert (said["reply"]["id"], said["reply"]["body"], said["reply"]["from"]) == ("r1", "me", "bob")
    assert "note" not in said
    assert (await api.get("messages/ann/r1")).json["state"] == "acked"
    assert (await api.read("bob"))[0]["expects"] == "reply"


async def test_no_reply_in_time_is_an_answer_and_the_same_ask_waits_on(api: Any) -> None:
    said = (await api.post("messages", QUESTION | {"wait_reply": 0.05})).json
    assert (said["reply"], "ordinary mail" in said["note"]) == (None, True)

    await answer(api)
    again = (await api.post("messages", QUESTION | {"wait_reply": 0.05})).json

    assert (again["created"], again["reply"]["id"], again["reply"]["redelivered"]) == (False, "r1", False)
    assert await api.read("ann") == []


async def test_a_late_reply_is_ordinary_mail(api: Any) -> None:
    await api.post("messages", QUESTION | {"wait_reply": 0.05})
    await answer(api)
    assert [each["id"] for each in await api.read("ann")] == ["r1"]


async def test_a_reply_that_is_only_leased_is_the_consumers(api: Any) -> None:
    call = await ask(api, ack="lease", consumer="c-ann")
    await answer(api)
    assert (await call).json["reply"]["id"] == "r1"
    assert (await api.get("messages/ann/r1")).json["state"] == "leased"
    acked = await api.post("messages/ann/ack", {"ids": ["r1"], "consumer": "c-ann"})
    assert acked.json["acknowledged"] == ["r1"]


async def test_a_client_that_has_gone_takes_no_reply(api: Any, until: Any) -> None:
    call = await ask(api)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)

    async def left() -> bool:
        await answer(api)
        return bool((await api.get("check/ann")).json["unreadMessages"])

    await until(left, "the reply waits")


async def test_an_ask_in_reply_goes_to_the_sender(api: Any) -> None:
    await api.send("ann", "start", id="m1", thread="Red build", **{"from": "bob"})
    asked = {"reply_to": "m1", "from": "ann", "body": "which?", "wait_reply": 0.05}
    said = (await api.post("messages", asked)).json
    assert (said["to"], said["reply"]) == ("bob", None)
    assert (await api.read("bob"))[0]["thread"] == "Red build"


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"wait_reply": 0}, "wait_reply"),
        ({"wait_reply": 60.1}, "wait_reply"),
        ({"wait_reply": -1}, "wait_reply"),
        ({"wait_reply": "10"}, "wait_reply"),
        ({"wait_reply": True}, "wait_reply"),
        ({"ack": "now"}, "ack"),
        ({"consumer": "c1"}, "consumer"),
        ({"wait_reply": 1, "ack": "later"}, "ack"),
        ({"wait_reply": 1, "ack": "lease"}, "consumer"),
        ({"wait_reply": 1, "expects": "none"}, "expects"),
        ({"wait_reply": 1, "to": "ann"}, "to"),
        ({"wait_reply": 1, "to": ["bob", "eve"]}, "wait_reply"),
        ({"wait_reply": 1, "to": "#team"}, "wait_reply"),
        ({"wait_reply": 1, "from": None}, "from"),
    ],
)
async def test_a_wrong_ask_is_refused_at_once(api: Any, more: dict[str, Any], field: str) -> None:
    refused = await api.post("messages", QUESTION | more)
    assert (refused.status, refused.json["field"]) == (400, field), refused.text
    assert (await api.get("messages/bob")).json["total"] == 0
