"""Lists of names are exact, and cost the same however many names there are: what has changed is read, and no more."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from postino.broker import Broker, Hello
from postino.broker.history_filter import Search
from postino.errors import PostinoError
from postino.model import BroadcastDraft, Draft, Sender
from postino.several import ManyDraft
from tests.broker.listed import agree
from tests.broker.mailrooms import Open

CI = Sender(name="ci", via="http")
NAMES = ["ann", "Ann", "bob", "Bob", "cid", "Dora", "dora", "eve", "ci"]
STEPS = 400


class Changes:
    """Everything that changes a name, in any order."""

    def __init__(self, broker: Broker, chance: random.Random) -> None:
        self.broker = broker
        self._chance = chance
        self._said: list[str] = []
        self._sessions: list[str] = []

    def steps(self) -> list[Callable[[], Awaitable[object]]]:
        names = [each for each in dir(self) if not each.startswith("_") and each not in ("steps", "broker")]
        return [getattr(self, each) for each in names]

    def _name(self) -> str:
        return self._chance.choice(NAMES)

    async def heartbeat(self) -> None:
        await self.broker.agents.heartbeat(self._name())

    async def offline(self) -> None:
        await self.broker.agents.offline(self._name())

    async def forget(self) -> None:
        await self.broker.mail.clear(name := self._name())
        await self.broker.agents.offline(name)
        await self.broker.agents.forget(name)

    async def rename(self) -> None:
        await self.broker.agents.rename(self._name(), self._name())

    async def send(self) -> None:
        await self.broker.mail.send(Draft(id=secrets.token_hex(8), to=self._name(), body="x"), CI)

    async def send_many(self) -> None:
        draft = Draft(id=secrets.token_hex(8), to="ann", body="x")
        await self.broker.groups.send_many(ManyDraft(to=[self._name(), self._name()], draft=draft), CI)

    async def read(self) -> None:
        await self.broker.mail.read(self._name(), "script", limit=2)

    async def broadcast(self) -> None:
        self._said.append(secrets.token_hex(8))
        sender = Sender(name=self._name(), via="http")
        await self.broker.broadcasts.broadcast(BroadcastDraft(id=self._said[-1], body="x"), sender)

    async def read_broadcasts(self) -> None:
        await self.broker.broadcasts.read(self._name(), 3)

    async def lease_broadcasts(self) -> None:
        batch = await self.broker.broadcasts.read(self._name(), 3, lease=True)
        await self.broker.broadcasts.mark_given(batch.agent, batch.cursor)

    async def see_broadcast(self) -> None:
        if self._said:
            await self.broker.broadcasts.seen(self._name(), self._chance.choice(self._said))

    async def join(self) -> None:
        name = self._chance.choice([*NAMES, ""])
        self._sessions.append(secrets.token_hex(8))
        hello = Hello(
            session=self._sessions[-1], generation=1, name=name, directory="/home/x/work", host="h", claude_start="1",
            claude_pid=len(self._sessions) % 3 + 1, claude_session_id=f"c{len(self._sessions) % 2}",
        )  # fmt: skip
        await self.broker.sessions.join(hello)

    async def leave(self) -> None:
        if self._sessions:
            await self.broker.sessions.leave(self._sessions.pop(), 1)

    async def group_join(self) -> None:
        await self.broker.groups.add("team", self._name())

    async def group_leave(self) -> None:
        await self.broker.groups.remove("team", self._name())

    async def register(self) -> None:
        await self.broker.people.register(self._chance.choice(["lea", "Max", *NAMES]))


@pytest.mark.parametrize("seed", range(3))
async def test_after_any_change_every_daemon_lists_what_is_stored(open_broker: Open, seed: int) -> None:
    chance = random.Random(seed)
    brokers = [await open_broker(), await open_broker()]
    changes = Changes(brokers[0], chance)
    left = {*changes.steps()}
    for number in range(STEPS):
        step = chance.choice(changes.steps())
        with suppress(PostinoError):
            await step()
            left.discard(step)
        if chance.random() < 0.5:  # else the next one finds several changes
            for each in brokers:
                assert await agree(each), (number, step.__name__)
    assert not left


async def test_calls_at_once_each_see_what_was_changed_before_them(open_broker: Open) -> None:
    first, second = await open_broker(), await open_broker()

    async def join_and_list(number: int) -> bool:
        name = f"a{number:03}"
        await first.agents.heartbeat(name)
        before = name in (await second._table.names()).agents
        await first.broadcasts.broadcast(BroadcastDraft(id=name, body="x"), Sender(name=name, via="http"))
        await first.agents.offline(name)
        await first.agents.forget(name)
        return before and name not in (await second._table.names()).agents

    assert all(await asyncio.gather(*(join_and_list(number) for number in range(100))))
    assert await agree(second)


async def test_calls_at_once_read_no_more_than_what_has_changed(proxy, open_broker: Open) -> None:
    between = await proxy()
    first, second = await open_broker(), await open_broker(valkey_url=between.url)
    await first.agents.heartbeat("zoe")
    await second._table.names()
    between.sent.clear()

    async def later(turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await second._table.names()

    for number in range(20):
        await first.agents.heartbeat(f"a{number:03}")
        await asyncio.gather(*(later(turns) for turns in range(30)))

    assert not between.count("HGETALL", second._store.keys.shared("agents"))
    assert await agree(second)


async def test_more_changes_than_are_kept_are_not_missed(open_broker: Open) -> None:
    first, second = await open_broker(), await open_broker()
    await first.agents.heartbeat("zoe")
    assert (await second.agents.page(1, 0))[1] == 1
    place = second._table._place
    for part in range(24):
        await asyncio.gather(*(first.agents.heartbeat(f"a{part}-{number}") for number in range(50)))

    assert (await second.agents.page(1, 0))[1] == 1201
    assert await agree(second)
    store = first._store
    kept_now = await store.call("XRANGE", store.keys.shared("changes"), "-", "+")
    assert len(kept_now) < 1200 and kept_now[0][0] > place, "the test has made too few changes"


async def test_a_store_that_was_emptied_has_no_names(broker: Broker) -> None:
    await broker.agents.heartbeat("bob")
    assert await broker.agents.online() == ["bob"]
    keys = broker._store.keys
    await broker._store.call("DEL", *map(keys.shared, ("agents", "cursors", "presence", "changes")))

    assert (await broker.agents.page(10, 0))[1] == 0
    await broker.agents.heartbeat("carol")
    assert await broker.agents.online() == ["carol"]
    assert await agree(broker)


async def test_what_lists_cost_does_not_depend_on_how_many_names_there_are(broker: Broker, say) -> None:
    await say(broker, "b1")
    found = []
    for names in ("a", "bcdefghijklmnopqrstuvwxyz"):
        for name in names:
            await broker.broadcasts.read(name, 1)
        await broker.agents.heartbeat(names[0])
        await broker.agents.page(10, 0)
        before = broker.round_trips
        await broker.agents.page(10, 0)
        await broker.agents.online()
        await broker.agents.one(names[0])
        await broker.agents.addressees("A")
        await broker.people.names()
        await broker.broadcasts.page(10, 0)
        await broker.groups.page(10, 0)
        await broker.history.search(Search(agent="a"))
        found.append(broker.round_trips - before)

    assert found[0] == found[1] < 30


async def test_whoever_was_only_written_to_and_then_acts_is_listed_so(broker: Broker, send) -> None:
    for name, act in (
        ("ann", lambda: broker.mail.read("ann", "script", limit=1)),
        ("bob", lambda: broker.people.register("bob")),
        ("cid", lambda: broker.mail.take("cid", "script", "m1")),
    ):
        await send(broker, "m1", to=name)
        assert await agree(broker)
        await act()
        assert await agree(broker), name


async def test_a_sign_of_life_changes_no_list_but_the_page_shows_it(broker: Broker) -> None:
    await broker.agents.heartbeat("bob")
    store = broker._store
    before = await store.call("XLEN", store.keys.shared("changes"))
    (first,), _ = await broker.agents.page(10, 0)
    while (found := (await broker.agents.page(10, 0))[0][0]).last_seen == first.last_seen:
        await broker.agents.heartbeat("bob")

    assert found.last_seen > first.last_seen
    assert await store.call("XLEN", store.keys.shared("changes")) == before


async def test_people_are_listed_while_they_are_renamed(broker: Broker) -> None:
    await broker.people.register("p0")

    async def list_them() -> None:
        while not renaming.done():
            found, total = await broker.people.page(10, 0)
            assert (len(found), total) == (1, 1)

    async def rename() -> None:
        for number in range(200):
            await broker.agents.rename(f"p{number % 2}", f"p{(number + 1) % 2}")

    renaming = asyncio.create_task(rename())
    await asyncio.gather(renaming, *(list_them() for _ in range(8)))
