"""A server for notifications, and notifiers that send to it when they are told to look."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from postino.broker import Broker
from postino.model import Draft, Sender
from postino.notify.messenger import Messenger
from postino.notify.notifications import Notifications, Pace
from tests.notify.ntfy import Ntfy
from tests.waiting import eventually

PAGE = "http://localhost:3333/"


class Notifier:
    """The notifications of one daemon, which looks when a test says so."""

    def __init__(self, broker: Broker, address: str, pace: Pace) -> None:
        self.broker = broker
        messenger = Messenger(address)
        for service in messenger._apprise.services:
            service.request_rate_per_sec = 0  # Apprise leaves 5.5 s between two calls
        self.notifications = Notifications(broker, messenger, lambda: PAGE, pace)
        self.seen: list[str] = []  # types of events, once the notifications have them, too

    async def look(self) -> None:
        await self.notifications.look()

    async def dies(self, id: str, to: str = "bob", sender: str = "ci") -> None:
        """Let a message become a dead letter, and wait until the notifications know of it."""
        before = self.seen.count("msg_dead")
        await self.broker.mail.send(Draft(id=id, to=to, body="the body"), Sender(name=sender, via="http"))
        await self.broker.mail.read(to, "s-1", limit=1)
        await self.broker.mail.nack(to, "s-1", [id])
        await eventually(lambda: self.seen.count("msg_dead") > before)


@pytest.fixture
def ntfy() -> Iterator[Ntfy]:
    server = Ntfy()
    yield server
    server.close()


@pytest.fixture
def notifier(ntfy: Ntfy) -> Iterator[Callable[..., Notifier]]:
    """Make the notifier of a broker: `notifier(broker, per_hour=6)`; nothing is gathered unless it says so."""
    with ExitStack() as stack:

        def one(broker: Broker, address: str = ntfy.address, **pace: float) -> Notifier:
            made = Notifier(broker, address, Pace(**{"gather": 0, "retry": 0} | pace))  # type: ignore[arg-type]
            stack.enter_context(broker.events.counted_by(made.notifications.note))
            stack.enter_context(broker.events.counted_by(lambda event: made.seen.append(event.type)))
            return made

        yield one


@pytest.fixture
async def broker(open_broker) -> Broker:
    return await open_broker(max_deliveries=1)
