"""The tools, resources and prompts: what they answer, what they refuse, and that no input breaks them."""

from __future__ import annotations

import json

import pytest

from postino.claude.permission import READING
from postino.mcp import tools as all_tools
from postino.mcp.instructions import instructions
from postino.model import ANSWER_BUDGET, BroadcastDraft
from postino.values import MAX_BODY
from tests.mcp.mail import ALICE, mail, text_of

TOOLS = {
    "msg_whoami": set(),
    "msg_check": set(),
    "msg_send": {"to", "body", "id", "thread", "reply_to", "expects", "choices"},
    "msg_read": {"limit"},
    "msg_ack": {"ids"},
    "msg_broadcast": {"body", "id"},
    "msg_broadcasts": {"all", "limit"},
    "msg_list_agents": {"limit", "offset"},
    "msg_ask": {"to", "body", "timeout", "thread", "id"},
    "msg_status": {"ids"},
    "msg_history": {"with", "thread", "q", "limit"},
    "msg_join": {"group"},
    "msg_leave": {"group"},
    "msg_rename": {"name"},
    "msg_cleanup": set(),
}


async def test_the_handshake_names_postino_and_its_channel(connect):
    relay = await connect()
    await relay.greet()
    shown = await relay.open()
    assert (shown["serverInfo"]["name"], shown["protocolVersion"]) == ("postino", "2025-11-25")
    assert set(shown["capabilities"]) == {"tools", "resources", "prompts", "completions", "experimental"}
    assert shown["capabilities"]["experimental"] == {"claude/channel": {}}
    assert "data" in shown["instructions"] and len(shown["instructions"]) < 600


async def test_no_text_says_that_only_the_next_call_acknowledges_since_hooks_do_so_sooner(connect, broker):
    bob = await connect("bob")
    await mail(broker, "m1")
    (read,) = [each for each in (await bob.ask("tools/list"))["result"]["tools"] if each["name"] == "msg_read"]
    for text in (read["description"], (await bob.call("msg_read"))["note"]):
        assert "cknowledged at your next postino call or before" in text


async def test_every_tool_takes_what_the_contract_says_and_has_annotations(connect):
    bob = await connect("bob")
    tools = {each["name"]: each for each in (await bob.ask("tools/list"))["result"]["tools"]}
    assert {name: set(each["inputSchema"]["properties"]) for name, each in tools.items()} == TOOLS
    for each in tools.values():
        assert each["inputSchema"]["additionalProperties"] is False
        assert {"readOnlyHint", "destructiveHint", "idempotentHint"} <= set(each["annotations"])
        assert len(each["description"]) < 2000
    assert {name for name, each in tools.items() if each["annotations"]["readOnlyHint"]} == READING
    assert [name for name, each in tools.items() if each["annotations"]["destructiveHint"]] == ["msg_cleanup"]


async def test_a_message_carries_all_the_contract_names_and_is_stamped_by_the_server(connect):
    alice, bob = await connect("alice"), await connect("bob")
    sent = await alice.call("msg_send", to="bob", body='say "hi"\n\u4f60', thread="t1", reply_to="m0", id="m1")
    assert (sent["id"], sent["created"], sent["known"], sent["durability"]) == ("m1", True, True, "fsync")
    answer = await bob.call("msg_read")
    (message,) = answer["messages"]
    assert message.pop("timestamp").endswith("Z")
    assert message == {
        "id": "m1",
        "seq": 1,
        "from": "alice",
        "verified": True,
        "via": "mcp",
        "to": "bob",
        "body": 'say "hi"\n\u4f60',
        "thread": "t1",
        "reply_to": "m0",
        "delivery": 1,
        "redelivered": False,
    }
    assert answer["more"] is False and "data" in answer["note"]


async def test_the_same_id_is_stored_once_and_other_content_is_refused(broker, connect):
    alice = await connect("alice")
    assert (await alice.call("msg_send", to="bob", body="x", id="m1"))["created"] is True
    assert (await alice.call("msg_send", to="bob", body="x", id="m1"))["created"] is False
    assert (await alice.call("msg_send", to="bob", body="y", id="m1"))["code"] == "key_reused"
    assert (await broker.mail.peek("bob", 10, 0))[1] == 1


async def test_a_send_without_an_id_gets_one(connect):
    alice = await connect("alice")
    ids = {(await alice.call("msg_send", to="bob", body="x"))["id"] for _ in range(2)}
    assert len(ids) == 2


async def test_a_name_nobody_has_is_accepted_with_the_nearest_ones(connect):
    alice, _ = await connect("alice"), await connect("robert")
    sent = await alice.call("msg_send", to="rober", body="x")
    assert sent["known"] is False and "robert" in sent["names"]
    assert sent["reach"] == (
        "nobody of that name has been seen; the message waits for one; did you mean robert?; online: alice, robert"
    )


