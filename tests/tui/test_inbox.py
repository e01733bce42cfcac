"""A person's inbox in the terminal: opened, answered by a choice, done; and who opened what."""

from __future__ import annotations

import pytest

from tests.tui.conftest import Open


@pytest.fixture
def person(served, name) -> str:
    """A person whom no other test of the file uses."""
    served.posted(f"people/{name}", {})
    return name


async def test_a_message_counts_as_opened_once_it_was_shown_for_a_while(
    open_inbox: Open, client, person, monkeypatch
) -> None:
    sent = client.send(person, "Which branch?", sender="planner")
    with monkeypatch.context() as patient:
        patient.setattr("postino.tui.app.SEEN_S", 3600.0)
        async with open_inbox(person) as terminal:
            await terminal.shows("Inbox 1", "● planner → you  Which branch?", person)
            assert [each["online"] for each in client.agents()["items"] if each["name"] == person] == [True]
    assert client.state(person, sent["id"])["state"] == "queued"

    async with open_inbox(person) as terminal:
        await terminal.shows("opened")
    assert client.state(person, sent["id"])["state"] == "acked"


async def test_a_choice_is_an_answer_that_takes_the_message_out(open_inbox: Open, served, client, person) -> None:
    choices = {
        "to": person,
        "from": f"{person}-b",
        "body": "Merge now?",
        "choices": ["Merge", "Wait"],
        "thread": "fix-42",
    }
    sent = served.posted("messages", choices)
    async with open_inbox(person) as terminal:
        await terminal.shows("1 [Merge]   2 [Wait]")
        await terminal.press("2", "2")
        await terminal.shows("Nothing waits for you.")

    (answer,) = client.peek(f"{person}-b")["items"]
    assert (answer["body"], answer["reply_to"], answer["thread"]) == ("Wait", sent["id"], "fix-42")


async def test_done_takes_a_message_out_of_the_inbox(open_inbox: Open, client, person) -> None:
    client.send(person, "For your information", sender="planner")
    async with open_inbox(person) as terminal:
        await terminal.shows("For your information")
        await terminal.press("e")
        await terminal.shows("Nothing waits for you.")
        await terminal.press("g", "m")
        await terminal.shows("planner → you", "read ")


async def test_of_a_message_to_all_people_one_sees_who_opened_it(open_inbox: Open, served, client, person) -> None:
    other = f"{person}-other"
    served.posted(f"people/{other}", {})
    sent = client.send("human", f"Anybody of {person}?", sender="planner")
    async with open_inbox(person) as terminal:
        await terminal.shows(f"planner → human  Anybody of {person}?")
        served.posted(f"people/{other}/seen", {"ids": [sent["id"]]})
        await terminal.shows(f"opened by {other}")
        served.posted(f"people/{other}/done", {"ids": [sent["id"]]})
        await terminal.shows("Nothing waits for you.")


async def test_what_comes_is_shown_at_once(open_inbox: Open, client, person) -> None:
    async with open_inbox(person) as terminal:
        await terminal.shows("Nothing waits for you.")
        client.send(person, "It is red", sender="ci")
        await terminal.shows("ci → you  It is red", "Inbox 1")
