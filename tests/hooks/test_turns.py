"""Mail in the course of turns of the real client: notified once, read by the model, settled by going on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

TOOL = "mcp__plugin_postino_postino__msg_"
BASH = [("Bash", {"command": "true"})]
SECRET = "the-body-nobody-may-be-notified-of"


def mail(machine: Any, to: str, *, sender: str, then: Any) -> Callable[[Any], Awaitable[Any]]:
    """A step during which a message arrives."""

    async def step(_: Any) -> Any:
        machine.send(to, SECRET, sender=sender, id=f"from-{sender}")
        return then

    return step


async def test_a_session_is_told_who_it_is_and_what_waits(mailbox: Any, open_tab: Any, model: Any) -> None:
    first = await open_tab()
    mailbox.send(first.agent(), sender="ann")
    await first.close()

    tab = await open_tab()
    await tab.prompt("hello")

    line = f"[postino] this session is agent {first.agent()}; nobody else is online; "
    line += "1 unread message (from unverified 'ann'): call msg_read"
    assert tab.said("SessionStart") == [line]
    assert line in tab.transcript()
    assert line in model.seen()


async def test_a_prompt_says_what_waits_and_nothing_when_nothing_does(mailbox: Any, open_tab: Any, model: Any) -> None:
    tab = await open_tab(POSTINO_WAKE="off")
    mailbox.postino("down")
    mailbox.postino("up", POSTINO_WAKE="off")
    await tab.connected()
    await tab.prompt("one")
    mailbox.send(tab.agent(), SECRET, sender="ann")
    mailbox.postino("broadcast", "all of you", "--from", "ci")

    await tab.prompt("two")

    line = "[postino] 1 unread message (from unverified 'ann'), 1 unseen broadcast: call msg_read and msg_broadcasts"
    assert tab.said("UserPromptSubmit") == ["", line]
    assert line in tab.transcript()
    assert SECRET not in model.seen()


async def test_the_model_sends_and_reads_by_tools_and_going_on_acknowledges(
    mailbox: Any, open_tab: Any, model: Any
) -> None:
    mailbox.extra["POSTINO_AGENT_NAME"] = "bob"
    mailbox.send("bob", "are you there?", id="question")
    tab = await open_tab()
    model.script([(f"{TOOL}read", {})], [(f"{TOOL}send", {"to": "ann", "body": "I am", "id": "answer"})])

    await tab.prompt("read your mail and answer")

    assert "are you there?" in model.seen()
    assert mailbox.data("read", "--agent", "ann")["items"][0]["body"] == "I am"
    assert mailbox.state("bob", "question")["state"] == "acked"


async def test_a_later_call_of_the_same_round_settles_nothing(mailbox: Any, open_tab: Any, model: Any) -> None:
    mailbox.extra["POSTINO_AGENT_NAME"] = "bob"
    mailbox.send("bob", id="m1")
    tab = await open_tab()
    model.script(
        [
            (f"{TOOL}read", {}),
            ("Bash", {"command": "sleep 0.2"}),  # the client waits for it before it makes the next call
            (f"{TOOL}send", {"to": "ann", "body": "not about what came", "id": "early"}),
            ("Bash", {"command": "sleep 1"}),
        ]
    )

    turn = asyncio.create_task(tab.prompt("read your mail, and write to ann"))
    while not mailbox.data("read", "--agent", "ann", "--peek")["items"]:  # noqa: ASYNC110 - asked by a command
        await asyncio.sleep(0.05)
    before = mailbox.state("bob", "m1")["state"]
    await turn

    assert before == "leased"
    assert mailbox.state("bob", "m1")["state"] == "acked"


@pytest.mark.parametrize("then", ["I have read it.", BASH, [(f"{TOOL}check", {})]], ids=["end", "tool", "own tool"])
async def test_what_the_model_does_next_acknowledges_what_was_read_and_nothing_before(
    mailbox: Any, open_tab: Any, model: Any, then: Any
) -> None:
    mailbox.extra["POSTINO_AGENT_NAME"] = "bob"
    mailbox.send("bob", id="m1")
    tab = await open_tab()
    seen: list[str] = []

    def looking(step: Any) -> Callable[[Any], Awaitable[Any]]:
        async def look(_: Any) -> Any:
            seen.append(mailbox.state("bob", "m1")["state"])
            return step

        return look

    model.script([(f"{TOOL}read", {})], looking(then), *([] if isinstance(then, str) else [looking("done")]))
    await tab.prompt("read your mail")

    assert seen == ["leased"] + ([] if isinstance(then, str) else ["acked"])
    assert mailbox.state("bob", "m1")["state"] == "acked"


async def test_a_session_that_dies_before_the_model_said_a_word_leaves_its_mail_to_the_next(
    mailbox: Any, open_tab: Any, model: Any
) -> None:
    mailbox.extra["POSTINO_AGENT_NAME"] = "bob"
    mailbox.send("bob", "precious", id="m1")
    tab = await open_tab()

    async def die(_: Any) -> str:
        await tab.kill()
        return "nobody hears this"

    model.script([(f"{TOOL}read", {})], die)
    with contextlib.suppress(AssertionError):
        await tab.prompt("read your mail")
    assert await tab.process.wait() == -signal.SIGKILL

    again = await open_tab()
    model.script([(f"{TOOL}read", {})], "I have read it.")
    await again.prompt("read your mail")

    (message,) = json.loads(model.answers()[-1])["messages"]
    assert (message["body"], message["redelivered"]) == ("precious", True)
    assert mailbox.state("bob", "m1")["state"] == "acked"


async def test_a_subagent_is_refused_the_mail_and_acknowledges_none(mailbox: Any, open_tab: Any, model: Any) -> None:
    mailbox.extra["POSTINO_AGENT_NAME"] = "bob"
    mailbox.send("bob", id="m1")
    tab = await open_tab()
    states: list[str] = []
    main_has_read, subagent_was_refused, subagent_went_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
    given = {"description": "d", "prompt": "task-of-the-subagent", "subagent_type": "general-purpose"}

    async def main() -> AsyncIterator[Any]:
        yield [("Agent", given)]
        await asyncio.wait_for(subagent_was_refused.wait(), 20)
        yield [(f"{TOOL}read", {})]
        main_has_read.set()  # its round has ended, but it has not gone on
        await asyncio.wait_for(subagent_went_on.wait(), 20)
        yield "done"

    async def subagent() -> AsyncIterator[Any]:
        yield [(f"{TOOL}read", {})]
        states.append(mailbox.state("bob", "m1")["state"])
        subagent_was_refused.set()
        await asyncio.wait_for(main_has_read.wait(), 20)
        yield [(f"{TOOL}check", {})]
        states.append(mailbox.state("bob", "m1")["state"])
        subagent_went_on.set()
        yield "the subagent is done"

    asking = {True: subagent(), False: main()}

    async def step(body: Any) -> Any:
        return await anext(asking["task-of-the-subagent" in json.dumps(body["messages"][0])], "done")

    model.script(*[step] * 8)
    await tab.prompt("go")

    assert states == ["queued", "leased"]
    assert "belongs to the main session" in model.seen()
    assert mailbox.state("bob", "m1")["state"] == "acked"


async def test_mail_that_arrives_in_a_turn_is_told_at_the_next_tool_round_once(
    mailbox: Any, open_tab: Any, model: Any
) -> None:
    tab = await open_tab()
    model.script(BASH, mail(mailbox, tab.agent(), sender="ann", then=BASH), BASH, "done")

    assert await tab.prompt("work") == "done"

    assert tab.said("PostToolBatch") == ["", "[postino] 1 unread message (from unverified 'ann'): call msg_read", ""]
    assert "[postino] 1 unread message (from unverified 'ann'): call msg_read" in str(model.requests[2]["messages"])
    assert tab.said("Stop") == [""]
    assert mailbox.state(tab.agent(), "from-ann")["notified"] == "hook"
    assert SECRET not in model.seen()


async def test_mail_that_arrives_in_the_last_step_continues_the_turn_once(
    mailbox: Any, open_tab: Any, model: Any
) -> None:
    tab = await open_tab()
    first = mail(mailbox, tab.agent(), sender="ann", then="nearly done")
    second = mail(mailbox, tab.agent(), sender="cid", then="done")
    model.script(first, second, "woken")

    assert await tab.prompt("work") == "done"

    assert tab.said("Stop") == ["[postino] 1 unread message (from unverified 'ann'): call msg_read", ""]
    assert "Stop hook additional context: [postino] 1 unread message (from unverified 'ann'): call msg_read" in str(
        model.requests[1]["messages"]
    )
    await tab.until(lambda: len(tab.results()) == 2, "the second message wakes the session instead")
    assert tab.said("Stop")[2:] == [""]
    assert mailbox.state(tab.agent(), "from-cid")["notified"] == "socket"


async def test_a_broadcast_does_not_continue_a_turn(mailbox: Any, open_tab: Any, model: Any) -> None:
    tab = await open_tab()

    async def notified(_: Any) -> str:
        mailbox.postino("broadcast", SECRET, "--from", "ci")
        return "done"

    model.script(notified)
    await tab.prompt("work")
    await tab.prompt("more")

    assert tab.said("Stop") == ["", ""]
    assert tab.said("UserPromptSubmit") == ["", "[postino] 1 unseen broadcast: call msg_broadcasts"]
    assert len(model.requests) == 2


async def test_after_a_cold_start_the_first_prompt_says_who_the_session_is(machine: Any, open_tab: Any) -> None:
    machine.install()
    slow = machine.root / "slow"
    slow.mkdir()
    (slow / "curl").write_text("#!/bin/sh\nexit 7\n")  # a daemon that is up later than SessionStart waits
    (slow / "curl").chmod(0o755)
    path = machine.env["PATH"]

    tab = await open_tab(PATH=f"{slow}:{path}")
    (slow / "curl").unlink()
    await tab.prompt("hello")
    await tab.prompt("again")

    assert tab.said("SessionStart") == [""]
    greeted, then = tab.said("UserPromptSubmit")
    assert greeted.startswith("[postino] this session is agent ")
    assert then == ""
