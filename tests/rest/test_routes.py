"""Broadcasts, agents, dead letters, history, check, health, stats, the API's description and the page."""

from __future__ import annotations

from typing import Any

import pytest

from postino.hint import hint
from postino.rest import page, parse
from postino.rest.openapi import describe
from postino.rest.route import JSON
from postino.rest.routes import ROUTES


async def test_a_broadcast_is_stored_listed_read_once_and_cleared(api: Any) -> None:
    said = (await api.post("broadcasts", {"body": "all hands", "from": "alice", "id": "b1"})).json
    assert said == {"ok": True, "id": "b1", "seq": 1, "created": True, "durability": "fsync"}

    listed = (await api.get("broadcasts")).json
    assert ([each["body"] for each in listed["items"]], listed["total"]) == (["all hands"], 1)

    first = (await api.post("broadcasts/bob/read")).json
    assert ([each["id"] for each in first["items"]], first["missed"], first["more"]) == (["b1"], 0, False)
    assert not {"seen", "agents"} & first["items"][0].keys()  # a read knows neither: only the list counts
    assert (await api.post("broadcasts/bob/read")).json["items"] == []

    assert (await api.delete("broadcasts")).json == {"ok": True, "cleared": 1}
    assert (await api.get("broadcasts")).json["total"] == 0