async def test_a_read_stays_under_the_budget_says_more_and_loses_nothing(broker, connect):
    for number in range(60):
        await mail(broker, f"m{number}", '"\n' * 300)  # twice as long once escaped
    bob, seen, reads = await connect("bob"), [], 0
    while True:
        answer = await bob.answer(bob.tool("msg_read", limit=200))
        assert len(text_of(answer)) < ANSWER_BUDGET
        read = json.loads(text_of(answer))
        seen += [each["id"] for each in read["messages"]]
        reads += 1
        if not read["more"]:
            break
    assert seen == [f"m{number}" for number in range(60)] and reads > 3


async def test_a_message_longer_than_the_budget_comes_alone_and_whole(broker, connect):
    long = "\U0001f4ec\\" * (MAX_BODY // 2)
    await mail(broker, "small", "x")
    await mail(broker, "long", long)
    await mail(broker, "last", "x")
    bob = await connect("bob")
    bodies = [[each["body"] for each in (await bob.call("msg_read"))["messages"]] for _ in range(3)]
    assert bodies == [["x"], [long], ["x"]]


async def test_broadcasts_stay_under_the_budget_say_more_and_skip_nothing(broker, connect):
    for number in range(40):
        await broker.broadcasts.broadcast(BroadcastDraft(id=f"b{number}", body='"' * 1000), ALICE)
    bob, seen = await connect("bob"), []
    while True:
        answer = await bob.answer(bob.tool("msg_broadcasts", limit=40))
        assert len(text_of(answer)) < ANSWER_BUDGET
        read = json.loads(text_of(answer))
        seen += [each["id"] for each in read["broadcasts"]]
        if not read["more"]:
            break
    assert seen == [f"b{number}" for number in range(40)]


async def test_all_broadcasts_shows_the_newest_and_moves_no_cursor(broker, connect):
    for number in range(5):
        await broker.broadcasts.broadcast(BroadcastDraft(id=f"b{number}", body="x"), ALICE)
    bob = await connect("bob")
    answer = await bob.call("msg_broadcasts", all=True, limit=3)
    assert [each["id"] for each in answer["broadcasts"]] == ["b2", "b3", "b4"] and answer["more"]
    await bob.think()
    assert (await bob.call("msg_check"))["unseenBroadcasts"] == 5


async def test_broadcasts_that_left_before_one_came_are_told_once(open_broker, connect):
    broker = await open_broker(max_broadcasts=2)
    bob = await connect("bob", broker=broker)
    await broker.broadcasts.broadcast(BroadcastDraft(id="b0", body="x"), ALICE)
    assert len((await bob.call("msg_broadcasts"))["broadcasts"]) == 1
    for number in range(1, 6):
        await broker.broadcasts.broadcast(BroadcastDraft(id=f"b{number}", body="x"), ALICE)
    answer = await bob.call("msg_broadcasts")
    assert (answer["missed"], [each["id"] for each in answer["broadcasts"]]) == (3, ["b4", "b5"])
    assert (await bob.call("msg_broadcasts"))["missed"] == 0


async def test_whoami_tells_the_name_where_it_is_from_and_what_waits(broker, connect):
    bob, other = await connect("bob"), await connect("bob")
    await mail(broker, "m1")
    me = await bob.call("msg_whoami")
    assert (me["agent"], me["named"][:18], me["sharedWith"]) == ("bob", "POSTINO_AGENT_NAME", 1)
    assert (me["onlineAgents"], me["unreadMessages"], me["unseenBroadcasts"]) == (1, 1, 0)
    assert (me["online"], me["next"]) == ([], "[postino] 1 unread message (from unverified 'alice'): call msg_read")
    await other.close()
    assert (await bob.call("msg_whoami"))["sharedWith"] == 0


async def test_whoami_names_twenty_who_are_online_and_what_to_call_next(broker, connect):
    names = [f"a{number:02}" for number in range(22)]
    for name in names:
        await broker.agents.heartbeat(name)
    me = await (await connect("bob")).call("msg_whoami")
    assert [each["name"] for each in me["online"]] == names[:20]
    assert me["online"][0] == {"name": "a00", "kind": "agent", "state": "unknown"}
    assert me["onlineAgents"] == 23
    assert "msg_send" in me["next"] and "msg_list_agents" in me["next"]


async def test_check_says_what_to_call(broker, connect):
    bob = await connect("bob")
    assert "hint" not in await bob.call("msg_check")
    await mail(broker, "m1")
    assert (await bob.call("msg_check"))[
        "hint"
    ] == "[postino] 1 unread message (from unverified 'alice'): call msg_read"


async def test_senders_that_are_not_verified_are_named_once_per_answer(broker, connect):
    ann, bob = await connect("ann"), await connect("bob")
    await ann.call("msg_send", to="bob", body="x")
    assert "unverified" not in await bob.call("msg_read")
    for id in ("m1", "m2"):
        await mail(broker, id)
    assert (await bob.call("msg_read"))["unverified"] == "'alice': any program of this user can use such a name"
    await broker.broadcasts.broadcast(BroadcastDraft(id="b1", body="x"), ALICE)
    assert (await bob.call("msg_broadcasts"))["unverified"].startswith("'alice'")
    assert (await bob.call("msg_broadcasts", all=True))["unverified"].startswith("'alice'")


async def test_whoami_tells_a_derived_name_from_a_chosen_one(connect):
    relay = await connect()
    await relay.greet(session="s-d", directory="/work", host="h")
    await relay.open()
    assert "derived" in (await relay.call("msg_whoami"))["named"]
    await relay.call("msg_rename", name="chosen")
    me = await relay.call("msg_whoami")
    assert me["agent"] == "chosen" and "derived" not in me["named"] and len(me["aliases"]) == 1


async def test_agents_are_listed_online_first(broker, connect):
    await mail(broker, "m1", to="aaron")
    await connect("zoe")
    listed = await (await connect("bob")).call("msg_list_agents")
    assert [(each["name"], each["online"]) for each in listed["agents"]] == [
        ("bob", True),
        ("zoe", True),
        ("aaron", False),
    ]
    assert listed["you"] == "bob" and listed["total"] == 3


async def test_a_rename_keeps_the_old_name_and_is_refused_when_taken(connect):
    alice, bob = await connect("alice"), await connect("bob")
    assert (await bob.call("msg_rename", name="alice"))["code"] == "name_taken"
    assert (await bob.call("msg_rename", name="robert"))["aliases"] == ["bob"]
    assert (await alice.call("msg_send", to="bob", body="x"))["to"] == "robert"


async def test_cleanup_forgets_who_is_gone_without_mail(broker, connect):
    await (await connect("gone")).close()
    await mail(broker, "m1", to="waiting")
    assert (await (await connect("bob")).call("msg_cleanup"))["forgotten"] == ["gone"]


async def test_a_full_inbox_is_refused_with_its_code(open_broker, connect):
    broker = await open_broker(max_inbox=1)
    alice = await connect("alice", broker=broker)
    await alice.call("msg_send", to="bob", body="x")
    refused = await alice.call("msg_send", to="bob", body="y")
    assert (refused["code"], refused["retryable"]) == ("inbox_full", True)


async def test_a_refused_character_is_named_with_its_place(connect):
    refused = await (await connect("bob")).call("msg_send", to="bob", body="ab\u2066c")
    assert refused["position"] == 2 and "U+2066" in refused["error"]


@pytest.mark.parametrize(
    "params",
    [
        {"name": "msg_send", "arguments": ["to", "bob"]},
        {"name": "msg_send", "arguments": "to"},
        {"name": "msg_nonsense"},
        {"name": "\ud800"},
        {"name": 5},
        {},
    ],
)
async def test_a_call_that_is_none_is_answered_with_invalid_params(connect, params):
    bob = await connect("bob")
    assert (await bob.ask("tools/call", params))["error"]["code"] == -32602
    assert (await bob.call("msg_check"))["agent"] == "bob"


@pytest.mark.parametrize("params", [[1], "x", 7])
async def test_a_frame_that_is_no_request_is_answered_and_the_connection_lives(connect, params):
    bob = await connect("bob")
    bob.send({"jsonrpc": "2.0", "id": "odd", "method": "tools/call", "params": params})
    assert (await bob.answer("odd"))["error"]["code"] == -32600
    assert (await bob.call("msg_check"))["agent"] == "bob"


@pytest.mark.parametrize(
    "method", ["server/discover", "subscriptions/listen", "logging/setLevel", "tasks/list", "postino/x", "m" * 900_000]
)
async def test_what_is_not_served_is_answered_at_once_with_method_not_found(connect, method):
    bob = await connect("bob")
    assert (await bob.ask(method, {"level": "info"}))["error"]["code"] == -32601


async def test_a_connection_that_opens_in_the_modern_era_still_gets_the_handshake(connect):
    relay = await connect()
    await relay.greet()
    envelope = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    assert (await relay.ask("server/discover", {"_meta": envelope}))["error"]["code"] == -32601
    assert (await relay.open())["protocolVersion"] == "2025-11-25"
    assert (await relay.call("msg_check"))["unreadMessages"] == 0


@pytest.mark.parametrize(
    ("tool", "given"), [("msg_send", {"to": "carol", "body": "poison"}), ("msg_broadcast", {"body": "poison"})]
)
async def test_a_send_without_an_id_can_be_repeated_when_its_outcome_is_unknown(
    open_broker, proxy, connect, tool, given
):
    between = await proxy()
    bob = await connect("bob", broker=await open_broker(valkey_url=between.url))
    between.lose = b"poison"

    refusal = await bob.call(tool, **given)
    between.lose = None
    repeated = await bob.call(tool, **given, id=refusal["id"])

    assert (refusal["code"], refusal["outcome"]) == ("store_away", "unknown")
    assert (repeated["created"], repeated["seq"]) == (False, 1)
    await bob.close()


def test_what_every_session_has_in_its_context_stays_short() -> None:
    """2,718 characters before `msg_ask`; a client of another kind is told a little more."""
    always = [each.definition for each in all_tools.TOOLS.values() if each.definition.meta]
    shown = [each.model_dump(by_alias=True, exclude_none=True) for each in always]
    tools = [json.dumps(each, separators=(",", ":"), ensure_ascii=False) for each in shown]

    assert {each.name for each in always} == {"msg_whoami", "msg_send", "msg_read"}
    assert sum(map(len, tools)) + len(instructions("claude-code")) <= 2_918
