"""Messages to put before a test, and what an answer says."""

from __future__ import annotations

from typing import Any

from postino.broker import Broker
from postino.model import Draft, Sender

ALICE = Sender(name="alice", via="http")


async def mail(broker: Broker, id: str, body: str = "x", to: str = "bob") -> None:
    await broker.mail.send(Draft(id=id, to=to, body=body), ALICE)


def text_of(answer: dict[str, Any]) -> str:
    return answer["result"]["content"][0]["text"]  # type: ignore[no-any-return]
