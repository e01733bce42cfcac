"""Keys that are pressed while an answer of the daemon is under way: none is lost, and none acts on another row."""

from __future__ import annotations

import pytest

from tests.tui.conftest import Open, Terminal
from tests.waiting import eventually


@pytest.fixture(autouse=True)
def nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """No message counts as opened, which would be a call more."""
    monkeypatch.setattr("postino.tui.sight.SEEN_S", 3600.0)


def fill(client, person: str, number: int, first: int = 0) -> None:
    for at in range(first, first + number):
        client.send(person, f"number {at}.", sender="planner")


async def counts(terminal: Terminal, number: int) -> None:
    await eventually(lambda: terminal.app._list.option_count == number, f"{number} rows are shown")


async def refreshes(terminal: Terminal, client, calls: str) -> None:
    """Hold the answer of a refresh."""
    terminal.held.hold(calls)
    client.send("somebody-else", "an event", sender="planner")
    await terminal.held.reached(calls)


async def test_a_refresh_does_not_undo_the_load_of_older_messages(open_inbox: Open, client, person) -> None:
    fill(client, person, 90)
    async with open_inbox(person) as terminal:
        await counts(terminal, 40)
        await terminal.settled()
        await refreshes(terminal, client, "GET /api/people")
        await terminal.press("end")
        terminal.held.hold("GET /api/agents")
        terminal.held.let_go("GET /api/people")
        await terminal.held.reached("GET /api/agents")
        terminal.held.let_go("GET /api/agents")
        await terminal.settled()
        assert terminal.app._list.option_count == 80
        await terminal.press("end")
        await terminal.shows("│ number 10.")
        await counts(terminal, 90)


async def test_a_key_at_the_last_row_waits_for_older_messages(open_inbox: Open, client, person) -> None:
    fill(client, person, 90)
    async with open_inbox(person) as terminal:
        await counts(terminal, 40)
        terminal.held.hold("GET /api/people")
        await terminal.press("end", "down", "j")
        assert "number 50." in terminal.marked
        terminal.held.let_go("GET /api/people")
        await terminal.shows("│ number 48.")
        terminal.held.hold("GET /api/people")
        await terminal.press("end", "end")
        terminal.held.let_go("GET /api/people")
        await terminal.shows("│ number 0.")
        await terminal.press("home")
        await terminal.shows("│ number 89.")


@pytest.mark.parametrize("key", ["e", "r", "1"])
async def test_a_key_for_a_message_that_is_not_loaded_yet_acts_on_no_other(
    open_inbox: Open, client, person, key: str
) -> None:
    fill(client, person, 9)
    client.send(person, "Which one?", sender="planner", choices=["this"])
    fill(client, person, 39, first=10)
    async with open_inbox(person) as terminal:
        await counts(terminal, 40)
        await terminal.settled()
        terminal.held.hold("GET /api/people")
        await terminal.press("end", "j", key)
        assert "Which one?" in terminal.marked and terminal.app._list.option_count == 40
        await terminal.shows("press the key again")
        terminal.held.let_go("GET /api/people")
        await terminal.shows("│ number 8.")
        assert not terminal.app._writing.has_class("shown")
        await terminal.press("e")
        await counts(terminal, 48)
        await terminal.settled()
        bodies = [each["body"] for each in client.inbox(person, limit=200)["items"]]
        assert "Which one?" in bodies and "number 8." not in bodies
        assert client.peek("planner")["items"] == []


async def test_a_key_upwards_takes_back_one_that_waits(open_inbox: Open, client, person) -> None:
    fill(client, person, 50)
    async with open_inbox(person) as terminal:
        await counts(terminal, 40)
        terminal.held.hold("GET /api/people")
        await terminal.press("end", "end", "up")
        terminal.held.let_go("GET /api/people")
        await counts(terminal, 50)
        await terminal.shows("│ number 11.")


async def test_keys_before_the_rows_of_a_view_are_not_lost(open_inbox: Open, client, person) -> None:
    fill(client, person, 3)
    async with open_inbox(person) as terminal:
        await counts(terminal, 3)
        await terminal.settled()
        terminal.held.hold("GET /api/history")
        await terminal.press("g", "m", "j", "down")
        terminal.held.let_go("GET /api/history")
        await terminal.shows("│ number 0.")


