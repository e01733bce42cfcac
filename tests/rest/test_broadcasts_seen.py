"""Broadcasts that count as seen when the reader says so."""

from __future__ import annotations

from typing import Any

from tests.waiting import eventually


async def given(api: Any, agent: str = "bob", **asked: Any) -> list[tuple[str, bool]]:
    answer = await api.post(f"broadcasts/{agent}/read", {"ack": "lease"} | asked)
    assert answer.status == 200, answer.text
    return [(each["id"], each["redelivered"]) for each in answer.json["items"]]


async def say(api: Any, *ids: str) -> None:
    for id in ids:
        assert (await api.post("broadcasts", {"body": id, "id": id, "from": "ci"})).status == 200


async def test_what_was_not_said_to_be_seen_comes_again_labelled(api: Any) -> None:
    await say(api, "b1", "b2", "b3")

    assert await given(api, limit=2) == [("b1", False), ("b2", False)]
    assert await given(api) == [("b1", True), ("b2", True), ("b3", False)]
    assert (await api.get("check/bob")).json["unseenBroadcasts"] == 3

    assert (await api.post("broadcasts/bob/seen", {"id": "b2"})).json == {"ok": True, "agent": "bob"}
    assert await given(api) == [("b3", True)]
    assert (await api.get("check/bob")).json["unseenBroadcasts"] == 1


async def test_a_cursor_never_moves_back(api: Any) -> None:
    await say(api, "b1", "b2", "b3")
    await api.post("broadcasts/bob/seen", {"id": "b3"})

    assert (await api.post("broadcasts/bob/seen", {"id": "b1"})).status == 200
    assert await given(api) == []


async def test_a_broadcast_that_nobody_sent_cannot_have_been_seen(api: Any) -> None:
    refused = await api.post("broadcasts/bob/seen", {"id": "never"})

    assert (refused.status, refused.json["code"]) == (404, "unknown_message")
    malformed = await api.post("broadcasts/bob/seen", {"id": "a b"})
    assert (malformed.status, malformed.json["field"]) == (400, "id")


async def test_seen_follows_a_rename(api: Any) -> None:
    await api.post("agents/bob/heartbeat")
    await say(api, "b1")
    await api.post("agents/bob/rename", {"name": "robert"})

    assert (await api.post("broadcasts/bob/seen", {"id": "b1"})).json["agent"] == "robert"
    assert await given(api, "robert") == []


async def test_what_was_missed_is_told_until_the_reader_has_seen_what_followed(connect: Any, open_broker: Any) -> None:
    from tests.rest.conftest import Api

    broker = await open_broker(max_broadcasts=2)
    api = Api(await connect(broker, broker.settings))
    await say(api, "b1")
    await api.post("broadcasts/bob/seen", {"id": "b1"})
    await say(api, "b2", "b3", "b4", "b5")

    for _ in range(2):  # the first answer may have been lost
        answer = (await api.post("broadcasts/bob/read", {"ack": "lease"})).json
        assert ([each["id"] for each in answer["items"]], answer["missed"]) == (["b4", "b5"], 2)
    await api.post("broadcasts/bob/seen", {"id": "b5"})

    answer = (await api.post("broadcasts/bob/read", {"ack": "lease"})).json
    assert (answer["items"], answer["missed"]) == ([], 0)


async def test_what_was_missed_is_told_once_when_nothing_followed(connect: Any, open_broker: Any) -> None:
    from tests.rest.conftest import Api

    broker = await open_broker(msg_ttl=1)
    api = Api(await connect(broker, broker.settings))
    await say(api, "b1")
    await api.post("broadcasts/bob/seen", {"id": "b1"})
    await say(api, "b2", "b3")

    async def expired() -> bool:
        return (await api.get("check/bob")).json["unseenBroadcasts"] == 0

    await eventually(expired, "the broadcasts are too old")
    for missed in (2, 0):
        answer = (await api.post("broadcasts/bob/read", {"ack": "lease"})).json
        assert (answer["items"], answer["missed"]) == ([], missed)
    await say(api, "b4")
    assert await given(api) == [("b4", False)]


async def test_without_a_lease_a_read_counts_as_seen_at_once(api: Any) -> None:
    await say(api, "b1")

    assert len((await api.post("broadcasts/bob/read?ack=now")).json["items"]) == 1
    assert await given(api) == []
