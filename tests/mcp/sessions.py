"""What tests of a session share."""

from __future__ import annotations

from typing import Any

from postino.broker import Broker
from postino.model import Draft
from tests.mcp.mail import ALICE


async def mail(broker: Broker, *ids: str, to: str = "bob") -> None:
    for id in ids:
        await broker.mail.send(Draft(id=id, to=to, body=f"body of {id}"), ALICE)


async def states(broker: Broker, *ids: str) -> list[str]:
    return [(await broker.mail.state("bob", id)).state for id in ids]


def ids(answer: dict[str, Any]) -> list[str]:
    return [each["id"] for each in answer["messages"]]


async def is_state(broker: Broker, id: str, state: str) -> bool:
    return (await broker.mail.state("bob", id)).state == state
