"""The original project's REST behaviour, for a client that knows nothing else."""

from __future__ import annotations

from typing import Any


async def test_a_client_of_the_original_project_still_works(api: Any) -> None:
    sent = await api.post("messages", {"to": "bob", "from": "alice", "body": "hi"}, headers={"Idempotency-Key": "k"})
    assert sent.status == 200
    assert (sent.json["ok"], sent.json["id"], sent.json["created"]) == (True, "k", True)
    again = await api.post("messages", {"to": "bob", "from": "alice", "body": "hi"}, headers={"Idempotency-Key": "k"})
    assert (again.status, again.json["created"]) == (200, False)

    (waiting,) = (await api.get("messages/bob")).json["items"]
    assert (waiting["id"], waiting["from"], waiting["body"]) == ("k", "alice", "hi")
    check = await api.get("check/bob")
    assert (check.status, check.json["unreadMessages"]) == (200, 1)

    read = await api.post("messages/bob/read", headers={"X-Postino-Consumer": "old-client"})
    assert [each["id"] for each in read.json["items"]] == ["k"]
    acked = await api.post("messages/bob/ack", {"ids": ["k"]}, headers={"X-Postino-Consumer": "old-client"})
    assert (acked.status, acked.json["ok"], acked.json["acknowledged"]) == (200, True, ["k"])

    agents = (await api.get("agents")).json["items"]
    bob = next(each for each in agents if each["name"] == "bob")
    assert (bob["online"], bob["messageCount"]) == (False, 0)
    stats = await api.get("stats")
    assert stats.status == 200
    assert {"version", "messageTtl", "agentCount", "messageCount", "broadcastCount"} <= stats.json.keys()
    health = await api.get("health")
    assert (health.status, health.json["ok"]) == (200, True)
