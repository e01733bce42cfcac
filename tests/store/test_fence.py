"""The fence: what is accepted is on a replica, everything else is unknown, and nothing but promises waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from postino.errors import StoreAway
from postino.model import Draft, Sender
from postino.store import fence
from postino.store.inbox import Inboxes
from postino.store.keys import Keys
from postino.store.store import Limits, Store
from tests.nodes import Node, copies, synced
from tests.store.sends import refused
from tests.waiting import eventually, until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def three() -> Iterator[list[Node]]:
    """A primary and two replicas."""
    with copies(2) as nodes:
        yield nodes


@contextlib.asynccontextmanager
async def store_on(node: Node, replicas: Any = 1) -> AsyncIterator[Store]:
    store = Store(f"redis://127.0.0.1:{node.port}", "po:", replicas=replicas)
    store.open()
    await store.connect(patience_s=20)
    try:
        yield store
    finally:
        await store.close()


LIMITS = Limits(ttl_ms=60_000, lease_ms=60_000, max_deliveries=5, max_inbox=1000)


async def send(store: Store, id: str, to: str = "bob") -> Any:
    sent = await Inboxes(store, LIMITS).send(Draft(id=id, to=to, body="hello"), Sender(name="ci", via="http"))
    return sent.seq, sent.created


def inbox(node: Node) -> int:
    return int(node.ask("XLEN", Keys("po:").of("inbox", "bob")))


async def test_what_is_accepted_is_on_the_replica_and_called_replicated(pair: list[Node]) -> None:
    primary, replica = pair
    async with store_on(primary) as store:
        for number in range(20):
            assert await send(store, f"m{number}") == (number + 1, True)
            assert inbox(replica) == number + 1
        assert store.durability == "replicated"
        assert store.warnings == []
        assert b"m19" in b"".join(each.read_bytes() for each in replica.folder.rglob("*.incr.aof"))


async def test_many_callers_share_a_fence(pair: list[Node]) -> None:
    async with store_on(pair[0]) as store:
        await send(store, "m0")
        before = store.promises.round_trips
        await asyncio.gather(*(send(store, f"m{number}") for number in range(1, 101)))

        assert inbox(pair[1]) == 101
        assert store.promises.round_trips - before < 20


async def test_a_silent_replica_makes_sends_unknown_within_two_seconds_and_holds_up_nothing_else(
    pair: list[Node],
) -> None:
    primary, replica = pair
    async with store_on(primary) as store:
        await send(store, "m1")
        replica.signal(signal.SIGSTOP)
        began = time.monotonic()
        sending = asyncio.create_task(refused(send(store, "m2")))
        await asyncio.sleep(0.05)
        asked = time.monotonic()
        mail = Inboxes(store, LIMITS)
        await mail.read(
            "bob", "s1", limit=10, budget=None, resume=False, shown=None, ack_now=False, acting=False, verified=False
        )
        acknowledged = (await mail.ack("bob", "s1", ["m1"])).acknowledged
        read_s = time.monotonic() - asked
        refusal = await sending
        told_s = time.monotonic() - began
        replica.signal(signal.SIGCONT)

        assert acknowledged == ["m1"]
        assert read_s < 0.4
        assert refusal.detail["outcome"] == "unknown"
        assert "0 of 1 replicas confirmed it in time" in refusal.message
        assert told_s < 2
        assert await send(store, "m2") == (2, False)
        assert inbox(replica) == inbox(primary)


async def test_a_primary_that_freezes_while_a_replica_confirms_is_told_within_two_seconds(pair: list[Node]) -> None:
    async with store_on(pair[0]) as store:
        await send(store, "m1")
        pair[1].signal(signal.SIGSTOP)
        began = time.monotonic()
        sending = asyncio.create_task(refused(send(store, "m2")))
        await eventually(lambda: inbox(pair[0]) == 2, "it is stored and waits")
        pair[0].signal(signal.SIGSTOP)

        refusal = await sending

        assert refusal.detail["outcome"] == "unknown"
        assert time.monotonic() - began < 2.5
        for each in pair:
            each.signal(signal.SIGCONT)


async def test_a_repeat_that_writes_nothing_is_not_taken_for_confirmed(pair: list[Node]) -> None:
    async with store_on(pair[0]) as first:
        await send(first, "m1")
        pair[1].signal(signal.SIGSTOP)
        assert (await refused(send(first, "m2"))).detail["outcome"] == "unknown"
    async with store_on(pair[0]) as second:  # a connection that has written nothing yet
        assert (await refused(send(second, "m2"))).detail["outcome"] == "none"
    pair[1].signal(signal.SIGCONT)


async def test_a_new_connection_makes_a_trial_so_that_no_outcome_is_unknown(pair: list[Node]) -> None:
    async with store_on(pair[0]) as store:
        pair[1].signal(signal.SIGSTOP)
        refusal = await refused(send(store, "m1"))
        assert (refusal.detail["outcome"], inbox(pair[0])) == ("none", 0)
        assert "confirmed" in refusal.message

        pair[1].signal(signal.SIGCONT)
        assert await send(store, "m1") == (1, True)


async def test_without_a_write_of_its_own_the_fence_would_confirm_what_no_replica_has(
    pair: list[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fence.Fence._commands

    def without_write(self: fence.Fence, *how: int) -> Any:
        _, *rest = whole(self, *how)
        return [fence.encode(("TIME",)), *rest]

    async with store_on(pair[0]) as first:
        await send(first, "m1")
        pair[1].signal(signal.SIGSTOP)
        await refused(send(first, "m2"))
    monkeypatch.setattr(fence.Fence, "_commands", without_write)
    async with store_on(pair[0]) as second:
        assert await send(second, "m2") == (2, False)  # accepted, and no replica has it
    pair[1].signal(signal.SIGCONT)


async def test_too_few_replicas_store_nothing_and_say_how_many(pair: list[Node]) -> None:
    async with store_on(pair[0], 2) as store:
        refusal = await refused(send(store, "m1"))

        assert refusal.detail["outcome"] == "none"
        assert "1 of the 2 replicas that must confirm it are connected" in refusal.message
        assert inbox(pair[0]) == 0
        assert "1 of the 2" in (await refused(store.try_write())).message


async def test_a_server_without_a_file_is_refused_with_what_to_set() -> None:
    with copies(1, "--appendonly", "no") as nodes:
        async with store_on(nodes[0]) as store:
            refusal = await refused(send(store, "m1"))

    assert refusal.detail["outcome"] == "none"
    assert "set appendonly yes and appendfsync always on all servers" in refusal.message


async def test_a_replica_that_keeps_nothing_on_disk_confirms_nothing(pair: list[Node]) -> None:
    pair[1].ask("CONFIG", "SET", "appendonly", "no")
    async with store_on(pair[0]) as store:
        refusal = await refused(send(store, "m1"))
    pair[1].ask("CONFIG", "SET", "appendonly", "yes")

    assert refusal.detail["outcome"] == "none"
    assert "0 of 1 replicas have it on disk" in refusal.message


@pytest.mark.parametrize("replicas", [1, "strict"])
async def test_when_a_replica_leaves_nothing_is_accepted_for_three_seconds(three: list[Node], replicas: Any) -> None:
    async with store_on(three[0], replicas) as store:
        await send(store, "m0")
        three[2].kill()
        until(lambda: not synced(three[0], 2), "it has left")
        began = time.monotonic()
        outcomes = []
        while time.monotonic() < began + fence.DOUBT_S + (1 if replicas == "strict" else 20):
            try:
                await send(store, f"m{len(outcomes)}")
                break
            except StoreAway as error:
                outcomes.append(error.detail["outcome"])
                await asyncio.sleep(0.05)
        waited = time.monotonic() - began

        assert waited > fence.DOUBT_S - 0.1
        assert outcomes.count("unknown") <= 1
        if replicas == 1:
            assert waited < fence.DOUBT_S + 10
            return
        assert waited > fence.DOUBT_S + 0.9  # strict: until it is back
        three[2].start()
        three[2].ask("REPLICAOF", "127.0.0.1", three[0].port)
        await eventually(lambda: accepted(store), "it is back")


async def test_a_replica_that_leaves_between_two_sends_is_noticed_too(three: list[Node]) -> None:
    async with store_on(three[0]) as store:
        await send(store, "m1")
        three[2].kill()
        until(lambda: not synced(three[0], 2), "it has left")

        await store.follow()

        assert "a replica has left" in (await refused(send(store, "m2"))).message
        assert inbox(three[0]) == 1


async def test_a_replica_that_joins_between_two_sends_must_confirm_too(three: list[Node]) -> None:
    three[2].ask("REPLICAOF", "NO", "ONE")
    until(lambda: not synced(three[0], 2), "it has left")
    async with store_on(three[0]) as store:
        await send(store, "m1")
        three[2].ask("REPLICAOF", "127.0.0.1", three[0].port)
        until(lambda: synced(three[0], 2), "it is back")
        await store.follow()
        three[2].ask("REPLICAOF", "NO", "ONE")
        until(lambda: not synced(three[0], 2), "it has left again, as one that is promoted")

        refusal = await refused(send(store, "m2"))

        assert refusal.detail["outcome"] == "unknown"
        assert "a replica has left" in refusal.message


async def accepted(store: Store) -> bool:
    with contextlib.suppress(StoreAway):
        await send(store, f"m{time.monotonic()}")
        return True
    return False


async def test_a_replica_that_has_just_connected_is_asked_instead_of_waited_for(pair: list[Node]) -> None:
    primary = pair[0]
    primary.ask("CLIENT", "KILL", "TYPE", "replica")
    until(lambda: primary.ask("ROLE")[2], "it is connected again", poll_s=0.002)  # it would confirm within a second

    async with store_on(primary) as store:
        assert await send(store, "m1") == (1, True)
    assert inbox(pair[1]) == 1


async def test_when_the_replica_that_left_is_back_messages_are_accepted_at_once(
    three: list[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fence, "DOUBT_S", 600.0)
    async with store_on(three[0]) as store:
        await send(store, "m1")
        three[2].ask("REPLICAOF", "NO", "ONE")
        until(lambda: not synced(three[0], 2), "it has left, as one that is promoted")
        assert "a replica has left" in (await refused(send(store, "m2"))).message
        assert not await accepted(store)

        three[2].ask("REPLICAOF", "127.0.0.1", three[0].port)
        await eventually(lambda: accepted(store), "it is back")

        assert inbox(three[2]) == inbox(three[0])


async def test_a_primary_that_was_started_again_is_used_when_all_its_replicas_are_back(
    three: list[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fence, "DOUBT_S", 600.0)
    async with store_on(three[0]) as store:
        await send(store, "m1")
        three[0].kill()
        three[2].kill()
        await asyncio.to_thread(three[0].start)
        until(lambda: synced(three[0], 1), "one replica is back")
        assert not await accepted(store)
        await store.follow()
        assert "a replica has left" in (await refused(send(store, "m2"))).message

        await asyncio.to_thread(three[2].start)
        three[2].ask("REPLICAOF", "127.0.0.1", three[0].port)
        await eventually(lambda: accepted(store), "both are back")

        assert inbox(three[2]) == inbox(three[1]) == inbox(three[0])


async def test_a_restart_ends_no_doubt_about_a_replica_that_left_before(
    three: list[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fence, "DOUBT_S", 600.0)
    async with store_on(three[0]) as store:
        await send(store, "m1")
        three[2].ask("REPLICAOF", "NO", "ONE")
        until(lambda: not synced(three[0], 2), "it has left, as one that is promoted")
        assert "a replica has left" in (await refused(send(store, "m2"))).message
        three[0].kill()
        await asyncio.to_thread(three[0].start)
        until(lambda: synced(three[0], 1), "the other replica is back")
        assert not await accepted(store)
        await store.follow()
        assert "a replica has left" in (await refused(send(store, "m3"))).message
        assert inbox(three[0]) == 2, "m2, whose outcome is unknown, and no more"

        three[2].ask("REPLICAOF", "127.0.0.1", three[0].port)
        await eventually(lambda: accepted(store), "it is back")


async def test_every_connected_replica_must_have_it_not_only_enough_of_them(three: list[Node]) -> None:
    async with store_on(three[0], 1) as store:
        await send(store, "m1")
        three[2].signal(signal.SIGSTOP)
        began = time.monotonic()

        refusal = await refused(send(store, "m2"))
        assert "1 of 2 replicas confirmed it in time" in refusal.message
        await eventually(lambda: accepted(store), "one that hangs is left out")
        assert fence.SLOW_S - 0.1 < time.monotonic() - began < fence.SLOW_S + 10
        three[2].signal(signal.SIGCONT)


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server on this machine")
async def test_redis_7_0_confirms_that_replicas_have_it_but_not_on_disk() -> None:
    with copies(1, executable="redis-server") as nodes:
        async with store_on(nodes[0]) as store:
            assert await send(store, "m1") == (1, True)
            assert inbox(nodes[1]) == 1
            assert store.durability == "fsync"
            assert store.warnings == [
                "The server has no WAITAOF: replicas have what is accepted, perhaps not yet on disk; use Valkey 7.2+"
            ]
            nodes[1].signal(signal.SIGSTOP)
            assert (await refused(send(store, "m2"))).detail["outcome"] == "unknown"
            nodes[1].signal(signal.SIGCONT)


async def test_a_user_who_may_not_wait_is_refused_with_the_command_named(pair: list[Node]) -> None:
    pair[0].ask("ACL", "SETUSER", "po", "on", ">x", "~{po}:*", "+@all", "-waitaof")
    store = Store(f"redis://po:x@127.0.0.1:{pair[0].port}", "po:", replicas=1)
    store.open()
    await store.connect()

    refusal = await refused(send(store, "m1"))
    await store.close()

    assert refusal.detail["outcome"] == "none"
    assert "WAITAOF is refused" in refusal.message


async def test_data_of_an_older_format_is_converted_on_replicas_too_before_a_store_is_used(pair: list[Node]) -> None:
    primary, replica = pair
    primary.ask("HSET", "{po}:meta", "id", "0123456789abcdef", "format", "1")
    until(lambda: replica.ask("HGET", "{po}:meta", "format") == "1", "the replica has it")
    replica.signal(signal.SIGSTOP)
    store = Store(f"redis://127.0.0.1:{primary.port}", "po:", replicas=1)
    store.open()
    opening = asyncio.create_task(store.connect(patience_s=20))

    await eventually(lambda: primary.ask("HGET", "{po}:meta", "format") == "4", "it is converted")
    assert not opening.done()
    replica.signal(signal.SIGCONT)
    await opening

    assert replica.ask("HGET", "{po}:meta", "format") == "4"
    await store.close()
