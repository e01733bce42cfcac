"""What a person's own commands do: they read, send and answer as that person."""

from __future__ import annotations

import json
from typing import Any

import pytest

from postino.client import Client
from postino.paths import Home


@pytest.fixture
def person(postino: Any) -> str:
    """The person whose daemon this is, with an inbox in which nothing is open."""
    name = str(postino.json("whoami")["agent"])
    postino.ok("read")
    postino.ok("done", "--opened")
    return name


def test_a_person_reads_what_is_new_once_and_finds_it_open(postino: Any, person: str) -> None:
    asked = ("send", person, "Merge?", "--from", "builder", "--id", "p1-ask", "--choice", "now", "--choice", "later")
    assert postino.ok(*asked).splitlines()[1].startswith("a person")
    postino.ok("send", "human", "Who?", "--from", "planner", "--id", "p1-all")
    assert postino.ok("check") == f"{person}: 2 new messages, 2 open\n"

    shown = postino.ok("read", "--limit", "1")

    assert "Merge?" in shown and "choices: now | later" in shown and "Who?" not in shown
    assert "Who?" in postino.ok("read")
    assert postino.ok("read") == f"No new messages for {person}, 2 open (--peek shows them).\n"
    assert [each["opened_by"] for each in postino.json("read", "--peek")["items"]] == [person, person]
    assert json.loads(postino.ok("history", "--search", "p1-ask", "--json"))["items"][0]["reader"] == person


def test_an_answer_from_the_terminal_is_of_the_person_and_verified(postino: Any, person: str) -> None:
    postino.ok("send", person, "Which?", "--from", "p2-bob", "--id", "p2-ask")

    assert postino.ok("reply", "p2-ask", "the first").startswith("sent to p2-bob, ")

    answer = postino.json("read", "p2-bob", "--peek")["items"][0]
    assert (answer["from"], answer["verified"], answer["reply_to"]) == (person, True, "p2-ask")
    assert postino.ok("check") == f"{person}: 0 new messages, 0 open\n"


def test_who_waits_gets_what_comes(postino: Any, person: str) -> None:
    with postino.open("read", "--wait", "20", "--json") as process:
        postino.ok("send", person, "at last", "--from", "p3-bob")
        out, _ = process.communicate(timeout=30)

    assert [each["body"] for each in json.loads(out)["items"]] == ["at last"]


@pytest.mark.parametrize("limit", ["0", "-1", "201"])
def test_a_limit_that_is_none_is_refused(postino: Any, limit: str) -> None:
    assert postino.no(2, "read", "--limit", limit) == f"--limit must be 1 to 200, not {limit}"
    assert len(postino.no(2, "send", "x", "y", *(["--choice", "a"] * 2)).splitlines()) == 1


def test_in_a_session_without_a_mailbox_nobody_reads_as_the_person(postino: Any, person: str) -> None:
    assert "agent name missing" in postino.no(2, "read", CLAUDE_PID="1")


def test_all_that_is_new_is_read_the_oldest_first_and_done_without_an_answer(postino: Any, person: str) -> None:
    with Client(Home(postino.home).socket) as client:
        for number in range(55):
            client.send(person, f"number {number}.", sender="p4-ci", id=f"p4-{number}")

    looked = postino.json("read", "--peek", "--limit", "3")
    assert ([each["id"] for each in looked["items"]], looked["more"]) == (["p4-0", "p4-1", "p4-2"], True)
    first, then = postino.ok("read"), postino.ok("read")

    assert first.index("number 0.") < first.index("number 49.") and first.endswith("\n5 more.\n")
    assert "number 49." not in then and "number 54." in then
    assert postino.ok("done", "p4-0", "p4-x") == "1 message done; not in your inbox: p4-x\n"
    assert postino.no(2, "done") == "give the ids of messages, or --opened"
    assert postino.ok("done", "--opened") == "54 messages done\n"
    assert postino.ok("check") == f"{person}: 0 new messages, 0 open\n"


def test_what_is_to_all_people_is_not_ended_before_anybody_has_opened_it(postino: Any, person: str) -> None:
    for id, to in (("p6-1", "human"), ("p6-2", "human"), ("p6-3", person)):
        postino.ok("send", to, "Who?", "--from", "p6-ci", "--id", id)

    assert postino.no(3, "done", "p6-1", "p6-3").startswith(
        "p6-1: to all people, and nobody has opened it; nothing was"
    )
    assert postino.ok("check") == f"{person}: 3 new messages, 3 open\n"
    assert postino.ok("done", "p6-1", "--unread") == "1 message done\n"
    assert postino.ok("done", "p6-3") == "1 message done\n"  # one's own to end
    postino.ok("read")
    assert postino.ok("done", "p6-2") == "1 message done\n"
    assert "exclude each other" in postino.no(2, "done", "--opened", "--unread")


def test_a_name_of_a_person_leads_to_their_inbox_and_never_to_an_agents(postino: Any, person: str) -> None:
    with Client(Home(postino.home).socket) as client:
        client.register_person("p5-alice")
    postino.ok("send", "p5-alice", "For Alice", "--from", "p5-ci", "--id", "p5-1")
    postino.ok("send", "human", "For one of you", "--from", "p5-ci", "--id", "p5-2")

    assert postino.ok("check", "p5-Alice") == "p5-alice: 2 new messages, 2 open\n"
    assert "is a person" in postino.no(3, "read", "p5-alice", CLAUDE_PID="1")
    assert "to all people" in postino.ok("read", "p5-alice", "--peek", CLAUDE_PID="1")
    assert "For Alice" in postino.ok("read", "--agent", "p5-alice")
    assert "to all people  opened by p5-alice" in postino.ok("read", "--peek")
    for command in (("read",), ("read", "--peek"), ("check",)):
        refused = postino.no(2, *command, "human")
        assert f"`postino {command[0]}` without a name" in refused
    table = postino.ok("agents", "--limit", "100").splitlines()
    assert [line.split("(")[1][:-1] for line in table if line.startswith(("human", "p5-"))] == [
        "all people",
        "a person",
    ]
    postino.ok("done", "--opened", "--agent", "p5-alice")
    assert "mail    0 new messages, 0 open" in postino.ok("status")
    assert "only people" in postino.no(2, "done", "x", "--agent", "p5-ci")


def test_a_person_joins_a_group_and_gets_its_mail(postino: Any, person: str) -> None:
    assert postino.ok("groups", "join", "p9-team") == f"{person} joined #p9-team, which has 1 member\n"
    sent = postino.ok("send", "#p9-team", "to the team", "--from", "p9-ci")
    assert f"{person}: a person" in sent and sent.endswith(": the message waits in the inbox for 30 days\n")
    assert "to the team" in postino.ok("read")
    postino.ok("groups", "leave", "p9-team")
    postino.ok("done", "--opened")


@pytest.mark.parametrize(
    "command",
    [["send", "p9-ci", "hello"], ["broadcast", "hello"], ["read"], ["done", "p9-1"]],
    ids=lambda each: each[0],
)
def test_a_person_who_only_uses_commands_was_seen(bare: Any, command: tuple[str, ...]) -> None:
    person = "p9-ann"
    bare.ok("send", person, "hello", "--from", "p9-ci", "--id", "p9-1", POSTINO_HUMAN_NAME=person)
    assert bare.json("agents", person)["lastSeen"] is None
    bare.ok("check")
    assert "never" in bare.ok("agents", person)

    bare.ok(*command)

    assert bare.json("agents", person)["lastSeen"] is not None
    assert "just now" in bare.ok("agents", person)
    assert bare.json("agents", person)["online"] is False
