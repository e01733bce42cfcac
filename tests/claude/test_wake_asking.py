"""A session that waits for a reply is in a turn: nothing wakes it until the wait has ended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from postino.claude import wake
from postino.claude.wake import Wakes
from postino.mcp.connected import ConnectedSessions
from postino.model import Draft, Sender
from tests.waiting import eventually

ANN = Sender(name="ann", via="http")


async def test_neither_the_reply_nor_other_mail_wakes_a_session_that_asks(
    broker: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wake, "WAITING_S", 0.1)
    sessions = ConnectedSessions()
    waking = asyncio.create_task(Wakes(broker, sessions, "auto").run())
    try:
        bob = await connect("bob", sessions=sessions, claude={"pid": 1, "socket": "/tmp/1.sock"})
        call = bob.tool("msg_ask", to="ann", body="who?", id="q1", timeout=60)

        async def asked() -> bool:
            return bool((await broker.mail.known([("ann", "q1")]))[0])

        await eventually(asked)
        await broker.mail.send(Draft(id="m1", to="bob", body="other mail"), ANN)
        await asyncio.sleep(0.3)
        await broker.mail.send(Draft(id="r1", to="bob", body="me", reply_to="q1"), ANN)

        await bob.answer(call)
        assert bob.others == []  # no line has come before the reply

        while (line := await bob.next()).get("postino") != "wake":
            pass
        assert "1 unread message" in line["text"]
    finally:
        waking.cancel()
        await asyncio.gather(waking, return_exceptions=True)
