"""Agent teams: mail is the lead's. A teammate in the lead's process is a subagent; one in a pane is its own agent.

The client keeps teams in its interactive interface only, so the lead runs on a terminal.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.clients.terminal import Terminal
from tests.hooks.model import Model
from tests.relays import real_relays
from tests.waiting import until

TOOL = "mcp__plugin_postino_postino__msg_"
READ = [(f"{TOOL}read", {})]
TASK = "task-of-the-teammate"
TEAMS = {"CLAUDE_CODE_EXPERIMENTAL_AGENT_TEAMS": "1"}

Open = Callable[..., Awaitable[Any]]


@pytest.fixture
async def lead(mailbox: Any) -> AsyncIterator[Terminal]:
    """The agent `lead`, in the client's interactive interface."""
    file = mailbox.root / ".claude.json"
    trusted = {str(mailbox.project()): {"hasTrustDialogAccepted": True}}
    seen = {"hasCompletedOnboarding": True, "theme": "dark", "projects": trusted}
    file.write_text(json.dumps(json.loads(file.read_text()) | seen))
    env = mailbox.env | TEAMS | {"POSTINO_AGENT_NAME": "lead"}
    mode = ["--teammate-mode", "in-process", "--permission-mode", "acceptEdits"]
    terminal = Terminal([mailbox.binary, *mode], env, mailbox.project())
    yield terminal
    await terminal.kill()


async def test_a_teammate_within_the_leads_process_gets_no_mail(mailbox: Any, model: Model, lead: Terminal) -> None:
    """It works while the lead is idle: the mail that wakes the lead comes while the teammate calls tools."""
    refused, may_end = asyncio.Event(), asyncio.Event()

    async def teammate() -> AsyncIterator[Any]:
        yield READ
        yield [(f"{TOOL}send", {"to": "eve", "body": "from the team", "id": "t1"})]
        refused.set()
        await asyncio.wait_for(may_end.wait(), 60)
        yield READ
        yield "the teammate is done"

    starts = [[("Agent", {"description": "d", "prompt": TASK, "name": "worker"})]]
    turns = teammate()

    async def step(body: Any) -> Any:
        if _is_teammate(body):
            return await anext(turns, "done")
        return starts.pop() if starts and _has_mailbox(body) else "done"

    model.script(*[step] * 50)
    await lead.ask_until(b"start a team", lambda: any(_has_mailbox(each) for each in model.requests))
    await asyncio.wait_for(refused.wait(), 60)
    async with real_relays() as spawn:
        ada = await spawn(mailbox.env, POSTINO_AGENT_NAME="ada")
        await ada.call("msg_send", to="lead", body="for the lead", id="l1")
        await asyncio.to_thread(until, lambda: "for the lead" in model.seen(), "the lead is woken", 60)
        may_end.set()
        await asyncio.to_thread(until, lambda: mailbox.state("lead", "l1")["state"] == "acked", "it goes on", 60)

    teams = [json.dumps(each["messages"]) for each in model.requests if _is_teammate(each)]
    assert all("for the lead" not in each for each in teams)
    assert any("a subagent cannot read" in each for each in teams)
    assert mailbox.state("lead", "l1")["deliveries"] == 1
    (sent,) = mailbox.data("read", "--agent", "eve", "--peek")["items"]
    assert (sent["from"], sent["verified"]) == ("lead", True)


async def test_a_teammate_in_a_pane_is_an_agent_of_its_own(mailbox: Any, open_tab: Open, model: Model) -> None:
    """Its process has the lead's environment; the client starts it as here."""
    mailbox.extra |= TEAMS | {"POSTINO_AGENT_NAME": "lead"}
    first = await open_tab()
    team = f"session-{first.session_id[:8]}"
    about = ["--agent-id", f"worker@{team}", "--agent-name", "the worker", "--team-name", team]
    second = await open_tab(*about, "--parent-session-id", first.session_id)
    assert (first.agent(), second.agent()) == ("lead", "lead.the-worker")
    assert (await first.whoami(), await second.whoami()) == ("lead", "lead.the-worker")

    async def step(body: Any) -> Any:
        shown = json.dumps(body["messages"])
        return READ if "this session is agent lead.the-worker" in shown and "for the worker" not in shown else "done"

    model.script(*[step] * 50)
    mailbox.send("lead", "for the lead", id="l1")
    mailbox.send("lead.the-worker", "for the worker", id="w1")
    await second.until(lambda: mailbox.state("lead.the-worker", "w1")["state"] == "acked", "it reads its mail")

    assert "for the worker" in model.seen()
    assert "for the lead" not in model.seen()
    assert mailbox.state("lead", "l1")["deliveries"] == 0
    model.steps.clear()
    await first.close()
    model.script([("Bash", {"command": "postino whoami && postino send eve hello"})])
    await second.prompt("run it")
    (sent,) = mailbox.data("read", "--agent", "eve", "--peek")["items"]
    assert (sent["from"], sent["verified"]) == ("lead.the-worker", True)


def _is_teammate(body: Any) -> bool:
    return TASK in json.dumps(body["messages"][:2]) and "start a team" not in json.dumps(body["messages"][:2])


def _has_mailbox(body: Any) -> bool:
    return any(each["name"] == f"{TOOL}read" for each in body["tools"])
