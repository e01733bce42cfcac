"""Direct messages over HTTP: what each route answers when all is well."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.rest.conftest import Api


async def test_a_message_is_accepted_with_all_that_its_sender_may_want_to_know(api: Any) -> None:
    answer = await api.post("messages", {"to": "bob", "from": "alice", "body": "hi", "id": "m1"})

    assert answer.status == 200
    assert answer.json == {
        "ok": True,
        "id": "m1",
        "to": "bob",
        "seq": 1,
        "created": True,
        "known": False,
        "durability": "fsync",
        "names": [],
        "state": "unknown",
        "online": False,
        "lastSeen": None,
        "reach": "nobody of that name has been seen; the message waits for one",
    }


async def test_a_sender_that_names_nobody_is_anonymous_and_unverified(api: Any) -> None:
    await api.send()

    (item,) = (await api.get("messages/bob")).json["items"]
    assert (item["from"], item["verified"], item["via"]) == ("anonymous", False, "http")


async def test_our_own_faces_are_told_apart_and_nobody_else_may_pose_as_the_mcp_face(api: Any) -> None:
    for face in ("cli", "web", "mcp", "system", "x"):
        await api.post("messages", {"to": "bob", "body": face}, headers={"X-Postino-Via": face})

    items = (await api.get("messages/bob")).json["items"]
    assert [each["via"] for each in items] == ["cli", "web", "http", "http", "http"]


async def test_thread_and_reply_to_travel_with_the_message(api: Any) -> None:
    await api.send(thread="t1", reply_to="m0")

    (item,) = await api.read()
    assert (item["thread"], item["reply_to"]) == ("t1", "m0")


async def test_the_header_idempotency_key_is_the_id(api: Any) -> None:
    asked = {"to": "bob", "body": "hi"}
    first = await api.post("messages", asked, headers={"Idempotency-Key": "k1"})
    second = await api.post("messages", asked | {"id": "k1"}, headers={"Idempotency-Key": "k1"})

    assert (first.json["id"], first.json["created"]) == ("k1", True)
    assert (second.json["created"], second.json["seq"]) == (False, first.json["seq"])


async def test_a_key_that_differs_from_the_field_is_refused(api: Any) -> None:
    answer = await api.post("messages", {"to": "bob", "body": "hi", "id": "a"}, headers={"Idempotency-Key": "b"})

    assert (answer.status, answer.json["code"]) == (400, "bad_request")
    assert (await api.get("messages/bob")).json["total"] == 0


async def test_an_id_with_other_content_is_refused_and_nothing_is_stored(api: Any) -> None:
    await api.send(id="m1")
    answer = await api.post("messages", {"to": "bob", "body": "other", "id": "m1"})

    assert (answer.status, answer.json["code"], answer.json["ok"]) == (409, "key_reused", False)
    assert (await api.get("messages/bob")).json["total"] == 1


async def test_a_full_inbox_says_when_to_come_back(connect: Any, open_broker: Any) -> None:
    broker = await open_broker(max_inbox=1)
    client = await connect(broker, broker.settings)
    for status in (200, 429):
        async with client.post("/api/messages", json={"to": "bob", "body": "hi"}) as answer:
            assert answer.status == status
            said = await answer.json()
    assert (said["code"], said["retryable"]) == ("inbox_full", True)
    assert int(answer.headers["Retry-After"]) > 0


async def test_looking_consumes_nothing_and_pages_from_the_oldest(api: Any) -> None:
    for number in range(5):
        await api.send(body=str(number))

    page = (await api.get("messages/bob?limit=2&offset=1")).json
    assert ([each["body"] for each in page["items"]], page["total"]) == (["1", "2"], 5)
    assert (page["limit"], page["offset"]) == (2, 1)
    newer = (await api.get(f"messages/bob?limit=2&after={page['after']}")).json
    older = (await api.get(f"messages/bob?limit=2&before={page['before']}")).json
    assert [[each["body"] for each in side["items"]] for side in (older, newer)] == [["0"], ["3", "4"]]
    assert (older["before"], newer["after"], newer["offset"]) == (None, None, None)
    assert len(await api.read()) == 5


@pytest.mark.parametrize("header", ["", "a b", "é"])
async def test_a_malformed_consumer_header_is_refused_beside_a_field_too(api: Any, header: str) -> None:
    answer = await api.post("messages/bob/read", {"consumer": "c1"}, headers={"X-Postino-Consumer": header})

    assert (answer.status, answer.json["field"]) == (400, "X-Postino-Consumer")


async def test_a_read_leases_to_the_consumer_of_the_header(api: Any) -> None:
    await api.send()
    answer = await api.post("messages/bob/read", headers={"X-Postino-Consumer": "c1"})

    assert (answer.json["consumer"], answer.json["more"], answer.json["agent"]) == ("c1", False, "bob")
    assert answer.json["lease_ms"] == 120_000
    assert answer.json["items"][0]["delivery"] == 1
    assert await api.read(consumer="c2") == []


async def test_a_read_takes_its_options_from_query_or_body_and_makes_a_consumer(api: Any) -> None:
    for _ in range(3):
        await api.send()

    by_query = (await api.post("messages/bob/read?limit=1")).json
    by_body = (await api.post("messages/bob/read", {"limit": 1, "consumer": "mine"})).json
    assert len(by_query["items"]) == len(by_body["items"]) == 1
    assert by_query["consumer"].startswith("c-")
    assert by_body["consumer"] == "mine"
    assert by_query["more"] is by_body["more"] is True


async def test_a_read_whose_query_and_body_differ_is_refused(api: Any) -> None:
    answer = await api.post("messages/bob/read?limit=1", {"limit": 2})

    assert (answer.status, answer.json["code"], answer.json["field"]) == (400, "bad_request", "limit")
    assert (await api.post("messages/bob/read?limit=1", {"limit": 1})).status == 200


async def test_an_empty_body_is_an_empty_object(api: Any) -> None:
    await api.send()

    answer = await api.post("messages/bob/read", data=b"")
    assert (answer.status, len(answer.json["items"])) == (200, 1)


async def test_a_read_that_acknowledges_now_leaves_nothing(api: Any) -> None:
    await api.send(id="m1")
    await api.read(ack="now")

    assert (await api.get("messages/bob")).json["total"] == 0
    assert (await api.get("messages/bob/m1")).json["state"] == "acked"


async def test_resume_gives_the_own_open_messages_again(api: Any) -> None:
    await api.send(id="m1")
    await api.read()

    assert await api.read() == []
    (item,) = await api.read(resume=True)
    assert (item["id"], item["redelivered"]) == ("m1", True)


async def test_a_long_poll_answers_as_soon_as_mail_comes(api: Any) -> None:
    waiting = asyncio.create_task(api.read(wait=30))
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await api.send(body="at last")

    (item,) = await waiting
    assert item["body"] == "at last"
    assert loop.time() - began < 3


async def test_a_long_poll_ends_empty_when_its_time_is_up(api: Any) -> None:
    assert await api.read(wait=0.1) == []


async def test_a_long_poll_gets_a_message_whose_lease_ends_meanwhile(connect: Any, open_broker: Any) -> None:
    broker = await open_broker(message_lease=1)
    client = await connect(broker, broker.settings)
    await client.post("/api/messages", json={"to": "bob", "body": "hi"})
    await client.post("/api/messages/bob/read", json={"consumer": "dies"})

    async with client.post("/api/messages/bob/read", json={"consumer": "lives", "wait": 10}) as answer:
        (item,) = (await answer.json())["items"]
    assert (item["delivery"], item["redelivered"]) == (2, True)


async def test_an_ack_names_what_it_acknowledged(api: Any) -> None:
    await api.send(id="m1")
    await api.read()
    answer = await api.post("messages/bob/ack", {"ids": ["m1"], "consumer": "c1"})

    assert (answer.status, answer.json) == (200, {"ok": True, "acknowledged": ["m1"], "rejected": []})


async def test_a_rejected_ack_is_a_conflict_that_names_both_lists(api: Any) -> None:
    await api.send(id="m1")
    await api.read()
    answer = await api.post("messages/bob/ack", {"ids": ["m1", "m2"]}, headers={"X-Postino-Consumer": "c1"})

    assert answer.status == 409
    assert answer.json["error"]
    assert {key: answer.json[key] for key in answer.json if key != "error"} == {
        "ok": False,
        "code": "lease_lost",
        "retryable": False,
        "acknowledged": ["m1"],
        "rejected": ["m2"],
    }


async def test_only_the_holder_may_acknowledge(api: Any) -> None:
    await api.send(id="m1")
    await api.read(consumer="c1")

    assert (await api.post("messages/bob/ack", {"ids": ["m1"], "consumer": "c2"})).status == 409
    assert (await api.get("messages/bob/m1")).json["state"] == "leased"


async def test_a_nack_gives_back_at_once_or_after_a_delay(api: Any) -> None:
    await api.send(id="m1")
    await api.read()
    answer = await api.post("messages/bob/nack", {"ids": ["m1"], "consumer": "c1"})
    assert answer.json == {"ok": True, "acknowledged": ["m1"], "rejected": [], "dead": []}

    assert [each["redelivered"] for each in await api.read(consumer="c2")] == [True]
    await api.post("messages/bob/nack", {"ids": ["m1"], "consumer": "c2", "delay_ms": 60_000})
    assert await api.read(consumer="c3") == []


async def test_an_extend_prolongs_the_lease(connect: Any, open_broker: Any) -> None:
    broker = await open_broker(message_lease=2)
    client = await connect(broker, broker.settings)
    await client.post("/api/messages", json={"to": "bob", "body": "hi", "id": "m1"})
    await client.post("/api/messages/bob/read", json={"consumer": "c1"})

    async def until() -> str:
        async with client.get("/api/messages/bob/m1") as answer:
            return str((await answer.json())["lease_until"])

    before = await until()
    async with client.post("/api/messages/bob/extend", json={"ids": ["m1"], "consumer": "c1"}) as answer:
        assert await answer.json() == {"ok": True, "acknowledged": ["m1"], "rejected": []}
    assert await until() > before


async def test_the_state_of_a_message_can_be_followed(api: Any) -> None:
    await api.send(id="m1", **{"from": "alice"})
    seen = [(await api.get("messages/bob/m1")).json]
    await api.read()
    seen.append((await api.get("messages/bob/m1")).json)
    await api.post("messages/bob/ack", {"ids": ["m1"], "consumer": "c1"})
    seen.append((await api.get("messages/bob/m1")).json)

    assert [each["state"] for each in seen] == ["queued", "leased", "acked"]
    assert seen[1]["reader"] == "c1"
    assert seen[2]["deliveries"] == 1


async def test_a_message_nobody_sent_is_unknown(api: Any) -> None:
    answer = await api.get("messages/bob/m1")

    assert (answer.status, answer.json["code"]) == (404, "unknown_message")


async def test_an_inbox_can_be_cleared(api: Any) -> None:
    await api.send()
    await api.send()

    assert (await api.delete("messages/bob")).json == {"ok": True, "cleared": 2}
    assert (await api.get("messages/bob")).json["total"] == 0


async def test_an_agent_never_seen_looks_reads_and_checks_empty(api: Any) -> None:
    assert (await api.get("messages/nobody")).json["items"] == []
    assert await api.read("nobody") == []
    assert (await api.get("check/nobody")).json == {"agent": "nobody", "unreadMessages": 0, "unseenBroadcasts": 0}


async def test_reading_makes_nobody_known_and_acknowledging_does(api: Any) -> None:
    for asked in ({"ack": "now"}, {"ack": "lease"}):
        await api.post("broadcasts/bob/read", asked)
        await api.post("messages/bob/read", asked)
    assert (await api.get("agents")).json["items"] == []
    assert (await api.get("agents/bob")).status == 404
    assert not (await api.send(id="m1"))["known"]

    await api.read()
    assert not (await api.send())["known"]
    await api.post("messages/bob/ack", {"ids": ["m1"], "consumer": "c1"})
    assert (await api.send())["known"]


async def test_mail_to_a_former_name_arrives_and_says_where(api: Any) -> None:
    await api.post("agents/bob/heartbeat")
    await api.post("agents/bob/rename", {"name": "rob"})

    assert (await api.send("bob"))["to"] == "rob"
    assert len(await api.read("bob")) == 1


async def test_the_largest_body_there_may_be_fits_whatever_it_is_made_of(api: Any) -> None:
    body = "\N{GRINNING FACE}" * 32_768

    await api.send(body=body)
    assert (await api.read())[0]["body"] == body


@pytest.mark.parametrize(
    ("path", "asked"), [("messages", {"to": "bob", "body": "poison"}), ("broadcasts", {"body": "poison"})]
)
async def test_a_sender_without_an_id_can_repeat_what_may_have_been_stored(
    connect: Any, open_broker: Any, proxy: Any, path: str, asked: dict[str, str]
) -> None:
    between = await proxy()
    broker = await open_broker(valkey_url=between.url)
    client = await connect(broker, broker.settings)
    api = Api(client)
    between.lose = b"poison"

    refusal = await api.post(path, asked)
    between.lose = None
    repeated = await api.post(path, asked | {"id": refusal.json["id"]})

    assert (refusal.status, refusal.json["code"], refusal.json["outcome"]) == (503, "store_away", "unknown")
    assert refusal.json["error"].endswith("; a retry with the same id is safe")
    assert (repeated.status, repeated.json["created"], repeated.json["seq"]) == (200, False, 1)


@pytest.mark.parametrize("verb", ["read", "ack", "nack", "extend"])
async def test_nobody_acts_over_http_for_the_session_of_a_relay(api: Any, verb: str) -> None:
    await api.send(id="m1")
    asked = {"consumer": "s-0123456789abcdef"} | ({} if verb == "read" else {"ids": ["m1"]})

    answer = await api.post(f"messages/bob/{verb}", asked)

    assert (answer.status, answer.json["code"]) == (403, "forbidden")
    assert (await api.get("messages/bob/m1")).json["state"] == "queued"


async def test_others_see_too_little_of_a_consumer_to_settle_its_leases(api: Any) -> None:
    await api.send(id="m1")
    lease = (await api.post("messages/bob/read")).json

    seen = (await api.get("messages/bob/m1")).json["reader"]
    assert seen == lease["consumer"][:8]
    assert (await api.post("messages/bob/ack", {"ids": ["m1"], "consumer": seen})).status == 409
    assert (await api.post("messages/bob/ack", {"ids": ["m1"], "consumer": lease["consumer"]})).status == 200
    (entry,) = (await api.get("history?agent=bob")).json["items"]
    assert entry["reader"] == seen
