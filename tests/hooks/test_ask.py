"""One session of the real client asks another that is idle: the question wakes it, and its answer ends the call."""

from __future__ import annotations

from typing import Any

from tests.hooks.asking import Asking
from tests.hooks.machine import TOOL, TOOLS

ALLOWED = f"{TOOLS},{TOOL}ask"


async def test_a_question_is_answered_by_a_session_that_was_idle_and_woken(
    mailbox: Any, open_tab: Any, model: Any
) -> None:
    asking = Asking()
    model.script(*[asking.step] * 10)
    bob = await open_tab(POSTINO_AGENT_NAME="bob", allowed=ALLOWED)
    ann = await open_tab(POSTINO_AGENT_NAME="ann", allowed=ALLOWED)

    assert await ann.prompt("ask bob") == "thanks"
    await bob.until(bob.results, "its turn ends")

    reply, question = mailbox.asked("history?agent=ann")["items"]
    assert (question["body"], question["expects"], question["state"]) == ("question-0", "reply", "acked")
    assert (reply["body"], reply["reply_to"], reply["expects"]) == ("answer-0", question["id"], "none")
    assert reply["state"] == "acked"  # the end of the turn proves that its model had the answer
    assert (question["notified"], reply["notified"]) == ("socket", "none")  # the reply woke and hinted nobody
    assert ann.said("PostToolBatch") == [""]
    assert len(ann.results()) == len(bob.results()) == 1
