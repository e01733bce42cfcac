"""Arguments as clients encode them: what is taken, what is refused, and that the schemas promise exactly that."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from postino.errors import PostinoError
from postino.mcp.arguments import parse
from postino.mcp.tools import TOOLS
from postino.model import Draft, Sender
from postino.values import MAX_BODY

ODD: list[Any] = [
    *(
        None,
        "",
        " ",
        True,
        False,
        "true",
        "false",
        "True",
        "False",
        "TRUE",
        0,
        1,
        5,
        5.0,
        5.5,
        200,
        201,
        -1,
        1e300,
        999_999,
        1_000_000,
    ),
    *(
        "0",
        "5",
        "5.0",
        "05",
        "5.5",
        "200",
        "201",
        "-5",
        "1e2",
        "\u0665",
        "999999",
        "1000000",
        "m1",
        "reply",
        "a b",
        "all",
        "bob",
    ),
    *([], [1], ["m1"], ["m1", "m.2"], ["a b"], ["m"] * 201, {}, {"a": 1}, "[]", '["m1"]', ' [ "m1" , "m2" ] ', "[5.0]"),
    *('["a b"]', '["m1",]', '["\\u006d1"]', "x" * 129, "x" * (MAX_BODY + 1), "a\x1b", "${POSTINO_AGENT_NAME}"),
]


@pytest.mark.parametrize("tool", TOOLS)
def test_the_schema_promises_exactly_what_is_taken(tool):
    """Each value for each argument, the others right: valid by the schema if and only if the call takes it."""
    kind, shown = TOOLS[tool].arguments, TOOLS[tool].definition.input_schema
    right = {"to": "bob", "body": "x", "ids": ["m1"], "name": "bob", "group": "team"}
    plain = {name: right[name] for name in shown.get("required", [])}
    Draft202012Validator.check_schema(shown)
    promised = Draft202012Validator(shown)
    for name, value in itertools.product([*shown["properties"], "other"], ODD):
        given = plain | {name: value}
        try:
            parse(tool, kind, given)
            taken = True
        except PostinoError:
            taken = False
        if name == "choices":  # its limits are in the refusal: a schema is in the context of every session
            assert promised.is_valid(given) or not taken or isinstance(value, str), (name, value)
        else:
            assert taken == promised.is_valid(given), (name, value)


async def test_loosely_encoded_arguments_do_what_the_plain_ones_do(broker, connect):
    bob = await connect("bob")
    for number in range(8):
        await broker.mail.send(Draft(id=f"m{number}", to="bob", body="x"), Sender(name="ann", via="http"))

    counts = [len((await bob.call("msg_read", limit=each))["messages"]) for each in (2.0, "1", "2.0", "", None)]
    acked = await bob.call("msg_ack", ids='["m0", "m1"]')
    listed = await bob.call("msg_list_agents", limit="1", offset=1.0)
    sent = await bob.call("msg_send", to="ann", body="5", id="", thread=None, reply_to="")
    await bob.call("msg_broadcast", body="b", id=None)

    assert counts == [2, 1, 2, 3, 0]
    assert acked["acknowledged"] == ["m0", "m1"]
    assert (len(listed["agents"]), listed["total"], listed["more"]) == (0, 1, False)
    assert sent["created"] and len(sent["id"]) == 32
    assert len((await bob.call("msg_broadcasts", all="True", limit="3"))["broadcasts"]) == 1


async def test_every_fault_of_a_call_is_told_at_once(broker, connect):
    bob = await connect("bob")
    refused = await bob.call("msg_send", to=5, text="x", id="a b", thread=["t"])
    assert [each["field"] for each in refused["faults"]] == ["text", "to", "body", "id", "thread"]
    assert refused["error"] == (
        "msg_send does not know text; it takes to, body, id, thread, reply_to, expects, choices; to: must be an agent, "
        "#group or a list of agents, not 5; msg_send needs body; id must be 1 to 128 of A-Z a-z 0-9 "
        ". _ : -; thread: must be text, not a list"
    )
    assert (refused["code"], refused["field"]) == ("bad_field", "text")
    assert "faults" not in await bob.call("msg_send", to=5, body="x")
    many = await bob.call("msg_check", **{f"a{number}": 1 for number in range(1000)})
    assert many["error"].endswith("a8, a9 and 990 more; it takes no arguments") and len(many["error"]) < 120
    assert (await broker.stats())["messageCount"] == 0


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("msg_whoami", {"x": 1}, "x"),
    ("msg_check", {"agent": "bob"}, "agent"),
    ("msg_list_agents", {"agent": "bob"}, "agent"),
    ("msg_list_agents", {"offset": 1_000_000}, "offset"),
    ("msg_cleanup", {"force": True}, "force"),
    ("msg_send", {}, "body"),
    ("msg_send", {"body": "x"}, "to"),
    ("msg_send", {"to": "bob"}, "body"),
    ("msg_send", {"to": "bob", "body": "x", "from": "human"}, "from"),
    ("msg_send", {"to": 5, "body": "x"}, "to"),
    ("msg_send", {"to": None, "body": "x"}, "to"),
    ("msg_send", {"to": "", "body": "x"}, "to"),
    ("msg_send", {"to": "a b", "body": "x"}, "to"),
    ("msg_send", {"to": "n" * 65, "body": "x"}, "to"),
    ("msg_send", {"to": "All", "body": "x"}, "to"),
    ("msg_send", {"to": ["ada", 5], "body": "x"}, "to"),
    ("msg_send", {"to": [], "body": "x"}, "to"),
    ("msg_send", {"to": "[]", "body": "x"}, "to"),
    ("msg_send", {"to": ["ada", "a b"], "body": "x"}, "to[1]"),
    ("msg_send", {"to": [f"a{number}" for number in range(51)], "body": "x"}, "to"),
    ("msg_send", {"to": "#all", "body": "x"}, "to"),
    ("msg_join", {"group": "#"}, "group"),
    ("msg_send", {"to": "bob", "body": ""}, "body"),
    ("msg_send", {"to": "bob", "body": ["x"]}, "body"),
    ("msg_send", {"to": "bob", "body": "x" * (MAX_BODY + 1)}, "body"),
    ("msg_send", {"to": "bob", "body": "a\u202eb"}, "body"),
    ("msg_send", {"to": "bob", "body": "a\ud800b"}, "body"),
    ("msg_send", {"to": "bob", "body": "a\x1b[0m"}, "body"),
    ("msg_send", {"to": "bob", "body": "x", "id": "a b"}, "id"),
    ("msg_send", {"to": "bob", "body": "x", "id": 5.0}, "id"),
    ("msg_send", {"to": "bob", "body": "x", "id": 7}, "id"),
    ("msg_send", {"to": "bob", "body": "x", "thread": "t\n"}, "thread"),
    ("msg_send", {"to": "bob", "body": "x", "thread": " t"}, "thread"),
    ("msg_send", {"to": "bob", "body": "x", "thread": "t" * 121}, "thread"),
    ("msg_send", {"to": "bob", "body": "x", "expects": "thanks"}, "expects"),
    ("msg_send", {"to": "bob", "body": "x", "expects": ["none"]}, "expects"),
    ("msg_send", {"to": "bob", "body": "x", "reply_to": "r" * 129}, "reply_to"),
    ("msg_send", {"to": "bob", "body": "x", "\ud800": 1}, "\\u{d800}"),
    ("msg_read", {"limit": 0}, "limit"),
    ("msg_read", {"limit": 201}, "limit"),
    ("msg_read", {"limit": "201"}, "limit"),
    ("msg_read", {"limit": "5.5"}, "limit"),
    ("msg_read", {"limit": "ten"}, "limit"),
    ("msg_read", {"limit": 2.5}, "limit"),
    ("msg_read", {"limit": True}, "limit"),
    ("msg_ack", {}, "ids"),
    ("msg_ack", {"ids": []}, "ids"),
    ("msg_ack", {"ids": "m1"}, "ids"),
    ("msg_ack", {"ids": [1]}, "ids"),
    ("msg_ack", {"ids": ["m1", 5.0]}, "ids"),
    ("msg_ack", {"ids": "[]"}, "ids"),
    ("msg_ack", {"ids": "[5.0]"}, "ids"),
    ("msg_ack", {"ids": ""}, "ids"),
    ("msg_ack", {"ids": ["m"] * 201}, "ids"),
    ("msg_ack", {"ids": ["a b"]}, "ids"),
    ("msg_broadcast", {"body": "x", "to": "bob"}, "to"),
    ("msg_broadcast", {"body": "\x00"}, "body"),
    ("msg_broadcasts", {"all": "yes"}, "all"),
    ("msg_broadcasts", {"limit": -1}, "limit"),
    ("msg_rename", {"name": "postino"}, "name"),
    ("msg_rename", {"name": ".hidden"}, "name"),
    ("msg_rename", {"name": {"deep": {"er": []}}}, "name"),
]


@pytest.mark.parametrize(("tool", "arguments", "named"), BAD)
async def test_a_wrong_argument_is_named_and_changes_nothing(broker, connect, tool, arguments, named):
    bob = await connect("bob")
    refused = await bob.call(tool, **arguments)
    assert refused["ok"] is False and named in refused["error"] and named in refused["field"]
    assert refused["code"] in ("bad_field", "bad_name", "name_reserved")
    assert (await broker.stats())["messageCount"] == 0
    assert (await bob.call("msg_whoami"))["agent"] == "bob"


IN_WORDS = [
    ("msg_read", {"limit": "three"}, 'limit: must be a whole number from 1 to 200, not "three"'),
    ("msg_read", {"limit": 0}, "limit: must be a whole number from 1 to 200, not 0"),
    ("msg_broadcasts", {"all": "yes"}, 'all: must be true or false, not "yes"'),
    (
        "msg_send",
        {"to": None, "body": "x"},
        "to is missing; without it, `reply_to` says which message this answers",
    ),
    ("msg_send", {"to": "bob", "body": "x", "thread": {}}, "thread: must be text, not an object"),
    ("msg_ack", {"ids": "m1"}, 'ids: must be a list of ids, not "m1"'),
    ("msg_ack", {"ids": []}, "ids: must be a list of 1 to 200 ids, not of 0"),
    ("msg_ack", {"ids": ["m1", 5.0]}, "ids[1]: must be text, not 5.0"),
]


@pytest.mark.parametrize(("tool", "arguments", "sentence"), IN_WORDS)
async def test_a_wrong_argument_is_told_in_words(connect, tool, arguments, sentence):
    assert (await (await connect("bob")).call(tool, **arguments))["error"] == sentence
