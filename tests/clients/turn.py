"""A turn in which mail arrives, is read beside another call, and is acknowledged when the client has shown it."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.clients.machine import Machine
from tests.clients.model import Model
from tests.relays import WRITTEN_AGO, RealRelay
from tests.scripted.model import Calls
from tests.waiting import until


class WorkingTurn:
    """The first turn of an interactive session: m1 arrives while it works; it sends `sent` and makes `calls`."""

    def __init__(self, machine: Machine, model: Model, sent: str, calls: Calls | None = None) -> None:
        self._machine, self._model, self._sent, self._calls = machine, model, sent, calls or []
        self._with_the_answer = ""
        self.agent = ""  # who the session is, known when it has begun
        model.script(self._mail_arrives, [("msg_read", {}), ("msg_check", {})], self._has_the_answer, self._went_on)

    async def _mail_arrives(self, _: Any) -> Calls:
        (self.agent,) = await asyncio.to_thread(self._machine.online)
        await asyncio.to_thread(self._machine.send, self.agent, "the body of m1", id="m1")
        return [("msg_send", {"to": "ann", "body": "hello ann", "id": self._sent}), *self._calls]

    async def _has_the_answer(self, _: Any) -> Calls:
        self._with_the_answer = (await asyncio.to_thread(self._machine.state, self.agent, "m1"))["state"]
        await asyncio.sleep(WRITTEN_AGO)  # a call that comes sooner counts as one beside the read
        return [("msg_whoami", {})]

    async def _went_on(self, _: Any) -> str:
        await self._machine.until_state(self.agent, "m1", "acked")
        return "bye"

    async def check(self) -> None:
        """Wait for its end, and check what the model was shown and what became of the messages."""
        machine, model = self._machine, self._model
        assert await model.until_shown("the body of m1") == 2
        await machine.until_state(self.agent, "m1", "acked")
        assert f"this session is agent {self.agent}" in model.shown(0)
        assert machine.state("ann", self._sent)["from"] == self.agent
        assert "1 unread message" in model.shown(1) and "the body of m1" not in model.shown(1)
        assert self._with_the_answer == "leased"

    async def woken(self, by: str) -> None:
        """Send m2 to the session, which is idle now, and check that it is woken `by` a way, reads and acknowledges."""
        await asyncio.to_thread(until, self._is_idle, "the turn has ended")  # else that end tells of the mail
        self._model.script([("msg_read", {})], "thanks")
        await asyncio.to_thread(self._machine.send, self.agent, "the body of m2", id="m2")
        await self._model.until_shown("the body of m2")
        await self._machine.until_state(self.agent, "m2", "acked")
        assert self._machine.state(self.agent, "m2")["notified"] == by

    async def woken_with_the_message(self, ada: RealRelay) -> None:
        """Send m5, verified, to the idle session: it is in the first request, and acknowledged after the answer."""
        await asyncio.to_thread(until, self._is_idle, "the turn has ended")
        states: list[str] = []

        async def answer(_: Any) -> str:
            states.append((await asyncio.to_thread(self._machine.state, self.agent, "m5"))["state"])
            return "thanks"

        self._model.script(answer)
        asked = len(self._model.requests)
        await ada.call("msg_send", to=self.agent, body="the body of m5 <b>", id="m5")
        assert await self._model.until_shown("the body of m5 \\\\u003cb\\\\u003e") == asked
        await self._machine.until_state(self.agent, "m5", "acked")
        assert states == ["leased"]

    def _is_idle(self) -> bool:
        return bool(self._machine.asked(f"agents/{self.agent}")["state"] == "idle")
