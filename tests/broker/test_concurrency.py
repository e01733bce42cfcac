"""Many at once: no message to two readers, none lost, each sender's order kept, also through two daemons."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from postino.broker import Broker
from postino.errors import PostinoError
from postino.model import Message


async def drain(broker: Broker, agent: str, consumer: str, got: list[Message], done: asyncio.Event, limit: int) -> None:
    """Read and acknowledge until nothing is left and nothing more will come."""
    while True:
        batch = await broker.mail.read(agent, consumer, limit=limit)
        got += batch.items
        await broker.mail.ack(agent, consumer, [each.id for each in batch.items])
        if not batch.items:
            if done.is_set():
                return
            await broker.mail.wait(agent, 0.2)


async def write(broker: Broker, send, sender: str, count: int) -> None:
    for number in range(count):
        await send(broker, f"{sender}:{number:03}", sender=sender)


@pytest.mark.parametrize("daemons", [1, 2])
async def test_many_readers_of_one_inbox_share_it_without_loss_or_repeat(open_broker, send, daemons: int) -> None:
    brokers = [await open_broker(max_inbox=10_000) for _ in range(daemons)]
    done = asyncio.Event()
    got: list[list[Message]] = [[] for _ in range(12)]
    readers = [
        asyncio.create_task(drain(brokers[at % daemons], "bob", f"s{at}", got[at], done, limit=1 + at % 5))
        for at in range(12)
    ]

    await asyncio.gather(*(write(brokers[at % daemons], send, f"w{at}", 50) for at in range(8)))
    done.set()
    await asyncio.gather(*readers)

    everything = [each for reader in got for each in reader]
    assert sorted(each.id for each in everything) == sorted(f"w{at}:{n:03}" for at in range(8) for n in range(50))
    assert {(each.delivery, each.redelivered) for each in everything} == {(1, False)}
    assert {each.seq for each in everything} == set(range(1, 401))
    assert sum(1 for reader in got if reader) > 1
    for reader in got:  # each reader, too, sees each sender in order
        for at in range(8):
            mine = [each.id for each in reader if each.from_ == f"w{at}"]
            assert mine == sorted(mine)
    assert (await brokers[0].agents.one("bob")).message_count == 0


async def test_readers_that_give_up_in_the_middle_lose_nothing_and_repeat_only_what_they_had(
    open_broker, send, hello
) -> None:
    broker = await open_broker(max_inbox=10_000, max_deliveries=100)
    chance = random.Random(7)
    deliveries: list[Message] = []
    acknowledged: Counter[str] = Counter()

    async def read(name: str) -> None:
        empty = 0
        for life in range(200):
            session = f"{name}-{life}"
            await broker.sessions.join(hello(session, name="bob"))
            batch = await broker.mail.read("bob", session, limit=chance.randint(1, 8))
            deliveries.extend(batch.items)
            ids = [each.id for each in batch.items]
            fate = chance.random()
            if fate < 0.5:
                acknowledged.update((await broker.mail.ack("bob", session, ids)).acknowledged)
            elif fate < 0.7:
                await broker.mail.nack("bob", session, ids)
            await broker.sessions.leave(session, 1)
            empty = 0 if ids else empty + 1
            if empty > 3 and (await broker.agents.one("bob")).message_count == 0:
                return

    await asyncio.gather(*(write(broker, send, f"w{at}", 25) for at in range(4)), *(read(f"r{at}") for at in range(4)))
    done = asyncio.Event()
    done.set()
    last: list[Message] = []
    await drain(broker, "bob", "last", last, done, 50)
    deliveries += last
    acknowledged.update(each.id for each in last)

    sent = {f"w{at}:{number:03}" for at in range(4) for number in range(25)}
    assert set(acknowledged) == sent
    assert set(acknowledged.values()) == {1}
    counts: Counter[str] = Counter()
    for each in sorted(deliveries, key=lambda message: (message.id, message.delivery)):
        counts[each.id] += 1
        assert each.delivery == counts[each.id]
        assert each.redelivered == (each.delivery > 1)


async def test_first_deliveries_keep_the_order_of_each_sender_whoever_reads_beside(broker: Broker, send) -> None:
    first: list[Message] = []

    async def read(session: str) -> None:
        for _ in range(60):
            batch = await broker.mail.read("bob", session, limit=3)
            first.extend(each for each in batch.items if not each.redelivered)  # one loop: in the order of the replies
            ids = [each.id for each in batch.items]
            await broker.mail.nack("bob", session, ids[::2])
            await broker.mail.ack("bob", session, ids[1::2])

    await asyncio.gather(write(broker, send, "a", 40), write(broker, send, "b", 40), read("s1"), read("s2"))

    assert [each.seq for each in first] == sorted(each.seq for each in first)
    for sender in ("a", "b"):
        mine = [each.id for each in first if each.from_ == sender]
        assert mine == sorted(mine)


async def test_one_id_sent_by_two_daemons_at_once_is_one_message(open_broker, send) -> None:
    one, two = await open_broker(), await open_broker()

    sent = await asyncio.gather(*(send(broker, f"m{number}") for number in range(40) for broker in (one, two)))

    assert sum(each.created for each in sent) == 40
    assert (await one.mail.peek("bob", 200, 0))[1] == 40


async def test_two_acknowledgements_of_one_message_by_two_sessions_are_one(open_broker, send) -> None:
    one, two = await open_broker(message_lease=1), await open_broker()
    for number in range(20):
        await send(one, f"m{number:02}")
    ids = [each.id for each in (await one.mail.read("bob", "s1", limit=200)).items]
    while not (await one.agents.check("bob")).unread_messages:
        await one.mail.wait("bob", 5)

    async def take_over() -> list[str]:
        batch = await two.mail.read("bob", "s2", limit=200)
        return (await two.mail.ack("bob", "s2", [each.id for each in batch.items])).acknowledged

    late, taken = await asyncio.gather(one.mail.ack("bob", "s1", ids), take_over())

    assert sorted(late.acknowledged + taken) == ids


async def test_an_inbox_takes_exactly_what_it_may_hold_however_many_send(open_broker, send) -> None:
    one, two = await open_broker(max_inbox=25), await open_broker(max_inbox=25)

    answers = await asyncio.gather(
        *(send((one, two)[number % 2], f"m{number}") for number in range(100)), return_exceptions=True
    )

    refused = [each for each in answers if isinstance(each, PostinoError)]
    assert len(answers) - len(refused) == 25
    assert {each.code for each in refused} == {"inbox_full"}
    assert (await one.mail.peek("bob", 200, 0))[1] == 25


async def test_broadcasts_of_many_are_numbered_alike_for_all_readers(open_broker, say) -> None:
    one, two = await open_broker(), await open_broker()
    heard: dict[str, list[str]] = {f"a{at}": [] for at in range(6)}

    async def listen(broker: Broker, agent: str) -> None:
        while len(heard[agent]) < 100:
            heard[agent] += [each.id for each in (await broker.broadcasts.read(agent, 7)).items]
            await asyncio.sleep(0)

    async with asyncio.timeout(20):
        await asyncio.gather(
            *(say((one, two)[number % 2], f"b{number}") for number in range(100)),
            *(listen((one, two)[at % 2], f"a{at}") for at in range(6)),
        )

    assert len({tuple(each) for each in heard.values()}) == 1
    assert set(heard["a0"]) == {f"b{number}" for number in range(100)}


async def test_a_hundred_waiting_readers_are_served_by_a_hundred_messages(broker: Broker, send) -> None:
    async def one(at: int) -> str:
        while not (batch := await broker.mail.read("bob", f"s{at}", limit=1, ack_now=True)).items:
            await broker.mail.wait("bob", 20)
        return batch.items[0].id

    readers = [asyncio.create_task(one(at)) for at in range(100)]
    await asyncio.sleep(0.1)
    await asyncio.gather(*(send(broker, f"m{number}") for number in range(100)))
    async with asyncio.timeout(10):
        got = await asyncio.gather(*readers)

    assert sorted(got) == sorted(f"m{number}" for number in range(100))
