"""Two daemons on one Valkey beside the model of it: who is who, and what must hold after each step."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis.stateful import RuleBasedStateMachine, invariant

from postino.broker import Broker
from postino.config import Settings
from postino.errors import PostinoError
from postino.paths import Home
from tests.broker.listed import agree
from tests.broker.mailbox_model import DELIVERIES, MOST, Box

KEPT = 3  # broadcasts
T = TypeVar("T")
IDS = [f"m{number}" for number in range(16)]


class TwoDaemons(RuleBasedStateMachine):
    """Both worlds; a machine adds the steps."""

    def __init__(self, url: str, home: Home) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        told = Settings(
            home=home, valkey_url=url, key_prefix=f"t{secrets.token_hex(6)}:", message_lease=3600, max_inbox=MOST,
            max_deliveries=DELIVERIES, max_broadcasts=KEPT,
        )  # fmt: skip
        self.settings = told
        self.brokers = [self.run(Broker.open(told)) for _ in range(2)]
        self.turn = 0
        self.boxes: dict[str, Box] = {}
        self.forgotten: dict[str, Box] = {}
        self.alias: dict[str, str] = {}
        self.sessions: dict[str, int | None] = {}  # live ones -> their own place in the broadcasts
        self.asleep: dict[str, tuple[str, int | None]] = {}  # whom each was then, and that place
        self.fates: list[str] = []  # of broadcast 1, 2, ...: alive, trimmed or cleared
        self.said: dict[str, int] = {}
        self.streams: dict[int, str] = {}  # number of a broadcast -> its place, as far as anybody was told
        self.born = 0

    # tools

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    @property
    def broker(self) -> Broker:
        self.turn += 1
        return self.brokers[self.turn % 2]

    def refusal(self, work: Coroutine[Any, Any, Any]) -> type[PostinoError] | None:
        try:
            self.run(work)
        except PostinoError as error:
            return type(error)
        return None

    def present(self, name: str) -> str:
        return self.alias.get(name, name)

    def box(self, name: str) -> Box:
        return self.boxes.get(self.present(name)) or self.ghost(self.present(name))

    def ghost(self, name: str) -> Box:
        """A name nobody has; the ids of one that was forgotten are remembered."""
        gone = self.forgotten.get(name, Box())
        return Box(ids=gone.ids, seq=gone.seq)

    def reader(self, name: str) -> Box:
        """What is kept for whoever reads under a name, which makes nobody known."""
        return self.boxes.setdefault(self.present(name), self.ghost(self.present(name)))

    def known(self, name: str) -> Box:
        box = self.reader(name)
        box.listed = True
        return box

    def agent_of(self, session: str) -> str:
        return next(name for name, box in self.boxes.items() if session in box.sessions)

    # direct messages

    def _heard(self, cursor: int | None, limit: int) -> tuple[list[int], int, int]:
        """Numbers given, how many were missed, and the new place."""
        gone = range(cursor or 0, self.first_alive() - 1)
        missed = sum(self.fates[at] == "trimmed" for at in gone) if cursor is not None else 0
        place = max(cursor or 0, self.first_alive() - 1)
        given = list(range(place + 1, len(self.fates) + 1))[:limit]
        return given, missed, given[-1] if given else place

    def _close(self) -> None:
        for broker in self.brokers:
            self.run(broker.close())

    # what must hold after each step

    @invariant()
    def both_say_the_same(self) -> None:
        self.run(self._compare())

    async def _compare(self) -> None:
        agents, total = await self.broker.agents.page(50, 0)
        listed = {name: box for name, box in self.boxes.items() if box.listed}
        assert {each.name: (each.online, each.sessions, set(each.aliases)) for each in agents} == {
            name: (bool(box.sessions), len(box.sessions), set(box.aliases)) for name, box in listed.items()
        }
        assert total == len(listed)
        assert [await self.broker.sessions.agent_of(each) for each in self.sessions] == [
            self.agent_of(each) for each in self.sessions
        ]
        await asyncio.gather(*(self._compare_box(name, box) for name, box in self.boxes.items()))
        heard = await asyncio.gather(*(self.broker._table.entry(name) for name in self.alias))
        assert [name for name, _ in heard] == list(self.alias.values())
        for broker in self.brokers:
            assert await agree(broker)

    async def _compare_box(self, name: str, box: Box) -> None:
        broker = self.broker
        (mail, count), dead, check, known = await asyncio.gather(
            broker.mail.peek(name, 50, 0),
            broker.dead.part(name, 50),
            broker.agents.check(name),
            broker.mail.known([(name, id) for id in IDS]),
        )
        states = [each.state for each in known if each]
        assert {each.id: (each.state, each.seq, each.deliveries) for each in states} == {
            id: (each.state, each.seq, each.deliveries) for id, each in box.ids.items()
        }
        assert [(each.id, each.seq, each.body) for each in mail] == [(e.id, e.seq, e.body) for e in box.mail]
        assert [(each.id, each.delivery) for each in dead.items] == [(each.id, each.deliveries) for each in box.dead]
        unseen = len(self._heard(box.cursor, 1000)[0])
        assert (count, check.unread_messages, check.unseen_broadcasts) == (len(box.mail), box.unread(), unseen)

    def teardown(self) -> None:
        try:
            for name, box in self.boxes.items():
                self._drain(name, box)
        finally:
            self._close()
            self.loop.close()

    def _drain(self, name: str, box: Box) -> None:
        """Read out what is left: nothing accepted is lost, and in the order in which it stands."""
        wanted = [each.id for each in box.mail if each.due and each.deliveries < DELIVERIES]
        wanted += [each.id for each in box.mail if each.fresh]
        got = self.run(self.broker.mail.read(name, "last", limit=200, ack_now=True)).items
        assert [each.id for each in got] == wanted
