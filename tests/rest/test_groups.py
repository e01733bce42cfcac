"""Several recipients and groups over HTTP: what is answered, what is refused, and what a token may know."""

from __future__ import annotations

from typing import Any

import pytest

from postino.rest.app import STATE


async def test_a_list_is_answered_with_each_of_its_recipients(api: Any) -> None:
    await api.post("agents/ada/heartbeat")
    sent = (await api.post("messages", {"to": ["ada", "bob"], "body": "x", "from": "ci", "id": "m1"})).json

    assert (sent["ok"], sent["id"], sent["group"], sent["created"], sent["durability"]) == (
        True,
        "m1",
        None,
        True,
        "fsync",
    )
    ada, bob = sent["recipients"]
    assert (ada["to"], ada["seq"], ada["known"], ada["online"], ada["state"]) == ("ada", 1, True, True, "unknown")
    assert (bob["to"], bob["known"], bob["online"], bob["lastSeen"]) == ("bob", False, False, None)
    history = (await api.get("history?agent=bob")).json["items"]
    assert [(each["to"], [one["to"] for one in each["recipients"]]) for each in history] == [
        ("ada, bob", ["ada", "bob"])
    ]
    assert (await api.get("messages/bob/m1")).json["state"] == "queued"


async def test_a_single_name_is_answered_as_before(api: Any) -> None:
    single = (await api.post("messages", {"to": "ada", "body": "x"})).json

    assert (single["to"], single["seq"], "recipients" in single) == ("ada", 1, False)
    assert "recipients" not in (await api.get("history")).json["items"][0]


async def test_groups_are_joined_listed_and_left(api: Any) -> None:
    joined = await api.post("groups/team/members/ada")
    await api.post("groups/team/members/bob")
    listed = (await api.get("groups")).json
    sent = (await api.post("messages", {"to": "#team", "body": "x", "from": "bob"})).json
    text = await api.call(
        "POST", "messages/%23team", data=b"a log", headers={"Content-Type": "text/plain", "X-Postino-From": "bob"}
    )
    left = await api.delete("groups/team/members/ada")

    assert (joined.status, joined.json["changed"], joined.json["members"]) == (200, True, 1)
    assert [(each["name"], each["members"]) for each in listed["items"]] == [("team", ["ada", "bob"])]
    assert (sent["group"], [each["to"] for each in sent["recipients"]]) == ("team", ["ada"])
    assert [each["to"] for each in text.json["recipients"]] == ["ada"]
    assert left.json["changed"] is True
    assert (await api.get("agents/ada")).json["groups"] == []
    assert (await api.get("agents/bob")).json["groups"] == ["team"]


@pytest.mark.parametrize(
    ("to", "status", "code", "words"),
    [
        ([], 400, "bad_field", "0 names"),
        ([f"a{number}" for number in range(51)], 400, "bad_field", "51 names"),
        (["ada", "bad name"], 400, "bad_name", "to[1]"),
        (["ada", "Ada"], 400, "bad_field", "twice"),
        (["ada", "#team"], 400, "bad_name", "a group cannot be in a list"),
        (["ada", "system"], 400, "name_reserved", "to[1]"),
        (["ada", 5], 400, "bad_field", "to"),
        ({"ada": 1}, 400, "bad_field", "to"),
        ("#taem", 404, "unknown_group", "did you mean #team?"),
        ("#solo", 409, "empty_group", "nobody but ci"),
        ("#", 400, "bad_name", "to must be"),
        ("ada,bob", 400, "bad_name", 'are a list, as in ["ada", "bob"]'),
        ([f"a{number}" for number in range(201)], 400, "bad_field", "201 names"),
    ],
)
async def test_what_is_wrong_with_recipients_is_told_and_nothing_is_stored(
    api: Any, to: Any, status: int, code: str, words: str
) -> None:
    await api.post("groups/team/members/ada")
    await api.post("groups/solo/members/ci")
    refused = await api.post("messages", {"to": to, "body": "x", "from": "ci"})

    assert (refused.status, refused.json["code"]) == (status, code)
    assert words in refused.json["error"]
    assert (await api.get("history")).json["items"] == []
    assert (await api.get("messages/ada")).json["total"] == 0


async def test_a_publisher_is_told_only_the_names_it_gave(api: Any) -> None:
    text, _ = await api.client.app[STATE].tokens.create("ci", "publish", None)
    token = {"Authorization": f"Bearer {text}"}
    await api.post("groups/team/members/ada")
    await api.post("agents/adam/heartbeat")
    named = await api.post("messages", {"to": ["adam", "adan"], "body": "x"}, headers=token)
    one = await api.post("messages", {"to": "adan", "body": "x"}, headers=token)
    group = await api.post("messages", {"to": "#team", "body": "x"}, headers=token)
    unknown = await api.post("messages", {"to": "#teams", "body": "x"}, headers=token)

    assert [(each["to"], each["names"]) for each in named.json["recipients"]] == [("adam", []), ("adan", [])]
    assert (group.status, group.json["recipients"]) == (200, [])
    assert (unknown.status, unknown.json["error"], unknown.json["names"]) == (404, "there is no group #teams", [])
    waits = "nobody of that name has been seen; the message waits for one"
    assert [each["reach"] for each in (one.json, named.json["recipients"][1])] == [waits, waits]
    assert (await api.get("messages/ada")).json["total"] == 1
    assert (await api.post("groups/team/members/ci", {}, headers=token)).status == 403
