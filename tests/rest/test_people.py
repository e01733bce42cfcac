"""People over HTTP: the inbox, who vouches for a sender, and what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from postino.broker import Broker
from postino.rest.proofs import Proofs
from tests.rest.conftest import Api


@pytest.fixture
async def people(api: Api) -> Api:
    """The API of a mailroom with the people ann and robert."""
    for name in ("robert", "ann"):
        assert (await api.post(f"people/{name}")).status == 200
    return api


async def test_people_are_listed_with_what_waits_for_them(people: Api) -> None:
    await people.send("robert", "hello")
    await people.send("human", "Who?")

    found = (await people.get("people")).json

    assert [(each["name"], each["unread"], each["open"]) for each in found["items"]] == [
        ("ann", 1, 1),
        ("robert", 2, 2),
    ]
    assert found["total"] == 2
    kinds = {each["name"]: each["kind"] for each in (await people.get("agents")).json["items"]}
    assert kinds == {"ann": "human", "robert": "human", "human": "human"}


async def test_an_inbox_shows_bodies_choices_and_trees_newest_first(people: Api) -> None:
    await people.send("robert", "**one**", id="m1", choices=["Merge", "Wait"])
    await asyncio.sleep(0.005)  # what came to both inboxes in one millisecond is never parted
    await people.send("human", "two", id="m2")
    sent = {each["id"]: each["timestamp"] for each in (await people.get("history")).json["items"]}

    plain = (await people.get("people/robert")).json
    rendered = (await people.get("people/robert?render=1&limit=1")).json

    found = {each["id"]: each for each in plain["items"]}
    assert [each["timestamp"] for each in plain["items"]] == sorted(sent.values(), reverse=True)
    assert found["m1"]["choices"] == ["Merge", "Wait"]
    assert "choices" not in found["m2"]
    assert (plain["person"]["name"], plain["more"]) == ("robert", False)
    assert rendered["items"][0]["tree"]
    assert rendered["more"] is True


async def test_seen_and_done_go_by_ids(people: Api) -> None:
    await people.send("robert", "hello", id="m1")
    await people.send("human", "Who?", id="m2")

    assert (await people.post("people/ann/seen", {"ids": ["m2"]})).json["seen"] == ["m2"]
    seen = (await people.post("people/robert/seen", {"ids": ["m1", "m2", "m3"]})).json
    assert seen == {"ok": True, "seen": ["m1"], "taken": [{"id": "m2", "by": "ann"}], "unknown": ["m3"]}
    done = (await people.post("people/robert/done", {"ids": ["m1", "m3"]})).json
    assert done == {"ok": True, "done": ["m1"], "unknown": ["m3"]}
    assert [each["opened_by"] for each in (await people.get("people/robert")).json["items"]] == ["ann"]


@pytest.mark.parametrize("to", ("bob", ["bob", "carol"]))
async def test_a_reply_of_a_person_is_an_answer(people: Api, to: str | list[str]) -> None:
    await people.send("robert", "Which?", id="m1", choices=["one", "two"], **{"from": "bob"})

    await people.send(to, "one", reply_to="m1", **{"from": "robert"})

    assert (await people.get("people/robert")).json["items"] == []
    assert (await people.get("messages/robert/m1")).json["reader"] == "robert"


async def test_the_mailbox_of_all_people_can_be_looked_at_and_is_no_sender(people: Api) -> None:
    await people.send("human", "Who?", id="m1")

    assert (await people.get("messages/human")).json["total"] == 1
    assert (await people.get("messages/human/m1")).json["state"] == "queued"
    assert (await people.get("agents/human")).json["kind"] == "human"
    for call in (
        people.post("messages", {"to": "bob", "body": "x", "from": "human"}),
        people.post("people/human"),
        people.post("agents/ann/rename", {"name": "human"}),
        people.get("people/human"),
    ):
        assert (await call).json["code"] == "name_reserved"


@pytest.mark.parametrize("inbox", ["robert", "human"])
async def test_only_the_ids_of_what_was_seen_open_a_persons_mail(people: Api, inbox: str) -> None:
    await people.send(inbox, "For eyes", id="m1")

    refused = await people.post(f"messages/{inbox}/read", {"ack": "now"})

    assert (refused.status, refused.json["code"]) == (409, "is_person")
    assert (await people.get(f"check/{inbox}")).json["unreadMessages"] == 1
    first = (await people.get("people/robert?limit=1")).json
    assert ([each["id"] for each in first["items"]], first["before"]) == (["m1"], None)
    for wrong in ("nonsense", "1", "-"):
        assert (await people.get(f"people/robert?before={wrong}")).json["code"] == "bad_page"


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("people/bob/seen", {"ids": ["m1"]}, "unknown_agent"),
        ("people/robert/seen", {"ids": []}, "bad_field"),
        ("people/robert/done", {"ids": ["a b"]}, "bad_field"),
        ("people/robert/done", {}, "bad_field"),
        ("people/a%20b", {}, "bad_name"),
        ("messages", {"to": "robert", "body": "?", "choices": []}, "bad_field"),
        ("messages", {"to": "robert", "body": "?", "choices": ["a", "a"]}, "bad_field"),
        ("messages", {"to": "robert", "body": "?", "choices": ["\u202e"]}, "bad_field"),
        ("messages", {"to": "robert", "body": "?", "choices": "Merge"}, "bad_field"),
        ("messages", {"to": "robert", "body": "?", "choices": [1]}, "bad_field"),
        ("messages", {"to": "robert", "body": "?", "choices": list("abcdef")}, "bad_field"),
    ],
)
async def test_bad_input_is_refused_by_name(people: Api, path: str, body: Any, code: str) -> None:
    refused = await people.post(path, body)

    assert (refused.json["code"], refused.json["ok"]) == (code, False)
    assert 400 <= refused.status < 500


async def test_a_page_is_verified_by_its_proof_and_by_nothing_else(connect: Any, broker: Broker, settings: Any) -> None:
    await broker.people.settle("robert")
    api = Api(await connect(broker, settings))
    proof = Proofs(settings.home.person_key).make("robert")
    page = {"X-Postino-Via": "web"}

    async def verified(headers: dict[str, str], **more: str) -> tuple[str, bool]:
        sent = await api.post("messages", {"to": "bob", "body": "x"} | more, headers=headers)
        found = (await api.get(f"history?q={sent.json['id']}")).json["items"][0]
        return found["from"], found["verified"]

    signed = page | {"X-Postino-Person": proof}
    assert await verified(signed, **{"from": "robert"}) == ("robert", True)
    assert await verified(signed) == ("robert", True)
    assert await verified(signed, **{"from": "ann"}) == ("ann", False)
    assert await verified(page, **{"from": "robert"}) == ("robert", False)
    assert await verified(page) == ("anonymous", False)
    assert await verified({}) == ("anonymous", False)
    assert (await api.get("whoami", headers=signed)).json == {"agent": "robert", "verified": True}
    name, until, signature = proof.split(":")
    for wrong in (
        f"ann:{until}:{signature}",
        f"{name}:9{until}:{signature}",
        "robert",
        "",
        "::",
        "ü:1:x",
        f"{name}:1:x",
    ):
        assert await verified(page | {"X-Postino-Person": wrong}) == ("anonymous", False)


async def test_a_proof_is_of_its_home_and_ends(settings: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    proofs = Proofs(tmp_path / "person.key")
    proof = proofs.make("robert")

    assert proofs.check(proof) == Proofs(tmp_path / "person.key").check(proof) == "robert"
    assert (tmp_path / "person.key").stat().st_mode & 0o777 == 0o600
    assert Proofs(tmp_path / "other.key").check(proof) is None
    monkeypatch.setattr("postino.rest.proofs.time.time", lambda: 4e9)
    assert proofs.check(proof) is None
