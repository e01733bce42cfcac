"""A model for two sessions: one asks the other by msg_ask, and that one, woken by the question, answers by its id."""

from __future__ import annotations

import json
import re
import time

from tests.hooks.machine import TOOL
from tests.scripted.model import Calls, Json

_QUESTION = re.compile(r"question-(\d+)")
_ID = re.compile(r'\\"id\\":\\"([^"\\]+)')


class Asking:
    """Steps of the scripted model; the sessions are known by the names ann, who asks, and bob."""

    def __init__(self) -> None:
        self.asked_at: dict[int, float] = {}
        self.replied_at: dict[int, float] = {}  # when the model of ann had the reply
        self.answered: set[str] = set()  # questions, by number
        self.number = 0

    async def step(self, body: Json) -> str | Calls:
        """Answer one request of either session."""
        said = json.dumps(body["messages"], ensure_ascii=False)
        last = json.dumps(body["messages"][-1], ensure_ascii=False)
        if "this session is agent ann" in said:
            return self._ann(last)
        return self._bob(said, last)

    def _ann(self, last: str) -> str | Calls:
        if f"answer-{self.number}" in last:
            self.replied_at[self.number] = time.perf_counter()
            return "thanks"
        if "tool_result" in last:
            return "no reply"
        self.asked_at[self.number] = time.perf_counter()
        return [(f"{TOOL}ask", {"to": "bob", "body": f"question-{self.number}", "timeout": 60})]

    def _bob(self, said: str, last: str) -> str | Calls:
        questions = [each for each in _QUESTION.finditer(said) if each[1] not in self.answered]
        if not questions:
            return "answered" if "tool_result" in last else [(f"{TOOL}read", {})]  # woken by a line without the body
        question = questions[-1]
        self.answered.add(question[1])
        asked = _ID.findall(said[: question.start()])[-1]
        return [(f"{TOOL}send", {"body": f"answer-{question[1]}", "reply_to": asked, "expects": "none"})]
