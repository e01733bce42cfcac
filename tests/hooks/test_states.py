"""Mail reaches a session of the real client in every state: one test, because an interrupted one is woken late.

That is 60 s after it fell silent, here a few; meanwhile the other states are tried, with another model.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from postino.claude import wake
from tests.hooks.machine import Machine
from tests.hooks.model import Model
from tests.relays import RealRelay, real_relays
from tests.scripted.model import serving

TOOL = "mcp__plugin_postino_postino__msg_"
READ = [(f"{TOOL}read", {})]
SILENCE_S, LOOK_S = 8.0, 2.0  # instead of 60 and 5

Open = Callable[..., Awaitable[Any]]


@pytest.fixture
def mailbox(machine: Machine) -> Machine:
    """The machine with the plugin and a daemon that takes a session for interrupted soon."""
    assert (wake.SILENCE_S, wake.LOOK_S) == (60, 5)
    machine.install()
    machine.serve(**{"postino.claude.wake.SILENCE_S": SILENCE_S, "postino.claude.wake.LOOK_S": LOOK_S})
    return machine


@pytest.fixture
async def ada(mailbox: Any) -> AsyncIterator[RealRelay]:
    """Another session, whose messages are verified."""
    async with real_relays() as spawn:
        yield await spawn(mailbox.env, POSTINO_AGENT_NAME="ada")


@pytest.mark.timeout(240)
async def test_mail_reaches_a_session_in_every_state(
    mailbox: Any, open_tab: Open, model: Model, ada: RealRelay
) -> None:
    async with serving(Model()) as other:
        await ada.call("msg_send", to="esc", body="read before Esc", id="esc-0")
        interrupted = await _interrupt(mailbox, open_tab, other)
        await ada.call("msg_send", to="esc", body="for the interrupted one", id="esc-1")
        await _modes(mailbox, open_tab, model)
        await _one_shot(mailbox, model)
        await _background_agent(mailbox, open_tab, model, ada)
        await _compaction(mailbox, open_tab, model, ada)

        await interrupted.until(lambda: "for the interrupted one" in other.seen(), "Esc is overcome")
        await interrupted.until(lambda: mailbox.state("esc", "esc-1")["state"] == "acked", "it is acknowledged")
        assert mailbox.state("esc", "esc-0")["state"] == "acked"
        (_, woken) = [json.dumps(each["messages"]) for each in other.requests]
        assert '\\"redelivered\\":true,\\"body\\":\\"read before Esc' in woken.replace("\\\\", "\\")


async def _interrupt(mailbox: Any, open_tab: Open, model: Model) -> Any:
    """Open a session that was interrupted within a round that has read mail, which runs no hook."""
    tab = await open_tab(POSTINO_AGENT_NAME="esc", ANTHROPIC_BASE_URL=model.url)
    model.script([*READ, ("Bash", {"command": "tail -f /dev/null"})])  # it blocks a `sleep`
    tab.tell({"type": "user", "message": {"role": "user", "content": "work"}})
    await tab.until(lambda: model.requests and tab.hooks("UserPromptSubmit"), "it works")
    await tab.until(lambda: any(each["type"] == "assistant" for each in tab.events), "it calls the tools")
    await tab.until(lambda: mailbox.state("esc", "esc-0")["state"] == "leased", "it has read")
    tab.tell({"type": "control_request", "request_id": "esc", "request": {"subtype": "interrupt"}})
    await tab.until(tab.results, "it is interrupted")
    assert tab.hooks("Stop") == tab.hooks("PostToolBatch") == []
    return tab


def _answer(to: str) -> list[Any]:
    """Return a turn that reads its mail and answers."""
    return [READ, [(f"{TOOL}send", {"to": to, "body": "I am", "id": f"to-{to}"})], "done"]


def _inbox(mailbox: Any, name: str) -> list[str]:
    return [each["id"] for each in mailbox.data("read", "--agent", name, "--peek")["items"]]


async def _modes(mailbox: Any, open_tab: Open, model: Model) -> None:
    """No mode but plan asks before postino's tools: nobody is there to answer, so a dialog would refuse them."""
    for mode in ("auto", "acceptEdits"):
        mailbox.send(mode, "are you there?", id=mode)
        tab = await open_tab("--permission-mode", mode, allowed="Bash", POSTINO_AGENT_NAME=mode)
        model.script(*_answer(f"from-{mode}"))
        await tab.prompt("read your mail and answer")
        assert (_inbox(mailbox, f"from-{mode}"), mailbox.state(mode, mode)["state"]) == ([f"to-from-{mode}"], "acked")
        await tab.close()


async def _one_shot(mailbox: Any, model: Model) -> None:
    """`claude -p`: told at its start, no dialog, acknowledged by the end of the run."""
    mailbox.send("pia", "are you there?", id="p1")
    model.script(*_answer("from-pia"))
    said = await asyncio.to_thread(mailbox.claude, "-p", "read your mail and answer", POSTINO_AGENT_NAME="pia")
    assert said.strip() == "done"
    assert "this session is agent pia" in model.seen()
    assert (_inbox(mailbox, "from-pia"), mailbox.state("pia", "p1")["state"]) == (["to-from-pia"], "acked")


async def _background_agent(mailbox: Any, open_tab: Open, model: Model, ada: RealRelay) -> None:
    """While an agent works in the background, its session is idle and is woken; the agent gets no mail."""
    tab = await open_tab(POSTINO_AGENT_NAME="bea")
    given = {"description": "d", "prompt": "task-of-the-agent", "subagent_type": "general-purpose"}
    refused, may_end = asyncio.Event(), asyncio.Event()

    async def main() -> AsyncIterator[Any]:
        yield [("Agent", given | {"run_in_background": True})]

    async def agent() -> AsyncIterator[Any]:
        yield READ
        refused.set()
        await asyncio.wait_for(may_end.wait(), 60)
        yield "the agent is done"

    asked = {True: agent(), False: main()}

    async def step(body: Any) -> Any:
        return await anext(asked["task-of-the-agent" in json.dumps(body["messages"][0])], "done")

    model.script(*[step] * 8)
    await tab.prompt("start an agent")
    await asyncio.wait_for(refused.wait(), 20)
    await ada.call("msg_send", to="bea", body="for the main session", id="b1")
    await tab.until(lambda: len(tab.results()) == 2, "it is woken while the agent works")

    requests = [json.dumps(each["messages"]) for each in model.requests]
    assert all("task-of-the-agent" not in each[:9000] for each in requests if "for the main session" in each)
    assert "a subagent cannot read" in model.seen()
    assert mailbox.state("bea", "b1")["state"] == "acked"
    may_end.set()
    await tab.close()
    model.steps.clear()


async def _compaction(mailbox: Any, open_tab: Open, model: Model, ada: RealRelay) -> None:
    """After a compaction a session is told anew who it is, and is woken."""
    tab = await open_tab(POSTINO_AGENT_NAME="cleo")
    await tab.prompt("a long talk")
    await tab.prompt("/compact")
    await tab.until(lambda: len(tab.said("SessionStart")) == 2, "it begins anew")
    assert "this session is agent cleo" in tab.said("SessionStart")[1]

    await ada.call("msg_send", to="cleo", body="after the compaction", id="c1")
    await tab.until(lambda: "after the compaction" in model.seen(), "it is woken")
    await tab.until(lambda: mailbox.state("cleo", "c1")["state"] == "acked", "it is acknowledged")
    await tab.close()