async def test_a_load_of_older_messages_that_failed_is_tried_again_by_the_next_key(
    open_inbox: Open, client, person
) -> None:
    fill(client, person, 50)
    async with open_inbox(person) as terminal:
        await counts(terminal, 40)
        await terminal.settled()
        terminal.held.fail("GET /api/people")
        await terminal.press("end")
        await terminal.shows("it failed")
        await terminal.press("end")
        await counts(terminal, 50)
        await terminal.shows("│ number 0.")


async def test_new_mail_does_not_move_the_mark_from_the_oldest_message(open_inbox: Open, client, person) -> None:
    fill(client, person, 45)
    async with open_inbox(person) as terminal:
        await counts(terminal, 40)
        await terminal.press("end")
        await counts(terminal, 45)
        await terminal.press("end")
        await terminal.shows("│ number 0.")
        for more in (1, 60):
            fill(client, person, more, first=100)
            await terminal.shows(f"Inbox {45 + (more if more == 1 else 61)}")
            await terminal.settled()
            assert "number 0." in terminal.marked
            await terminal.shows("│ number 0.")


async def test_a_message_that_leaves_gives_way_to_the_next_one(open_inbox: Open, client, person) -> None:
    fill(client, person, 4)
    async with open_inbox(person) as terminal:
        await terminal.shows("│ number 3.")
        await terminal.press("j", "j")
        await terminal.shows("│ number 1.")
        client.done(person, [client.inbox(person)["items"][2]["id"]])
        await terminal.shows("│ number 0.", "Inbox 3")
        client.done(person, [client.inbox(person)["items"][2]["id"]])
        await terminal.shows("│ number 2.", "Inbox 2")


async def test_a_key_for_a_message_that_has_just_left_changes_no_other(
    open_inbox: Open, served, client, person, monkeypatch
) -> None:
    asker = f"{person}-b"
    for body in ("one", "two", "three"):
        served.posted("messages", {"to": person, "from": asker, "body": body, "choices": ["Merge", "Wait"]})
    with monkeypatch.context() as slow:
        slow.setattr("postino.tui.lists.GAVE_WAY_S", 3600.0)
        async with open_inbox(person) as terminal:
            await terminal.shows("│ three")
            await terminal.press("2")
            await terminal.shows("│ two", "Inbox 2")  # the answer took the first one out
            await terminal.press("2", "e")
            await terminal.shows("the message has left, this is another one", "Inbox 2")
            await terminal.press("j", "1")  # it is the person who goes on
            await terminal.shows("Merge: sent to", "Inbox 1")
    assert [each["body"] for each in client.peek(asker)["items"]] == ["Wait", "Merge"]
    assert [each["body"] for each in client.inbox(person)["items"]] == ["two"]


async def test_done_marks_the_next_one_at_once_and_keys_need_not_wait(open_inbox: Open, client, person) -> None:
    fill(client, person, 6)
    async with open_inbox(person) as terminal:
        await terminal.shows("│ number 5.")
        await terminal.settled()
        terminal.held.hold("POST")
        await terminal.press("e", "j", "e")
        await terminal.shows("│ number 2.")  # while the answers are under way
        await terminal.pilot.resize_terminal(100, 30)  # draws
        await counts(terminal, 4)
        await terminal.press("e")
        terminal.held.let_all_go()
        await terminal.shows("Inbox 3")
        await terminal.settled()
        await counts(terminal, 3)
        assert "number 1." in terminal.marked
    assert [each["body"] for each in client.inbox(person)["items"]] == ["number 4.", "number 1.", "number 0."]


async def test_a_load_from_before_does_not_bring_back_what_was_done(open_inbox: Open, client, person) -> None:
    fill(client, person, 3)
    async with open_inbox(person) as terminal:
        await terminal.shows("│ number 2.")
        await terminal.settled()
        await refreshes(terminal, client, "GET /api/people")
        await terminal.press("e", "e")
        terminal.held.hold("GET /api/agents")
        terminal.held.let_go("GET /api/people")
        await terminal.held.reached("GET /api/agents")
        await terminal.pilot.resize_terminal(100, 30)  # draws
        await counts(terminal, 1)
        terminal.held.let_all_go()
        await terminal.shows("│ number 0.", "Inbox 1")
        await terminal.settled()
        await counts(terminal, 1)