async def test_what_parses_the_requests_of_a_route_is_made_once_when_the_first_comes(
    connect: Any, broker: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[type] = []

    class Noted(parse.Body[Any]):
        def __init__(self, kind: type) -> None:
            made.append(kind)
            super().__init__(kind)

    monkeypatch.setattr(parse, "Body", Noted)
    client = await connect(broker, settings)
    before = len(made)
    for number in range(3):
        await client.post("/api/broadcasts", json={"body": "hello"})
        await client.post(f"/api/broadcasts/a{number}/read", json={})
        await client.get(f"/api/messages/a{number}")

    assert (before, len(made), len(set(made))) == (0, 2, 2)


async def test_broadcasts_are_read_in_parts(api: Any) -> None:
    for number in range(3):
        await api.post("broadcasts", {"body": str(number)})

    parts = [(await api.post("broadcasts/bob/read?limit=2")).json, (await api.post("broadcasts/bob/read")).json]
    assert [[each["body"] for each in part["items"]] for part in parts] == [["0", "1"], ["2"]]
    assert [part["more"] for part in parts] == [True, False]


async def test_a_broadcasts_id_stands_for_its_content(api: Any) -> None:
    first = await api.post("broadcasts", {"body": "a"}, headers={"Idempotency-Key": "b1"})
    second = await api.post("broadcasts", {"body": "a", "id": "b1"})
    third = await api.post("broadcasts", {"body": "b", "id": "b1"})

    assert [first.json["created"], second.json["created"]] == [True, False]
    assert (third.status, third.json["code"]) == (409, "key_reused")


async def test_a_heartbeat_makes_an_agent_online(api: Any) -> None:
    answer = await api.post("agents/bob/heartbeat")

    assert (answer.status, answer.json["name"], answer.json["online"]) == (200, "bob", True)
    assert (await api.get("agents/bob")).json["online"] is True
    page = (await api.get("agents")).json
    assert ([each["name"] for each in page["items"]], page["total"]) == (["bob"], 1)


async def test_an_agent_nobody_knows_is_answered_with_the_nearest_names(api: Any) -> None:
    await api.post("agents/reviewer/heartbeat")

    for method, path in (("GET", "agents/reviwer"), ("DELETE", "agents/reviwer"), ("POST", "dead/reviwer/requeue")):
        answer = await api.call(method, path)
        assert (answer.status, answer.json["code"], answer.json["names"]) == (404, "unknown_agent", ["reviewer"])
    answer = await api.post("agents/reviwer/rename", {"name": "new"})
    assert (answer.status, answer.json["names"]) == (404, ["reviewer"])


async def test_a_rename_moves_the_mail(api: Any) -> None:
    await api.send("bob")
    answer = await api.post("agents/bob/rename", {"name": "rob"})

    assert answer.json == {"ok": True, "name": "rob", "old": "bob", "aliases": ["bob"]}
    assert (await api.get("messages/rob")).json["total"] == 1


async def test_a_name_that_is_taken_stays_taken(api: Any) -> None:
    await api.post("agents/bob/heartbeat")
    await api.post("agents/eve/heartbeat")
    answer = await api.post("agents/eve/rename", {"name": "bob"})

    assert (answer.status, answer.json["code"]) == (409, "name_taken")


async def test_only_an_idle_agent_without_mail_is_forgotten(api: Any) -> None:
    await api.send("bob")
    answer = await api.delete("agents/bob")
    assert (answer.status, answer.json["code"]) == (409, "agent_busy")

    await api.delete("messages/bob")
    assert (await api.delete("agents/bob")).json == {"ok": True}
    assert (await api.get("agents/bob")).status == 404


async def test_cleanup_forgets_those_that_are_gone(api: Any) -> None:
    await api.post("agents/here/heartbeat")
    await api.send("gone")
    await api.delete("messages/gone")

    assert (await api.post("agents/cleanup")).json == {"ok": True, "forgotten": ["gone"]}
    assert (await api.get("agents/here")).status == 200


async def test_a_dead_letter_is_listed_requeued_and_dropped(connect: Any, open_broker: Any) -> None:
    broker = await open_broker(max_deliveries=1)
    client = await connect(broker, broker.settings)

    async def call(method: str, path: str, body: Any = None) -> Any:
        async with client.request(method, f"/api/{path}", json=body) as answer:
            return await answer.json()

    for id in ("m1", "m2"):
        await call("POST", "messages", {"to": "bob", "body": "hi", "id": id})
    await call("POST", "messages/bob/read", {"consumer": "c1"})
    nacked = await call("POST", "messages/bob/nack", {"ids": ["m1", "m2"], "consumer": "c1"})
    assert nacked["dead"] == ["m1", "m2"]

    listed = await call("GET", "dead/bob")
    assert [(each["id"], each["reason"]) for each in listed["items"]] == [
        ("m1", "max_deliveries"),
        ("m2", "max_deliveries"),
    ]
    assert (await call("POST", "dead/bob/requeue", {"ids": ["m1"]})) == {"ok": True, "requeued": ["m1"]}
    assert (await call("POST", "dead/bob/requeue", {})) == {"ok": True, "requeued": ["m2"]}
    assert (await call("GET", "messages/bob"))["total"] == 2
    assert (await call("DELETE", "dead/bob")) == {"ok": True, "cleared": 0}


async def test_history_is_newest_first_filtered_and_paged(api: Any) -> None:
    for number in range(3):
        await api.send("bob", f"number {number}", **{"from": "alice"})
    await api.send("eve", "other")

    first = (await api.get("history?agent=bob&limit=2")).json
    assert ([each["body"] for each in first["items"]], first["more"]) == (["number 2", "number 1"], True)
    rest = (await api.get(f"history?agent=bob&before={first['before']}")).json
    assert ([each["body"] for each in rest["items"]], rest["more"]) == (["number 0"], False)
    assert [each["to"] for each in (await api.get("history?q=other")).json["items"]] == ["eve"]
    assert len((await api.get("history?agent=bob&with=alice")).json["items"]) == 3


@pytest.mark.parametrize(("before", "found"), [("0-0", 0), ("0-1", 0), ("1-0", 0), (f"{(1 << 64) - 1}-0", 1)])
async def test_history_may_be_asked_before_any_place_there_can_be(api: Any, before: str, found: int) -> None:
    await api.send()

    page = (await api.get(f"history?before={before}")).json
    assert (len(page["items"]), page["more"], page["before"]) == (found, False, None)


async def test_check_is_json_by_default_and_one_line_for_a_hook(api: Any) -> None:
    assert (await api.get("check/bob", headers={"Accept": "text/plain"})).text == ""

    for sender in ("alice", "eve", "alice"):
        await api.send("bob", **{"from": sender})
    await api.post("broadcasts", {"body": "all"})
    answer = await api.get("check/bob", headers={"Accept": "text/plain"})
    waiting = "3 unread messages (from unverified 'alice', 'eve'), 1 unseen broadcast"
    assert answer.text == f"[postino] {waiting}: call msg_read and msg_broadcasts\n"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert (await api.get("check/bob")).json == {"agent": "bob", "unreadMessages": 3, "unseenBroadcasts": 1}


@pytest.mark.parametrize(
    ("unread", "unseen", "line"),
    [
        (0, 0, ""),
        (1, 0, "[postino] 1 unread message (from a): call msg_read"),
        (0, 2, "[postino] 2 unseen broadcasts: call msg_broadcasts"),
        (2, 1, "[postino] 2 unread messages (from a), 1 unseen broadcast: call msg_read and msg_broadcasts"),
    ],
)
def test_the_hint_counts_in_good_english(unread: int, unseen: int, line: str) -> None:
    assert hint(unread, unseen, ["a"]) == line


async def test_health_says_how_durable_and_how_long(api: Any) -> None:
    answer = await api.get("health")

    assert answer.status == 200
    assert answer.json["ok"] is answer.json["valkey"] is True
    assert answer.json["durability"] in ("fsync", "volatile")
    assert isinstance(answer.json["uptime"], int)
    assert answer.json["version"]


async def test_stats_count_and_rates_follow_the_events(api: Any, until: Any) -> None:
    await api.send("bob")
    await api.send("bob")
    await api.read("bob", limit=1, ack="now")
    await api.post("broadcasts", {"body": "all"})

    async def counted() -> Any:
        stats = (await api.get("stats")).json
        return stats if stats["rates"]["broadcasts"] else None

    stats = await until(counted, "the rates have followed")
    assert (stats["agentCount"], stats["messageCount"], stats["broadcastCount"]) == (1, 1, 1)
    assert stats["rates"] == {"sent": 2, "read": 1, "acknowledged": 1, "dead": 0, "broadcasts": 1}
    assert stats["messageTtl"] == 86_400
    assert stats["oldestUnread"]


async def test_the_description_has_every_route_and_resolves(api: Any) -> None:
    document = (await api.get("openapi.json")).json

    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == {(route.method, route.path) for route in ROUTES if route.in_api}
    for reference in _references(document):
        assert reference.rpartition("/")[2] in document["components"]["schemas"], reference
    assert "from" in document["components"]["schemas"]["SendBody"]["properties"]


async def test_answers_match_their_description(api: Any) -> None:
    import jsonschema  # comes with mcp

    document = describe(ROUTES)
    for path, answer in {
        "/api/health": await api.get("health"),
        "/api/stats": await api.get("stats"),
        "/api/agents": await api.get("agents"),
        "/api/messages": await api.post("messages", {"to": "bob", "body": "x"}),
        "/api/messages/{agent}": await api.get("messages/bob"),
        "/api/history": await api.get("history"),
        "/api/check/{agent}": await api.get("check/bob"),
    }.items():
        method = "post" if path == "/api/messages" else "get"
        schema = document["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(answer.json, schema | {"components": document["components"]})


async def test_answers_that_are_no_mere_refusals_match_their_description_too(
    api: Any, connect: Any, open_broker: Any, serve: Any
) -> None:
    import jsonschema

    server = serve()
    broker = await open_broker(valkey_url=server.url)
    api = type(api)(await connect(broker, broker.settings))
    answers = {
        ("/api/messages/{agent}/ack", "post"): await api.post("messages/bob/ack", {"ids": ["x"], "consumer": "c"}),
        ("/api/messages", "post"): await api.post("messages", {}),
    }
    server.kill()
    answers["/api/health", "get"] = await api.get("health")

    document = describe(ROUTES)
    assert [answer.status for answer in answers.values()] == [409, 400, 503]
    for (path, method), answer in answers.items():
        described = document["paths"][path][method]["responses"][str(answer.status)]
        schema = described["content"]["application/json"]["schema"]
        jsonschema.validate(answer.json, schema | {"components": document["components"]})
        names = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]
        assert answer.json.keys() <= names.keys()


def test_every_operation_has_a_summary_and_an_id_of_its_own() -> None:
    operations = [each for item in describe(ROUTES)["paths"].values() for each in item.values()]

    assert all(each["summary"] for each in operations)
    assert len({each["operationId"] for each in operations}) == len(operations)


async def test_the_page_loads_nothing_from_elsewhere_and_runs_in_no_frame(api: Any) -> None:
    answer = await api.get("/")

    assert answer.status == 200
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "name",
    ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "%2e%2e%2fdaemon%2fapp.py", "nope.js", "%00", "__init__.py", ""],
)
async def test_only_files_of_the_page_are_served(api: Any, name: str) -> None:
    answer = await api.get(f"/web/{name}")

    assert (answer.status, answer.json["code"]) == (404, "not_found")


def test_files_that_may_be_served_are_those_of_known_kinds() -> None:
    assert all(path.suffix in page.KINDS and page.FOLDER in path.parents for path in page.files().values())


def _references(node: Any) -> set[str]:
    if isinstance(node, dict):
        found = {each for value in node.values() for each in _references(value)}
        return found | ({node["$ref"]} if isinstance(node.get("$ref"), str) else set())
    if isinstance(node, list):
        return {each for value in node for each in _references(value)}
    return set()


def test_the_description_has_the_record_of_every_answer_in_json() -> None:
    without = {"/api/events", "/api/hooks/{event}", "/api/openapi.json"}  # a stream, a hook's own form, the document
    silent = {each.path for each in ROUTES if each.in_api and each.gives == JSON and not each.answers}

    assert silent == without
    assert set(describe(ROUTES)["components"]["schemas"]) >= {"SendBody", "Sent", "HistoryQuery", "Renamed", "Rejected"}
