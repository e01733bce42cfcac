"""What a person's own commands do: they read, send and answer as that person."""

from __future__ import annotations

import json
from typing import Any

import pytest


@pytest.fixture
def person(postino: Any) -> str:
    """The person whose daemon this is, with an inbox in which nothing is open."""
    name = str(postino.json("whoami")["agent"])
    ids = [each["id"] for each in postino.json("read", "--peek")["items"]]
    if ids:
        postino.ok("read")
        for id in ids:
            postino.ok("send", "nobody-asks", "done", "--reply-to", id)
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
