"""Postino's own tools run without a dialog in the real client, and in plan mode only those that read."""

from __future__ import annotations

import json
from typing import Any

TOOL = "mcp__plugin_postino_postino__msg_"


async def test_its_tools_run_without_a_rule_that_allows_them(mailbox: Any, open_tab: Any, model: Any) -> None:
    mailbox.extra["POSTINO_AGENT_NAME"] = "bob"
    mailbox.send("bob", "are you there?")
    tab = await open_tab(allowed="Bash")
    model.script([(f"{TOOL}read", {})], [(f"{TOOL}send", {"to": "ann", "body": "I am", "id": "answer"})])

    await tab.prompt("read your mail and answer")

    assert "are you there?" in model.seen()
    assert mailbox.data("read", "--agent", "ann")["items"][0]["body"] == "I am"


async def test_a_rule_of_the_user_that_denies_one_wins(mailbox: Any, open_tab: Any, model: Any) -> None:
    mailbox.extra["POSTINO_AGENT_NAME"] = "bob"
    tab = await open_tab("--disallowedTools", f"{TOOL}send", allowed="Bash")
    model.script([(f"{TOOL}send", {"to": "ann", "body": "x", "id": "answer"})])

    await tab.prompt("write to ann")

    assert mailbox.data("read", "--agent", "ann", "--peek")["items"] == []


async def test_in_plan_mode_reading_runs_and_sending_does_not(mailbox: Any, open_tab: Any, model: Any) -> None:
    mailbox.extra["POSTINO_AGENT_NAME"] = "bob"
    mailbox.send("bob", "are you there?", id="m1")
    tab = await open_tab("--permission-mode", "plan", allowed="Bash")
    model.script([(f"{TOOL}read", {})], [(f"{TOOL}send", {"to": "ann", "body": "I am", "id": "answer"})])

    await tab.prompt("read your mail and answer")

    assert "are you there?" in json.dumps(model.requests[1]["messages"])
    assert mailbox.data("read", "--agent", "ann", "--peek")["items"] == []
