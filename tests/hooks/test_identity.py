"""Hooks and mailbox of one session are one agent, whatever becomes of the session."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

TOOL = "mcp__plugin_postino_postino__msg_"


async def one_agent(tab: Any) -> str:
    """Return the agent of a session, as both its hooks and its mailbox say."""
    assert await tab.whoami() == tab.agent()
    return str(tab.agent())


async def test_a_fresh_session_is_one_agent(mailbox: Any, open_tab: Any) -> None:
    await one_agent(await open_tab())


async def test_two_sessions_in_one_directory_are_two_agents(mailbox: Any, open_tab: Any) -> None:
    first, second = await open_tab(), await open_tab()

    assert await one_agent(first) != await one_agent(second)


async def test_a_cleared_session_keeps_its_agent(mailbox: Any, open_tab: Any) -> None:
    await open_tab()
    tab = await open_tab()
    before, session = await one_agent(tab), tab.session_id

    await tab.prompt("/clear")

    assert await one_agent(tab) == before
    assert tab.session_id != session
    assert len(tab.hooks("SessionStart")) == 2


async def test_a_cleared_session_is_told_again_what_waits(machine: Any, open_tab: Any) -> None:
    machine.extra["POSTINO_WAKE"] = "off"
    machine.install()
    machine.serve()
    tab = await open_tab()
    await tab.prompt("hello")
    machine.send(tab.agent(), sender="ann")
    await tab.prompt("hello")

    await tab.prompt("/clear")

    assert "1 unread message (from unverified 'ann')" in tab.said("SessionStart")[-1]


async def test_a_resumed_session_is_who_it_was(mailbox: Any, open_tab: Any) -> None:
    await open_tab()  # has the directory's name, so that the other one's is its own
    tab = await open_tab()
    before, session = await one_agent(tab), tab.session_id
    await tab.close()

    again = await open_tab("--resume", session)

    assert await one_agent(again) == before


async def test_a_session_resumed_after_clear_is_who_it_was(mailbox: Any, open_tab: Any) -> None:
    await open_tab()
    tab = await open_tab()
    before = await one_agent(tab)
    await tab.prompt("/clear")
    await tab.prompt("hello")
    session = tab.session_id
    await tab.close()

    assert await one_agent(await open_tab("--resume", session)) == before


async def test_a_continued_session_is_who_it_was(mailbox: Any, open_tab: Any) -> None:
    other = await open_tab()
    tab = await open_tab()
    before = await one_agent(tab)
    await tab.close()
    await other.close()  # now the directory's own name is free, and a fresh session would take it

    again = await open_tab("--continue")

    assert await one_agent(again) == before


async def test_a_fork_beside_its_original_is_an_agent_of_its_own(mailbox: Any, open_tab: Any) -> None:
    tab = await open_tab()
    before = await one_agent(tab)

    fork = await open_tab("--resume", tab.session_id, "--fork-session")

    assert await one_agent(fork) != before
    assert await one_agent(tab) == before


async def test_a_renamed_session_is_asked_for_under_its_new_name(mailbox: Any, open_tab: Any, model: Any) -> None:
    tab = await open_tab(POSTINO_WAKE="off")
    model.script([(f"{TOOL}rename", {"name": "reviewer"})], "I am reviewer now")
    await tab.prompt("be reviewer")

    mailbox.send("reviewer", sender="ann")
    await tab.until(lambda: len(tab.results()) == 2, "mail to the new name wakes it")
    await tab.prompt("hello")
    session = tab.session_id
    await tab.close()
    again = await open_tab("--resume", session)

    assert tab.said("UserPromptSubmit")[-1] == "[postino] 1 unread message (from unverified 'ann'): call msg_read"
    assert await one_agent(again) == "reviewer"


async def test_a_launcher_in_between_changes_nothing(mailbox: Any, open_tab: Any) -> None:
    launcher = mailbox.root / "launcher"
    launcher.mkdir()
    real = Path(sys.executable).parent / "postino"
    (launcher / "postino").write_text(f'#!/bin/sh\n"{real}" "$@"\nexit $?\n')
    (launcher / "postino").chmod(0o755)

    tab = await open_tab(PATH=f"{launcher}:{mailbox.env['PATH']}")
    await one_agent(tab)
    mailbox.send(tab.agent())

    await tab.until(lambda: len(tab.results()) == 2, "it is woken")


async def test_a_name_from_outside_holds_for_both(mailbox: Any, open_tab: Any) -> None:
    assert await one_agent(await open_tab(POSTINO_AGENT_NAME="bob")) == "bob"


async def test_a_session_that_ends_is_offline_at_once(mailbox: Any, open_tab: Any) -> None:
    tab = await open_tab()
    await tab.close()

    items = mailbox.data("agents")["items"]
    assert [each["online"] for each in items if each["name"] == tab.agent()] == [False]
