"""The mail of all agents in the terminal: live, by thread, searched, answered; and nothing in it is obeyed."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from postino.tui.app import Inbox
from postino.tui.mailroom import InboxClient, Mailroom
from tests.tui.conftest import Terminal
from tests.waiting import eventually


async def test_mail_is_shown_rendered_and_what_comes_later_by_itself(open_inbox, client, name) -> None:
    client.send(name, "# Build\n\nThe **log** is at [here](https://evil.example/x)\n\n- one\n- two", sender="ada")
    async with open_inbox() as terminal:
        await terminal.shows(
            f"ada → {name}", f"ada to {name} · not verified", "• one", "here (https://evil.example/x)", "live"
        )
        assert "│ The **log**" not in terminal.text

        client.send(name, "a later one", sender="bob")

        await terminal.shows(f"bob → {name}  a later one", "2 now")


async def test_the_body_can_be_seen_as_it_was_written(open_inbox, client, name) -> None:
    client.send(name, "# Build\n\nThe **log**", sender="ada")
    async with open_inbox() as terminal:
        await terminal.shows("The log")
        await terminal.press("v")
        await terminal.shows("The **log**")
        await terminal.press("v")
        await terminal.hides("│ The **log**")


async def test_the_fate_of_a_message_is_told_in_words(open_inbox, client, name) -> None:
    client.send(name, "hello", sender="ada")
    async with open_inbox() as terminal:
        await terminal.shows(f"ada → {name}", "waiting now")
        read = client.read(name)["items"]
        await terminal.shows("being read")
        client.ack(name, [read[0]["id"]])
        await terminal.shows("read ")


async def test_the_keys_move_through_messages_and_enter_shows_the_thread(open_inbox, client, name) -> None:
    for number in range(3):
        client.send(name, f"number {number}", sender="ada", thread=f"t {name}")
    client.send(name, "another", sender="ada")
    async with open_inbox() as terminal:
        await terminal.shows("│ another")
        await terminal.press("j", "j")
        await terminal.shows("│ number 1")
        await terminal.press("k", "enter")
        await terminal.shows(f"t {name}", "number 0", "│ number 2")
        await terminal.hides("another")
        assert terminal.lines[0].split()[:4] == ["Inbox", "Messages", "Threads", "Broadcasts"]


async def test_an_agent_is_chosen_on_the_left_and_found_by_the_filter(open_inbox, client, name) -> None:
    client.send(name, "for this one", sender="ada")
    client.send(f"{name}-other", "for the other", sender="ada")
    async with open_inbox() as terminal:
        await terminal.shows("for this one", "for the other")
        await terminal.press("slash")
        await terminal.type(f"{name}-o")
        await terminal.shows(f"{name}-ot")  # the agents come after the mail
        await terminal.press("enter", "enter")
        await terminal.hides("for this one")
        await terminal.shows("for the other")
        await terminal.press("escape")
        await terminal.shows("All mail")


async def test_a_row_on_the_left_stays_chosen_while_mail_arrives(open_inbox, client, name) -> None:
    for one, other in ((f"a {name}", f"b {name}"), (f"b {name}", f"c {name}")):
        client.send(name, f"first of {one}", sender="ada", thread=one)
        client.send(name, f"first of {other}", sender="ada", thread=other)
    async with open_inbox() as terminal:
        await terminal.press("g", "t")
        await terminal.shows(f"a {name}", f"b {name}", f"c {name}")
        await terminal.press("j")
        client.send(name, "one more", sender="ada", thread=f"d {name}")
        await terminal.shows(f"d {name}")
        await terminal.press("enter")
        await terminal.shows(f"first of b {name}")


async def test_a_search_asks_the_server_and_escape_ends_it(open_inbox, client, name) -> None:
    client.send(name, "a green apple", sender="ada")
    client.send(name, "a red apple", sender="bob")
    client.send(name, "a pear", sender="bob")
    async with open_inbox() as terminal:
        await terminal.shows("a pear")
        await terminal.press("s")
        await terminal.type(f"apple from:bob to:{name}")
        await terminal.press("enter")
        await terminal.hides("a pear")
        await terminal.shows("a red apple")
        assert "a green apple" not in terminal.text
        await terminal.press("escape")
        await terminal.shows("a pear")


async def test_a_reply_goes_to_the_sender_in_the_thread(open_inbox, client, name) -> None:
    sent = client.send(name, "merge or wait?", sender=f"{name}-b", thread="fix-42")
    async with open_inbox() as terminal:
        await terminal.shows("merge or wait?")
        await terminal.press("r")
        await terminal.shows(f"To {name}-b · thread fix-42")
        await terminal.type("merge it")
        await terminal.press("ctrl+s")
        await terminal.shows(f"sent to {name}-b")

    (answer,) = client.peek(f"{name}-b")["items"]
    assert (answer["body"], answer["reply_to"], answer["thread"], answer["via"]) == (
        "merge it",
        sent["id"],
        "fix-42",
        "cli",
    )


async def test_a_new_message_asks_to_whom_and_a_text_that_was_left_is_kept(open_inbox, client, name) -> None:
    async with open_inbox() as terminal:
        await terminal.press("w")
        await terminal.type(name)
        await terminal.press("enter")
        await terminal.type("half a")
        await terminal.press("escape")
        await terminal.hides("Ctrl+S")
        await terminal.press("w", "enter")
        await terminal.type(" text")
        await terminal.press("ctrl+s")
        await terminal.shows(f"sent to {name}")

    assert [each["body"] for each in client.peek(name)["items"]] == ["half a text"]


async def test_what_is_written_among_the_broadcasts_goes_to_everyone(open_inbox, client) -> None:
    async with open_inbox() as terminal:
        await terminal.click("Broadcasts")
        await terminal.press("w")
        await terminal.shows("To everyone: a broadcast")
        await terminal.type("no merges")
        await terminal.press("ctrl+s")
        await terminal.shows("sent to all")

    sent = client.broadcasts()["items"][-1]
    assert (sent["body"], sent["verified"]) == ("no merges", True)


async def test_a_new_message_goes_to_several_with_commas_between(open_inbox, client, name) -> None:
    async with open_inbox() as terminal:
        await terminal.press("w")
        await terminal.type(f"{name}, {name}-b")
        await terminal.press("enter")
        await terminal.type("to both")
        await terminal.press("ctrl+s")
        await terminal.shows(f"sent to {name}, {name}-b")

    assert [client.peek(each)["items"][0]["sent_to"] for each in (name, f"{name}-b")] == [[name, f"{name}-b"]] * 2


async def test_a_refusal_is_shown_and_the_text_stays(open_inbox, client) -> None:
    async with open_inbox() as terminal:
        await terminal.press("w")
        await terminal.type("no name")
        await terminal.press("enter")
        await terminal.type("hello")
        await terminal.press("ctrl+s")
        await terminal.shows("must be 1 to 64 of", "hello", "A new message")


async def test_older_messages_come_at_the_end_of_the_list(open_inbox, client, name) -> None:
    for number in range(45):
        client.send(name, f"number {number}.", sender="ada")
    async with open_inbox() as terminal:
        await terminal.press("s")
        await terminal.type(f"to:{name}")
        await terminal.press("enter")
        await eventually(lambda: terminal.app._list.option_count == 40)
        await terminal.press("end")
        await eventually(lambda: terminal.app._list.option_count == 45)
        client.send(name, "a new one", sender="ada")  # what was loaded stays
        await eventually(lambda: terminal.app._list.option_count == 46)
        await terminal.press("end")
        await terminal.shows("│ number 0.", "number 4.")


async def test_the_keys_lead_to_the_agents_that_need_attention(open_inbox, client, name) -> None:
    for number, agent in enumerate((f"{name}-a", f"{name}-b")):
        client.send(agent, f"dead {number}", sender="ada")
        for _ in range(5):
            client.nack(agent, [client.read(agent)["items"][0]["id"]])
    async with open_inbox() as terminal:
        await terminal.shows("2 need attention", "! ")
        await terminal.press("right_square_bracket")
        await terminal.shows("│ dead 0", "gave up")
        await terminal.press("right_square_bracket")
        await terminal.shows("│ dead 1")
        await terminal.press("left_square_bracket")
        await terminal.shows("│ dead 0")
    for agent in (f"{name}-a", f"{name}-b"):
        client.clear_dead(agent)


async def test_a_thread_is_chosen_on_the_left(open_inbox, client, name) -> None:
    client.send(name, "of the topic", sender="ada", thread=name)
    async with open_inbox() as terminal:
        await terminal.press("g", "t")
        await terminal.shows("Choose a thread on the left.", name)
        await terminal.press("enter")
        await terminal.shows("│ of the topic")


async def test_a_daemon_that_goes_and_comes_again_is_told_and_followed(daemon, tmp_path) -> None:
    app = Inbox(Mailroom(lambda headers: InboxClient(daemon.home.socket, headers=headers)), None)
    async with app.run_test(size=(80, 24)) as pilot:
        terminal = Terminal(app, pilot)
        await terminal.shows("live")
        daemon.kill()
        await terminal.shows("not connected")
        await asyncio.to_thread(daemon.start)
        await asyncio.to_thread(daemon.posted, "messages", {"to": "bob", "body": "after all", "from": "ada"})
        await terminal.shows("live", "after all")


@pytest.mark.timing("8 s for a page after 4 s of a load that met no daemon; with a rest it was 16")
async def test_it_does_not_rest_for_a_load_that_waited_for_the_daemon(daemon, monkeypatch) -> None:
    monkeypatch.setattr("postino.client_calls.PAUSES", (1.0, 3.0))  # the load ends after the events go on
    app = Inbox(Mailroom(lambda headers: InboxClient(daemon.home.socket, headers=headers)), None)
    async with app.run_test(size=(80, 24)) as pilot:
        terminal = Terminal(app, pilot)
        await terminal.shows("live")
        daemon.kill()
        app._pace.change()
        await terminal.shows("not connected")
        await asyncio.sleep(1.5)  # two of its three tries meet nobody
        await asyncio.to_thread(daemon.start)
        await asyncio.to_thread(daemon.posted, "messages", {"to": "bob", "body": "meanwhile", "from": "ada"})
        await terminal.shows("live", "meanwhile")
        await asyncio.to_thread(daemon.posted, "messages", {"to": "bob", "body": "after it", "from": "ada"})
        async with asyncio.timeout(8):
            await terminal.shows("after it")


async def test_a_valkey_that_goes_and_comes_again_is_told_while_the_daemon_serves(daemon) -> None:
    app = Inbox(Mailroom(lambda headers: InboxClient(daemon.home.socket, headers=headers)), None)
    async with app.run_test(size=(80, 24)) as pilot:
        terminal = Terminal(app, pilot)
        await terminal.shows("live")
        os.kill(daemon.valkey_pid(), signal.SIGSTOP)
        try:
            await terminal.shows("Valkey is away")
        finally:
            os.kill(daemon.valkey_pid(), signal.SIGCONT)
        await terminal.shows("live")
        await asyncio.to_thread(daemon.posted, "messages", {"to": "bob", "body": "after all", "from": "ada"})
        await terminal.shows("live", "after all")


async def test_a_terminal_that_begins_while_valkey_is_away_says_so(daemon) -> None:
    os.kill(daemon.valkey_pid(), signal.SIGSTOP)
    try:
        app = Inbox(Mailroom(lambda headers: InboxClient(daemon.home.socket, headers=headers)), None)
        async with app.run_test(size=(80, 24)) as pilot:
            terminal = Terminal(app, pilot)
            await terminal.shows("Valkey is away")
            os.kill(daemon.valkey_pid(), signal.SIGCONT)
            await terminal.shows("live")
    finally:
        os.kill(daemon.valkey_pid(), signal.SIGCONT)


async def test_broadcasts_have_a_view(open_inbox, client, name) -> None:
    client.broadcast(f"freeze by {name}", sender=name)
    async with open_inbox() as terminal:
        await terminal.press("g", "b")
        await terminal.shows(f"freeze by {name}", "seen by")


async def test_nothing_in_a_message_is_obeyed(open_inbox, served, client, name) -> None:
    body = "[@click=app.quit]click[/] [bold]b[/bold] $(reboot) :smile: `[red]x[/red]`\ttab"
    client.send(name, body, sender="x.y-z_1", thread="[reverse]t[/] [@click=app.quit]")
    async with open_inbox() as terminal:
        shown = await terminal.shows("[@click=app.quit]click[/] [bold]b[/bold]", "[reverse]t[/] [@click=app.quit]")
        assert "[red]x[/red]" in shown
        assert ":smile:" in shown
        await terminal.pilot.click("#body", offset=(3, 3))
        assert terminal.app.is_running


async def test_control_characters_of_an_old_store_are_made_visible(open_inbox, client, name) -> None:
    from postino.tui.body import rendered
    from postino.tui.rows import line

    assert rendered(None, "a\x1b[2Jb\u202ec", 40).plain == r"a\u{1b}[2Jb\u{202e}c"
    assert rendered([["p", "a\x9b", ["strong", "\x07"]]], "", 40).plain == r"a\u{9b}\u{7}"
    assert line("a\nb\x1b") == r"a b\u{1b}"


async def test_the_help_lists_the_keys(open_inbox) -> None:
    async with open_inbox() as terminal:
        await terminal.press("question_mark")
        await terminal.shows("answer with a choice", "next pane")
        await terminal.press("escape")
        await terminal.hides("answer with a choice")


def ends(terminal: Terminal) -> list[int]:
    """Return in which columns the rows of messages from `ada` end, with what became of them."""
    rows = [line for line in terminal.lines if "ada → " in line]
    return [line.index("waiting") + len("waiting now") for line in rows if "waiting" in line]


async def test_a_screen_without_room_for_a_column_does_not_end_the_inbox(open_inbox, client, name) -> None:
    client.send(name, "# A heading\n\n" + "word " * 60, sender="ada")
    async with open_inbox() as terminal:
        await terminal.shows("A heading", "Inbox")
        for size in ((10, 3), (1, 1), (80, 24)):
            await terminal.pilot.resize_terminal(*size)
            await terminal.pilot.press("question_mark", "escape")
        await terminal.shows("A heading", f"ada → {name}")


async def test_a_small_and_a_large_screen_are_filled(open_inbox, client, name) -> None:
    client.send(name, "# A heading\n\n" + "word " * 60, sender="ada")
    for size in ((50, 14), (200, 60)):
        async with open_inbox(size=size) as terminal:
            await terminal.shows("A heading", "Inbox")
            for width, height in ((80, 24), (60, 15)):
                await terminal.pilot.resize_terminal(width, height)
                # no row is wrapped or too short; beside it may be a scrollbar
                await eventually(lambda width=width: 0 <= width - max(ends(terminal), default=0) <= 3)  # type: ignore[misc]
                assert len(terminal.lines) == height