async def test_what_could_not_be_done_comes_back(open_inbox: Open, client, person) -> None:
    fill(client, person, 2)
    async with open_inbox(person) as terminal:
        await terminal.shows("│ number 1.")
        await terminal.settled()
        terminal.held.fail(f"POST /api/people/{person}/done")
        await terminal.press("e")
        await terminal.shows("it failed")
        await counts(terminal, 2)


async def test_what_was_done_is_done_though_the_inbox_ends(open_inbox: Open, client, person) -> None:
    fill(client, person, 3)
    async with open_inbox(person) as terminal:
        await terminal.shows("│ number 2.")
        await terminal.settled()
        await refreshes(terminal, client, "GET /api/people")
        await terminal.press("e", "e", "q")
        terminal.held.let_all_go()
    assert [each["body"] for each in client.inbox(person)["items"]] == ["number 0."]


async def test_enter_opens_the_thread_of_the_row_it_was_pressed_on(open_inbox: Open, client, person) -> None:
    for number in range(2):
        client.send(person, f"number {number}.", sender="planner", thread=f"t{number} {person}")
    async with open_inbox(person) as terminal:
        await terminal.shows("│ number 1.")
        terminal.app._list.action_select()
        terminal.app._list.action_cursor_down()
        await eventually(lambda: terminal.app._place.thread is not None)
        assert terminal.app._place.thread == f"t1 {person}"


async def test_a_message_is_sent_once_however_long_it_takes(open_inbox: Open, client, person) -> None:
    fill(client, person, 1)
    async with open_inbox(person) as terminal:
        await terminal.shows("│ number 0.")
        await terminal.press("r")
        await terminal.type("yes")
        terminal.held.hold("POST /api/messages")
        await terminal.press("ctrl+s")
        await terminal.shows("To planner · is being sent")
        await terminal.press("ctrl+s", "e", "escape")
        await terminal.hides("is being sent")
        await terminal.press("w")
        await terminal.type("ann")
        await terminal.press("enter", "n", "e", "x", "t")
        terminal.held.let_go("POST /api/messages")
        await terminal.shows("sent to planner", "A new message", "next")  # which is not hidden
        await terminal.press("escape", "w")
        await terminal.shows("A new message", "next")
    assert [each["body"] for each in client.peek("planner")["items"]] == ["yes"]


async def test_what_is_typed_while_a_message_is_sent_is_no_command(open_inbox: Open, client, person) -> None:
    fill(client, person, 2)
    async with open_inbox(person) as terminal:
        await terminal.shows("│ number 1.")
        await terminal.press("r", "y")
        terminal.held.hold("POST /api/messages")
        await terminal.press("ctrl+s", "e", "q", "1")
        terminal.held.let_go("POST /api/messages")
        await terminal.hides("Ctrl+S sends")
        await terminal.settled()
        await terminal.shows("Inbox 1")  # the answer took its message out, and `e` nothing
        assert terminal.app.is_running


async def test_another_answer_keeps_the_text_that_was_begun(open_inbox: Open, client, person) -> None:
    fill(client, person, 2)
    async with open_inbox(person) as terminal:
        await terminal.shows("│ number 1.")
        await terminal.press("r")
        await terminal.type("half")
        terminal.app._list.focus()
        await terminal.press("j", "r")
        await terminal.hides("half")
        await terminal.press("escape", "k", "r")
        await terminal.shows("half")


async def test_a_search_and_its_end_need_not_wait_for_a_refresh(open_inbox: Open, client, person) -> None:
    fill(client, person, 2)
    async with open_inbox(person) as terminal:
        await terminal.shows("│ number 1.")
        await terminal.settled()
        await refreshes(terminal, client, "GET /api/people")
        await terminal.press("s")
        await terminal.type(f"to:{person} 0")
        await terminal.press("enter", "escape", "slash")
        await terminal.type("ann")
        await terminal.press("escape", "g", "i")
        terminal.held.let_all_go()
        await terminal.shows("│ number 1.", "Inbox 2")
        assert terminal.app._place.view == "inbox"


async def test_what_is_being_done_is_still_among_all_messages(open_inbox: Open, client, person) -> None:
    fill(client, person, 1)
    async with open_inbox(person) as terminal:
        await terminal.shows("│ number 0.")
        await terminal.settled()
        terminal.held.hold(f"POST /api/people/{person}/done")
        await terminal.press("e", "g", "m")
        terminal.held.let_all_go()
        await terminal.shows("planner → you  number 0.", "read ")
