"""Named tokens: what each role may do, whose name its holder has, how often it sends, and when it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from postino.rest.app import STATE
from postino.rest.named_tokens import NamedTokens
from postino.rest.routes import ROUTES
from tests.attacks import attacked

PATIENCE_S = 20

#: (method, path below /api) that a role may use, `ci` being the token's own name
PUBLISH = {
    ("POST", "messages"),
    ("POST", "messages/ci"),
    ("POST", "broadcasts"),
    ("GET", "messages/ci/m1"),
    ("GET", "health"),
    ("GET", "whoami"),
}
AGENT = PUBLISH | {
    ("GET", "messages/ci"),
    ("DELETE", "messages/ci"),
    ("POST", "messages/ci/read"),
    ("POST", "messages/ci/ack"),
    ("POST", "messages/ci/nack"),
    ("POST", "messages/ci/extend"),
    ("GET", "broadcasts"),
    ("POST", "broadcasts/ci/read"),
    ("POST", "broadcasts/ci/seen"),
    ("GET", "check/ci"),
    ("GET", "history"),
    ("GET", "dead/ci"),
    ("POST", "dead/ci/requeue"),
    ("DELETE", "dead/ci"),
    ("GET", "agents"),
    ("GET", "agents/ci"),
    ("POST", "agents/ci/heartbeat"),
    ("GET", "events"),
    ("GET", "stats"),
    ("GET", "openapi.json"),
}
AGENT |= {("GET", "groups"), ("POST", "groups/team/members/ci"), ("DELETE", "groups/team/members/ci")}
AGENT |= {("GET", "people"), ("GET", "people/ci")}
AGENT |= {("POST", "people/ci/seen"), ("POST", "people/ci/done")}
AGENT |= {("GET", "threads"), ("GET", "threads/m1"), ("POST", "render")}
#: of these an agent may name any other, as the state is of one message and the list of agents is open to it
OF_ANY = {"agents/{agent}", "messages/{agent}/{id}"}
TO_ANY = ("POST", "messages/{agent}")  # a send
EVERY = [
    (route.method, route.path.removeprefix("/api/")) for route in ROUTES if route.in_api and route.path != "/api/signin"
]


class Caller:
    """Calls over TCP with a token."""

    def __init__(self, api: Any, token: str) -> None:
        self._api = api
        self.headers = {"Authorization": f"Bearer {token}"}

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        return await self._api.call(method, path, body, headers=self.headers | headers)

    async def code(self, method: str, path: str, body: Any = None) -> str:
        """Return the code of the answer, or `ok`."""
        method = "HEAD" if path == "events" else method
        answer = await self(method, path, body)
        if method == "HEAD":
            return "ok" if answer.status == 200 else "not_allowed"
        return str((answer.json or {}).get("code", "ok"))


Make = Callable[..., Awaitable[Caller]]


@pytest.fixture
async def token(api: Any) -> AsyncIterator[Make]:
    """Make callers: `await token("publish")`."""

    async def make(role: str, name: str = "ci", ttl_s: int | None = None) -> Caller:
        text, _ = await api.client.app[STATE].tokens.create(name, role, ttl_s)
        return Caller(api, text)

    yield make


@pytest.mark.parametrize(("role", "may"), [("publish", PUBLISH), ("agent", AGENT), ("admin", None)])
async def test_a_role_may_use_these_routes_and_no_other(api: Any, token: Make, role: str, may: Any) -> None:
    call = await token(role)
    await api.send("ci", "for ci", id="m1", **{"from": "ci"})
    allowed = set()
    for method, path in EVERY:
        target = path.format(agent="ci", id="m1", event="Stop", group="team", thread="m1")
        if await call.code(method, target, {}) != "not_allowed":
            allowed.add((method, target))

    everything = {
        (method, path.format(agent="ci", id="m1", event="Stop", group="team", thread="m1")) for method, path in EVERY
    }
    assert allowed == (everything if may is None else may)
    if role == "publish":
        attacked("Named tokens of the role publish on every route that they may not use", len(everything - allowed))


async def test_an_agent_acts_as_no_other_agent(api: Any, token: Make) -> None:
    call, admin = await token("agent"), await token("admin", "boss")
    await api.send("bob", "secret", id="m1", thread="t1")
    before = (await api.get("messages/bob")).text

    named = [(method, path) for method, path in EVERY if "{agent}" in path and path not in OF_ANY]
    of_others = [each for each in named if each != TO_ANY]
    for method, path in of_others:
        assert (
            await call.code(method, path.format(agent="bob", id="m1", event="Stop", group="team", thread="m1"), {})
            == "not_allowed"
        ), path
    assert await call.code("GET", "messages/bob/m1") == "unknown_message"
    for method, path in (("GET", "messages/human"), ("DELETE", "messages/human"), ("POST", "people/ci")):
        assert await call.code(method, path) == "not_allowed", path  # the mail of all people is for people
    for path in ("history?agent=bob", "history?agent=bob&with=ci", "threads?agent=bob"):
        assert await call.code("GET", path) == "not_allowed", path
    assert [(await call("GET", path)).json["items"] for path in ("history", "threads", "threads/t1")] == [[], [], []]
    assert (await call("GET", "events?agent=bob")).json["code"] == "not_allowed"
    assert (await call("GET", "events", **{"X-Postino-As": "bob"})).json["code"] == "not_allowed"
    assert (await api.get("messages/bob")).text == before
    attacked("Named tokens of the role agent on the mail, history and events of another agent", len(of_others) + 12)
    assert "secret" in (await admin("GET", "messages/bob")).text


async def test_a_role_or_name_that_is_missing_is_named_and_the_connection_stays(token: Make) -> None:
    publisher, agent = await token("publish"), await token("agent")

    refused = await publisher("GET", "messages/ci")
    assert (refused.status, refused.json["retryable"]) == (403, False)
    assert "role agent or admin" in refused.json["error"]
    assert "Connection" not in refused.headers
    other = await agent("GET", "messages/bob")
    assert other.json["error"].startswith("agent: this token acts as ci only, not as bob")


async def test_a_former_name_counts_as_the_own_one(api: Any, token: Make) -> None:
    call = await token("agent", "old")
    await api.post("agents/old/heartbeat")
    await api.post("agents/old/rename", {"name": "new"})
    await api.send("new", "hello", id="n1")

    for name in ("old", "new"):
        assert [each["body"] for each in (await call("GET", f"messages/{name}")).json["items"]] == ["hello"]
    sent = await call("POST", "messages", {"to": "bob", "body": "x", "from": "new"})
    assert sent.status == 200
    assert (await api.get("messages/bob")).json["items"][0]["from"] == "old"


@pytest.mark.parametrize("role", ["publish", "agent", "admin"])
async def test_a_token_sends_as_its_name_verified(api: Any, token: Make, role: str) -> None:
    call = await token(role)

    for given in ({}, {"from": "ci"}):
        assert (await call("POST", "messages", {"to": "bob", "body": "x"} | given)).status == 200
        assert (await call("POST", "broadcasts", {"body": "x"} | given)).status == 200
    for path, body in (("messages", {"to": "bob", "body": "x"}), ("broadcasts", {"body": "x"})):
        refused = await call("POST", path, body | {"from": "mallory"})
        assert (refused.status, refused.json["code"], refused.json["field"]) == (403, "not_allowed", "from")

    shown = [*(await api.get("messages/bob")).json["items"], *(await api.get("broadcasts")).json["items"]]
    assert [(each["from"], each["verified"], each["via"]) for each in shown] == [("ci", True, "http")] * 4
    bare = await api.send("ann", "x", **{"from": "ci"})
    assert bare["ok"]
    assert (await api.get("messages/ann")).json["items"][0]["verified"] is False


async def test_a_publisher_sees_the_state_of_its_own_messages_and_no_names(api: Any, token: Make) -> None:
    call = await token("publish")
    await api.post("agents/reviewer/heartbeat")
    await api.send("bob", "of another", id="other")

    sent = await call("POST", "messages", {"to": "reviewers", "body": "x", "id": "mine"})

    assert sent.json["names"] == []
    assert (await call("GET", "messages/reviewers/mine")).json["state"] == "queued"
    other, none = await call("GET", "messages/bob/other"), await call("GET", "messages/bob/none")
    assert (other.status, other.text) == (404, none.text.replace("none", "other"))


@pytest.mark.parametrize("role", ["publish", "admin"])
async def test_a_token_sends_no_more_than_the_rate(
    connect: Any, broker: Any, settings: Any, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    client = await connect(broker, replace(settings, send_rate=3))
    tokens = client.app[STATE].tokens
    monkeypatch.setattr("postino.rest.last_minute.monotonic", lambda: clock[0])
    one, two = [(await tokens.create("ci", role, None))[0] for _ in range(2)]

    async def send(token: str | None, path: str = "messages", **body: str) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        body = {"body": "x"} | ({"to": "bob"} if path == "messages" else {}) | body
        async with client.post(f"/api/{path}", json=body, headers=headers) as answer:
            return answer.status, await answer.json(), answer.headers.get("Retry-After")

    assert [(await send(one, id="same"))[0] for _ in range(2)] == [200, 200]  # a repeat counts
    clock[0] += 20
    assert (await send(one, "broadcasts"))[0] == 200
    for path in ("messages", "broadcasts"):
        status, body, wait = await send(one, path)
        assert (status, body["code"], body["retryable"]) == (429, "rate_limited", True)
        assert wait == str(body["retry_after_s"]) == "40"
    assert (await send(two))[0] == 200  # of the same name, but another token
    assert [(await send(None))[0] for _ in range(5)] == [200] * 5  # a bare caller has no rate
    clock[0] += 40
    assert [(await send(one))[0] for _ in range(3)] == [200, 200, 429]


async def test_a_wrong_token_is_never_taken_for_none(api: Any, token: Make) -> None:
    call = await token("agent")
    right = call.headers["Authorization"].removeprefix("Bearer ")
    mark, id, secret = right.split("_", 2)
    wrong = [
        f"Bearer {right}x",
        f"Bearer {right[:-1]}",
        f"Bearer {mark}_{id}_",
        f"Bearer {mark}_{id}",
        f"Bearer {mark}_00000000_{secret}",
        f"Bearer x_{id}_{secret}",
        f"Bearer {secret}",
        "Bearer",
        "Bearer ",
        "",
        f"Basic {right}",
        right,
    ]

    for each in wrong:
        refused = await api.get("agents", headers={"Authorization": each})
        assert (refused.status, refused.json["code"]) == (401, "unauthorized"), each
        assert refused.headers["WWW-Authenticate"] == "Bearer"
        assert secret not in refused.text
    attacked("Bearer tokens that are wrong, cut, lengthened or of another scheme", len(wrong))
    assert (await api.get("agents")).status == 200
    assert (await api.get("agents", headers={"Authorization": f"bEARER  {right}"})).status == 200


async def test_with_the_token_of_the_setting_either_is_needed(connect: Any, broker: Any, settings: Any) -> None:
    client = await connect(broker, replace(settings, api_token="the-one"))
    named, _ = await client.app[STATE].tokens.create("ci", "publish", None)

    for token, agents, health in ((None, 401, 200), ("the-one", 200, 200), (named, 403, 200), (f"{named}x", 401, 200)):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with client.get("/api/agents", headers=headers) as one, client.get("/api/health", headers=headers) as two:
            assert (one.status, two.status) == (agents, health)


@pytest.mark.parametrize("changes", [{"web_host": "0.0.0.0"}, {"behind_proxy": True}], ids=str)
async def test_beyond_loopback_and_behind_a_proxy_nobody_calls_without_a_token(
    connect: Any, broker: Any, settings: Any, changes: dict[str, Any]
) -> None:
    client = await connect(broker, replace(settings, **changes))
    named, caller = await client.app[STATE].tokens.create("ci", "admin", None)

    async def status(headers: dict[str, str]) -> int:
        async with client.get("/api/agents", headers=headers) as answer:
            return int(answer.status)

    assert await status({}) == 401
    assert await status({"Authorization": f"Bearer {named}"}) == 200
    await client.app[STATE].tokens.revoke("ci", caller.token.id)
    assert await status({}) == 401
    assert await status({"Authorization": f"Bearer {named}"}) == 401


@pytest.mark.parametrize("how", ["revoked", "expired"])
async def test_the_end_of_a_token_ends_its_streams_and_long_polls(api: Any, token: Make, how: str) -> None:
    call = await token("agent", ttl_s=5 if how == "expired" else None)
    tokens = api.client.app[STATE].tokens
    poll = asyncio.create_task(call("POST", "messages/ci/read", {"wait": 60}))
    async with api.client.get("/api/events?agent=ci", headers=call.headers) as stream:
        first = await asyncio.wait_for(stream.content.readuntil(b"\r\n\r\n"), PATIENCE_S)
        assert b'"connected"' in first
        await asyncio.sleep(0.1)  # let the poll begin; if it has not, it is refused at its start all the same
        if how == "revoked":
            await tokens.revoke("ci", None)

        rest = await asyncio.wait_for(stream.content.read(), PATIENCE_S)
        said = [json.loads(line[6:]) for line in rest.decode().splitlines() if line.startswith("data: ")]
        assert said[-1]["type"] == "dropped"
        assert how in said[-1]["reason"]
    refused = await asyncio.wait_for(poll, PATIENCE_S)
    assert (refused.status, refused.json["code"]) == (401, "unauthorized")
    after = await call("GET", "agents")
    assert (after.status, after.json["code"]) == (401, "unauthorized")


async def test_a_body_that_arrives_after_the_revocation_sends_nothing(api: Any, token: Make) -> None:
    call = await token("publish")
    body = b'{"to": "bob", "body": "late"}'
    head = (
        f"POST /api/messages HTTP/1.1\r\nHost: localhost:{api.port}\r\nContent-Type: application/json\r\n"
        f"Authorization: {call.headers['Authorization']}\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(head.encode())
    assert b"100" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
    await asyncio.sleep(0.05)  # into the reading of the body; earlier it is refused all the same
    await api.client.app[STATE].tokens.revoke("ci", None)
    writer.write(body)
    assert b" 401 " in await asyncio.wait_for(reader.readline(), PATIENCE_S)
    writer.close()
    assert (await api.get("messages/bob")).json["total"] == 0


async def test_only_the_hash_is_kept_and_the_next_daemon_knows_it(api: Any, token: Make, home: Any) -> None:
    call = await token("agent")
    text = call.headers["Authorization"].removeprefix("Bearer ")

    kept = home.tokens.read_text()
    assert home.tokens.stat().st_mode & 0o777 == 0o600
    assert text.split("_", 2)[2] not in kept
    next_one = NamedTokens(home.tokens)
    found = next_one.find(text.encode())
    assert found is not None
    assert (found.name, found.role, found.last_used is None) == ("ci", "agent", False)
    assert next_one.find(text[:-1].encode()) is None


async def test_tokens_are_managed_on_the_unix_socket_only(api: Any, token: Make) -> None:
    admin = await token("admin")

    for method, path in (("GET", "tokens"), ("POST", "tokens"), ("DELETE", "tokens/ci"), ("DELETE", "tokens/ci/x")):
        for call in (admin, api.call):
            refused = await call(method, path, {"name": "x", "role": "admin"} if method == "POST" else None)
            assert (refused.status, refused.json["code"]) == (403, "forbidden")


def test_the_document_says_what_each_role_may() -> None:
    from postino.rest.openapi import describe

    paths = msgspec.json.decode(msgspec.json.encode(describe(ROUTES)))["paths"]
    said = {
        (method.upper(), path): each["x-postino-role"] for path, ops in paths.items() for method, each in ops.items()
    }

    assert said["POST", "/api/messages"] == "publish"
    assert said["DELETE", "/api/broadcasts"] == "admin"
    assert "role agent or admin; below admin only with the name" in paths["/api/check/{agent}"]["get"]["description"]
    assert "not_allowed" in paths["/api/check/{agent}"]["get"]["responses"]["403"]["description"]
