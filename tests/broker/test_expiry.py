"""Mail that nobody read in time: it becomes a dead letter wherever that is noticed, and its sender is notified."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from postino.broker import Broker
from postino.errors import InboxFull

TTL_MS = 3_600_000

#: what an inbox gets whose messages were sent long ago, as send.lua writes them
OLD = """
local agent, count, at = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
for number = 1, count do
  local id = agent .. number
  local stream_id = redis.call('XADD', KEYS[1], (at - count + number) .. '-0', 'id', id, 'seq', number, 'from', 'ci',
    'verified', '', 'via', 'http', 'body', 'old', 't', at, 'thread', '', 'reply_to', '')
  redis.call('HSET', KEYS[2], id, cjson.encode({ s = stream_id, d = '', q = number, st = 'queued', t = at, f = 'ci' }))
  redis.call('HINCRBY', KEYS[2], '#seq', 1)
end
"""
#: ids whose messages were acknowledged long ago
IDS = """
for number = 1, tonumber(ARGV[1]) do
  local id = 'gone' .. ARGV[2] .. '-' .. number
  redis.call('HSET', KEYS[1], id, cjson.encode({ s = '1-1', d = 'd', q = 1, st = 'acked', t = 1, f = 'ci', e = 1 }))
end
"""


@pytest.fixture
async def broker(open_broker) -> Broker:
    """A broker with a sender that has read before, to whom notices are sent."""
    opened: Broker = await open_broker(msg_ttl=TTL_MS // 1000)
    await opened.mail.read("ci", "s-ci")
    return opened


async def old_mail(broker: Broker, count: int, agent: str = "bob") -> None:
    store = broker._store
    await broker.agents.heartbeat(agent)
    keys = [store.keys.of(kind, agent) for kind in ("inbox", "index")]
    await store.call("EVAL", OLD, 2, *keys, agent, count, await store.now_ms() - TTL_MS)


async def letters(broker: Broker, agent: str = "bob") -> list[tuple[str, str]]:
    return [(each.id, each.reason) for each in (await broker.dead.part(agent, 200)).items]


async def full(broker: Broker) -> None:
    with pytest.raises(InboxFull):
        for number in range(1001):
            await broker.mail.send(*fresh(number))


def fresh(number: int) -> tuple:
    from postino.model import Draft, Sender

    return Draft(id=f"fresh{number}", to="bob", body="x"), Sender(name="alice", via="http")


BY: dict[str, Callable[[Broker], Awaitable[object]]] = {
    "read": lambda broker: broker.mail.read("bob", "s1"),
    "check": lambda broker: broker.agents.check("bob"),
    "hook": lambda broker: broker.claude.unnotified("bob", "h:1:1", "c-1"),
    "sweep": lambda broker: broker.housekeeping.sweep(),
    "full inbox": full,
}


@pytest.mark.parametrize("by", BY)
async def test_mail_that_expired_becomes_a_dead_letter_and_its_sender_is_notified(
    broker: Broker, eventually, events, by: str
) -> None:
    await old_mail(broker, 2)

    await BY[by](broker)

    assert await letters(broker) == [("bob1", "expired"), ("bob2", "expired")]
    state = await broker.mail.state("bob", "bob1")
    assert (state.state, state.reason, state.deliveries) == ("expired", "ttl", 0)
    assert [each.data["id"] for each in await events(broker, "msg_expired")] == ["bob1", "bob2"]

    async def told() -> list[str]:
        items, _ = await broker.mail.peek("ci", 50, 0)
        return [each.body for each in items if each.id in ("dead:bob1", "dead:bob2")]

    broker.housekeeping.run_soon()
    bodies = await eventually(told, "the sender is notified")
    assert "within its time to live" in bodies[0]


async def test_an_expired_letter_that_is_requeued_begins_a_new_life_and_is_no_repeat(broker: Broker) -> None:
    await old_mail(broker, 1)
    await broker.mail.read("bob", "s1")

    assert await broker.dead.requeue("bob", ["bob1"]) == ["bob1"]
    batch = await broker.mail.read("bob", "s1")

    assert [(each.id, each.delivery, each.redelivered) for each in batch.items] == [("bob1", 1, False)]
    assert await letters(broker) == []


async def test_a_message_that_expired_after_a_delivery_is_a_repeat_when_requeued(broker: Broker) -> None:
    await old_mail(broker, 1)
    store = broker._store
    await store.call("XGROUP", "CREATE", store.keys.of("inbox", "bob"), "agents", "0")
    await store.call("XREADGROUP", "GROUP", "agents", "s0", "STREAMS", store.keys.of("inbox", "bob"), ">")
    await store.call("ZADD", store.keys.of("leases", "bob"), 1, f"{await store.now_ms() - 2 * TTL_MS}-0")
    await broker.agents.check("bob")

    await broker.dead.requeue("bob", ["bob1"])

    assert [each.redelivered for each in (await broker.mail.read("bob", "s1")).items] == [True]


async def test_the_id_of_an_expired_letter_is_known_as_long_as_the_letter_lies(broker: Broker) -> None:
    await old_mail(broker, 1)
    await broker.mail.read("bob", "s1")

    await broker.housekeeping.sweep()

    assert (await broker.mail.state("bob", "bob1")).state == "expired"
    assert await broker.dead.requeue("bob", ["bob1"]) == ["bob1"]


async def test_a_record_without_an_end_stops_no_send(broker: Broker, send, say) -> None:
    keys, record = broker._store.keys, '{"s": "1-1", "d": "", "q": 1, "st": "expired", "t": 1, "f": "ci"}'
    for agent in ("bob", "all"):
        await broker._store.call("HSET", keys.of("index", agent), "old", record)

    for number in range(64):  # the last one sweeps
        await send(broker, f"m{number}")
    for number in range(16):
        await say(broker, f"b{number}")

    for agent in ("bob", "all"):
        assert not await broker._store.call("HEXISTS", keys.of("index", agent), "old")


async def test_a_read_goes_past_any_number_of_expired_messages(broker: Broker, send) -> None:
    await old_mail(broker, 250)
    await send(broker, "fresh")

    assert (await broker.agents.check("bob")).unread_messages == 1
    batch = await broker.mail.read("bob", "s1")

    assert [each.id for each in batch.items] == ["fresh"]
    assert (await broker.dead.part("bob", 1)).total == 250


async def test_a_sweep_goes_on_until_20000_ids_and_all_expired_mail_of_silent_inboxes_are_gone(broker: Broker) -> None:
    store = broker._store
    await broker.agents.heartbeat("silent")
    for number in range(20):
        for agent, count in (("silent", 1000), ("all", 100)):
            await store.call("EVAL", IDS, 1, store.keys.of("index", agent), count, number)
    await old_mail(broker, 350)

    await broker.housekeeping.sweep()

    for name in ("silent", "all"):
        assert await store.call("HLEN", store.keys.of("index", name)) == 0
    assert (await broker.mail.peek("bob", 1, 0))[1] == 0
    assert (await broker.dead.part("bob", 1)).total == 350
