"""Resources, prompts and completion over MCP."""

from __future__ import annotations

import json

import pytest

from postino.values import MAX_PAGE
from tests.mcp.mail import mail


async def test_an_own_inbox_is_read_as_a_resource_and_another_is_refused(broker, connect):
    await mail(broker, "m1")
    bob = await connect("bob")
    listed = (await bob.ask("resources/list"))["result"]["resources"]
    assert [each["uri"] for each in listed] == ["postino://agents", "postino://inbox/bob"]
    templates = (await bob.ask("resources/templates/list"))["result"]["resourceTemplates"]
    assert [each["uriTemplate"] for each in templates] == ["postino://inbox/{agent}"]
    (content,) = (await bob.ask("resources/read", {"uri": "postino://inbox/bob"}))["result"]["contents"]
    assert [each["id"] for each in json.loads(content["text"])["messages"]] == ["m1"]
    assert (await broker.mail.state("bob", "m1")).state == "leased"
    refused = (await bob.ask("resources/read", {"uri": "postino://inbox/alice"}))["error"]
    assert refused["code"] == -32602 and "postino://inbox/bob" in refused["message"]


@pytest.mark.parametrize("uri", ["postino://nothing", "file:///etc/passwd", "postino://inbox/", "postino://inbox/../x"])
async def test_a_resource_that_is_none_is_refused(connect, uri):
    assert (await (await connect("bob")).ask("resources/read", {"uri": uri}))["error"]["code"] == -32602


async def test_prompts_are_listed_and_filled(connect):
    bob = await connect("bob")
    prompts = (await bob.ask("prompts/list"))["result"]["prompts"]
    assert [each["name"] for each in prompts] == ["check-messages", "send-message"]
    assert all(each["description"] for each in prompts)
    (check,) = (await bob.ask("prompts/get", {"name": "check-messages"}))["result"]["messages"]
    assert "msg_read" in check["content"]["text"]
    arguments = {"to": "alice", "body": "lunch?"}
    (send,) = (await bob.ask("prompts/get", {"name": "send-message", "arguments": arguments}))["result"]["messages"]
    assert "alice" in send["content"]["text"] and "lunch?" in send["content"]["text"]


@pytest.mark.parametrize(
    ("name", "arguments", "named"),
    [
        ("nothing", {}, "nothing"),
        ("check-messages", {"x": "1"}, "x"),
        ("send-message", {}, "to"),
        ("send-message", {"to": "a b"}, "to"),
        ("send-message", {"to": "bob", "body": "\x1b"}, "body"),
        ("send-message", {"to": "bob", "whom": "x"}, "whom"),
    ],
)
async def test_a_prompt_that_cannot_be_filled_is_refused(connect, name, arguments, named):
    error = (await (await connect("bob")).ask("prompts/get", {"name": name, "arguments": arguments}))["error"]
    assert error["code"] == -32602 and named in error["message"]


@pytest.mark.parametrize(
    ("ref", "argument", "typed", "expected"),
    [
        ({"type": "ref/prompt", "name": "send-message"}, "to", "", ["alice", "bob", "carol"]),
        ({"type": "ref/prompt", "name": "send-message"}, "to", "CA", ["carol"]),
        ({"type": "ref/prompt", "name": "send-message"}, "body", "a", []),
        ({"type": "ref/resource", "uri": "postino://inbox/{agent}"}, "agent", "b", ["bob"]),
        ({"type": "ref/resource", "uri": "postino://inbox/{agent}"}, "agent", "a", []),
    ],
)
async def test_names_are_completed(broker, connect, ref, argument, typed, expected):
    await connect("alice")
    bob = await connect("bob")
    await mail(broker, "m1", to="carol")
    answer = await bob.ask("completion/complete", {"ref": ref, "argument": {"name": argument, "value": typed}})
    assert answer["result"]["completion"]["values"] == expected


async def test_who_is_online_is_listed_and_completed_however_many_are_not(broker, connect):
    for number in range(MAX_PAGE + 5):
        await mail(broker, f"m{number}", to=f"a{number}")
    await connect("zed")
    bob = await connect("bob")

    listed = await bob.call("msg_list_agents")
    completed = await bob.ask(
        "completion/complete",
        {"ref": {"type": "ref/prompt", "name": "send-message"}, "argument": {"name": "to", "value": ""}},
    )

    assert [each["name"] for each in listed["agents"]][:3] == ["bob", "zed", "a0"]
    shown = len(listed["agents"])  # fewer than a page where the longest answer allowed is reached before
    assert (shown <= MAX_PAGE, listed["total"], listed["more"], listed["next"]) == (True, MAX_PAGE + 7, True, shown)
    rest = await bob.call("msg_list_agents", offset=listed["next"])
    assert (len(rest["agents"]), rest["more"], "next" in rest) == (MAX_PAGE + 7 - shown, False, False)
    assert len({each["name"] for each in listed["agents"] + rest["agents"]}) == MAX_PAGE + 7
    completion = completed["result"]["completion"]
    assert (completion["values"][:3], completion["total"]) == (["bob", "zed", "a0"], MAX_PAGE + 7)
