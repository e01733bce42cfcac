"""A person's inbox in the terminal: opened, answered by a choice, done; and who opened what."""

from __future__ import annotations

from tests.tui.conftest import Open
from tests.waiting import eventually


async def test_a_message_counts_as_opened_once_it_was_shown_for_a_while(
    open_inbox: Open, client, person, monkeypatch
) -> None:
    sent = client.send([person, f"{person}-b"], "Which branch?", sender="planner")
    with monkeypatch.context() as patient:
        patient.setattr("postino.tui.sight.SEEN_S", 3600.0)
        async with open_inbox(person) as terminal:
            await terminal.shows("Inbox 1", "● planner → you  Which branch?", person)
            assert [each["online"] for each in client.agents()["items"] if each["name"] == person] == [True]
    assert client.state(person, sent["id"])["state"] == "queued"

    async with open_inbox(person) as terminal:
        await terminal.shows("opened", f"to {person}, {person}-b")
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


async def test_a_click_answers_chooses_and_changes_the_view(open_inbox: Open, served, client, person) -> None:
    asker = f"{person}-b"
    served.posted("messages", {"to": person, "from": asker, "body": "Now?", "choices": ["Merge", "Wait"]})
    client.send(person, "The newer one", sender="planner", thread="fix-42")
    async with open_inbox(person) as terminal:
        await terminal.shows("│ The newer one")
        await terminal.click(f"{asker} → you")
        await terminal.shows("1 [Merge]   2 [Wait]")
        assert terminal.lines[0].split()[:1] == ["Inbox"]
        await terminal.click("2 [Wait]")
        await terminal.shows("Wait: sent to", "│ The newer one")
        await terminal.click("The newer one")
        await terminal.pilot.pause()
        assert terminal.app._place.view == "inbox"  # Enter would show its thread
        await terminal.click(" Messages ")
        await terminal.shows(f"you → {asker}")
        await terminal.click(f"  {asker}  ")
        await terminal.hides("The newer one")

    assert [each["body"] for each in client.peek(asker)["items"]] == ["Wait"]


async def test_a_key_acts_on_the_row_that_is_marked_also_right_after_the_move(
    open_inbox: Open, served, client, person
) -> None:
    for who in ("one", "two"):
        sender = f"{person}-{who}"
        served.posted("messages", {"to": person, "from": sender, "body": who, "choices": [f"yes {who}", "no"]})
    async with open_inbox(person) as terminal:
        await terminal.shows("1 [yes two]")
        terminal.app.action_move(1)
        terminal.app.action_choose(1)  # nobody was told of the move yet
        await terminal.shows(f"yes one: sent to {person}-one")
        terminal.app.action_move(1)
        terminal.app.action_reply()
        await terminal.shows(f"To {person}-two", "Ctrl+S sends")

    assert [each["body"] for each in client.peek(f"{person}-one")["items"]] == ["yes one"]


async def test_what_comes_while_the_inbox_ends_is_not_drawn(open_inbox: Open, client, person) -> None:
    client.send(person, "hello", sender="planner")
    async with open_inbox(person) as terminal:
        await terminal.shows("hello")
        await terminal.app.screen.remove_children()  # as at its end
        terminal.app._on_resized()
        terminal.app._on_state("live")


async def test_all_that_is_open_is_reached_by_scrolling(open_inbox: Open, client, person) -> None:
    for number in range(90):
        client.send(person, f"number {number}.", sender="planner")
    async with open_inbox(person) as terminal:
        for shown in (40, 80, 90):
            await eventually(lambda shown=shown: terminal.app._list.option_count == shown)  # type: ignore[misc]
            await terminal.press("end")
        await terminal.shows("│ number 0.", "Inbox 90")
        served = [each["id"] for each in client.inbox(person, limit=5)["items"]]
        client.done(person, served)  # elsewhere: what was loaded later stays
        await eventually(lambda: terminal.app._list.option_count == 85)
        await terminal.shows("│ number 0.", "Inbox 85")


async def test_done_takes_a_message_out_of_the_inbox(open_inbox: Open, client, person) -> None:
    client.send(person, "For your information", sender="planner")
    async with open_inbox(person) as terminal:
        await terminal.shows("For your information")
        await terminal.press("e")
        await terminal.shows("Nothing waits for you.")
        await terminal.press("g", "m")
        await terminal.shows("planner → you", "read ")


async def test_a_message_to_all_people_is_not_done_before_it_was_opened(
    open_inbox: Open, client, person, monkeypatch
) -> None:
    sent = client.send("human", f"Who of you, {person}?", sender="planner")
    with monkeypatch.context() as patient:
        patient.setattr("postino.tui.sight.SEEN_S", 3600.0)
        async with open_inbox(person) as terminal:
            await terminal.shows(f"Who of you, {person}?")
            await terminal.press("e")
            await terminal.shows("to all people, and not opened yet")
    assert client.state("human", sent["id"])["state"] == "queued"

    async with open_inbox(person) as terminal:
        await terminal.shows(f"Who of you, {person}?", "opened")
        await terminal.press("e")
        await terminal.hides(f"Who of you, {person}?")


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


async def test_who_is_renamed_goes_on_under_the_new_name(open_inbox: Open, client, person) -> None:
    client.send(person, "To the old name", sender="planner")
    async with open_inbox(person) as terminal:
        await terminal.shows("planner → you")
        client.rename(person, f"{person}-new")
        await terminal.shows(f"{person}-new · live", "planner → you")
        await terminal.press("r", "o", "k", "ctrl+s")
        await terminal.shows("sent to planner")

    assert client.history(agent=f"{person}-new", limit=1)["items"][0]["from"] == f"{person}-new"


async def test_what_comes_is_shown_at_once(open_inbox: Open, client, person) -> None:
    async with open_inbox(person) as terminal:
        await terminal.shows("Nothing waits for you.")
        client.send(person, "It is red", sender="ci")
        await terminal.shows("ci → you  It is red", "Inbox 1")
