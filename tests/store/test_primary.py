"""Finding the primary: whom it believes, what a hung Sentinel costs, what follows a failover."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from postino.config import Settings
from postino.errors import StoreAway
from postino.paths import Home
from postino.store.store import Store
from postino.store.valkey import vitals
from postino.store.valkey.primary import ASK_S, Primary
from tests.broker.mailrooms import comparable, fill, imported, raw
from tests.faults.failovers import opened
from tests.homes import scratch_home
from tests.nodes import NAME, Cluster, Node, Watched, cluster, watched
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def servers() -> Iterator[Watched]:
    """A primary, a replica and three Sentinels for this file."""
    with watched(1) as made:
        yield made


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    """A cluster of two primaries and one replica each."""
    with cluster(3, 0) as made:
        yield made


@contextlib.asynccontextmanager
async def store_at(url: str, prefix: str = "po:") -> AsyncIterator[Store]:
    store = Store(url, prefix)
    store.open()
    try:
        yield store
    finally:
        await store.close()


async def patiently(call: Callable[[], Awaitable[object]]) -> object:
    """Call again while a busy machine lets no answer come in time."""
    while True:
        try:
            return await call()
        except StoreAway as error:
            if "TimeoutError" not in error.message and "does not answer" not in error.message:
                raise


async def answering(text: str | Callable[[], str]) -> tuple[asyncio.Server, int]:
    """Listen as a Sentinel that names the primary that `text` says, or returns at that moment."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(b"+OK\r\n" * data.count(b"\r\nSETINFO\r\n"))
                if b"GET-MASTER-ADDR-BY-NAME" in data:
                    writer.write((text if isinstance(text, str) else text()).encode() + b"*0\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


def naming(port: int) -> str:
    return f"*2\r\n$9\r\n127.0.0.1\r\n${len(str(port))}\r\n{port}\r\n"


async def test_the_primary_is_what_a_majority_of_the_sentinels_names() -> None:
    first, one = await answering(naming(7001))
    second, two = await answering(naming(7002))
    third, three = await answering(naming(7002))
    async with first, second, third:
        url = f"redis+sentinel://127.0.0.1:{one},127.0.0.1:{two},127.0.0.1:{three}/mail"

        assert await Primary(url).find() == ("127.0.0.1", 7002)


async def test_without_a_majority_there_is_no_primary_and_the_sentence_says_who_named_what() -> None:
    first, one = await answering(naming(7001))
    second, two = await answering(naming(7002))
    third, three = await answering("*-1\r\n")
    async with first, second, third:
        url = f"redis+sentinel://127.0.0.1:{one},127.0.0.1:{two},127.0.0.1:{three}/mail"

        with pytest.raises(ConnectionError) as refused:
            await Primary(url).find()

    assert "no 2 of 3 Sentinels agree on the primary of mail; named: 127.0.0.1:7001, 127.0.0.1:7002" in str(
        refused.value
    )
    assert f"the Sentinel 127.0.0.1:{three} does not know that name" in str(refused.value)


@pytest.mark.timing("a Sentinel that hangs costs nothing while the others agree")
async def test_a_sentinel_that_hangs_holds_up_nothing(servers: Watched) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        hosts = f"127.0.0.1:{silent.getsockname()[1]},{servers.url.partition('://')[2]}".replace(f"/{NAME}", "")
        primary = Primary(f"redis+sentinel://{hosts.rpartition(',')[0]}/{NAME}")
        began = time.monotonic()

        where = await primary.find()

    assert where[1] == servers.nodes[0].port
    assert primary.known_replicas == 1
    assert time.monotonic() - began < ASK_S


async def test_an_unknown_name_is_a_refusal_that_names_the_sentinels(servers: Watched) -> None:
    async with store_at(servers.url.replace(f"/{NAME}", "/other")) as store:
        with pytest.raises(StoreAway) as refused:
            await patiently(store.connect)

    assert "the primary of other" in refused.value.message
    assert "does not know that name" in refused.value.message
    assert refused.value.detail["outcome"] == "none"


async def test_every_connection_follows_a_failover_and_no_former_primary_is_kept(servers: Watched) -> None:
    former = servers.primary()
    async with store_at(servers.url) as store:
        await patiently(store.connect)
        reader = store.blocking_reader()
        blocked = asyncio.ensure_future(
            reader.call("XREAD", "BLOCK", 20_000, "STREAMS", "{po}:events3", "$", within_s=25)
        )
        await store.query("XLEN", "{po}:history")

        servers.sentinels[0].ask("SENTINEL", "FAILOVER", NAME)
        await eventually(lambda: servers.primary() is not former, "the other is promoted")
        await store.primary.look()

        # whichever is first: the daemon closes its connection, or the former primary becomes a replica
        with pytest.raises(StoreAway, match=r"the primary is now|it has just become a replica"):
            await blocked
        await eventually(lambda: _written(store), "a write goes to the new primary")
        assert store.primary.where == ("127.0.0.1", servers.primary().port)
        await store.query("XLEN", "{po}:history")
        await reader.close()
    await eventually(servers.settled, "both are back", 60)


async def _written(store: Store) -> bool:
    with contextlib.suppress(StoreAway):
        await patiently(store.try_write)
        return True
    return False


async def test_a_call_that_waits_for_a_frozen_server_goes_to_the_new_primary(servers: Watched) -> None:
    frozen, primary = Node().start(), servers.primary()
    frozen.signal(signal.SIGSTOP)
    named = frozen
    sentinel, port = await answering(lambda: naming(named.port))
    try:
        async with sentinel, store_at(f"redis+sentinel://127.0.0.1:{port}/mail") as store:
            calling = asyncio.ensure_future(store.query("PTTL", "nothing"))
            await eventually(lambda: store.primary.where == ("127.0.0.1", frozen.port), "the frozen one is dialled")
            assert not calling.done()

            named = primary

            assert await calling == -2
            assert store.primary.where == ("127.0.0.1", primary.port)
    finally:
        frozen.remove()


async def test_a_replica_that_is_named_by_mistake_is_not_used(servers: Watched) -> None:
    replica = next(each for each in servers.nodes if each is not servers.primary())
    first, port = await answering(naming(replica.port))
    async with first, store_at(f"redis+sentinel://127.0.0.1:{port}/mail") as store:
        reader = store.blocking_reader()
        for call in (store.connect, lambda: reader.call("PING")):
            with pytest.raises(StoreAway, match="is a replica at the moment"):
                await patiently(call)
        await reader.close()


@pytest.mark.parametrize("prefix", ["po:", "a:", "b:", "c:", "team-7:", "x.y:"])
async def test_each_prefix_is_served_by_the_owner_of_its_slot(nodes: Cluster, prefix: str) -> None:
    async with store_at(nodes.url, prefix) as store:
        await patiently(store.connect)
        await patiently(store.try_write)
        assert await store.primary.find() == store.primary.where
        reader = store.blocking_reader()
        assert await reader.call("XREAD", "BLOCK", 10, "STREAMS", store.keys.shared("events"), "$") is None
        await reader.close()


async def test_one_node_of_a_cluster_is_enough_to_find_the_owner(nodes: Cluster) -> None:
    for each in nodes.nodes:
        async with store_at(f"valkey+cluster://127.0.0.1:{each.port}") as store:
            await patiently(store.try_write)


async def test_a_cluster_without_its_marker_is_refused_with_what_to_write(nodes: Cluster) -> None:
    other = next(each for each in nodes.nodes if each is not nodes.owner())
    async with store_at(f"redis://127.0.0.1:{other.port}") as store:
        with pytest.raises(StoreAway, match="a cluster") as refused:
            await patiently(store.connect)

    assert "redis+cluster://" in refused.value.message


async def test_a_call_waits_through_the_move_of_its_slot(nodes: Cluster) -> None:
    async with store_at(nodes.url) as store:
        await patiently(store.connect)
        owner = nodes.owner()
        target = next(each for each in nodes.nodes if each is not owner)
        owner.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", 5392, 5392, "NODE", str(target.ask("CLUSTER", "MYID")))
        await eventually(lambda: nodes.owner() is target, "the slot has moved")

        await patiently(store.try_write)

        assert store.primary.where == ("127.0.0.1", target.port)


async def test_the_doctor_asks_the_server_that_takes_writes(servers: Watched, nodes: Cluster) -> None:
    for url, port in ((servers.url, servers.primary().port), (nodes.url, nodes.owner().port)):
        node = next(each for each in (*servers.nodes, *nodes.nodes) if each.port == port)
        node.ask("CONFIG", "SET", "maxmemory", 123_000_000 + port)

        found = await asyncio.to_thread(vitals.ask, url, "po:", 5.0)

        assert found.memory_limit == 123_000_000 + port
        assert abs(found.time_s - found.before_s) < 60
        node.ask("CONFIG", "SET", "maxmemory", 0)
    with pytest.raises(OSError, match="does not know that name"):
        await asyncio.to_thread(vitals.ask, servers.url.replace(f"/{NAME}", "/other"), "po:", 5.0)


async def test_a_mailroom_moves_to_another_prefix_which_another_node_of_the_cluster_owns(nodes: Cluster) -> None:
    def settings(prefix: str, home: Home) -> Settings:
        return Settings(home=home, valkey_url=nodes.url, key_prefix=prefix, max_deliveries=3)

    with scratch_home() as home:
        here, there = [await opened(settings(each, home)) for each in ("a:", "b:")]
        try:
            assert here._store.primary.where != there._store.primary.where
            await fill(here)
            lines = await raw(here)
            await imported(there, lines)
            assert comparable(await raw(there)) == comparable(lines)
            assert (await there.mail.read("robert", "s-b", limit=20)).items
        finally:
            for each in (here, there):
                await each.close()


async def test_a_frozen_node_holds_up_nothing(nodes: Cluster) -> None:
    other = next(each for each in nodes.nodes if each is not nodes.owner())
    other.signal(signal.SIGSTOP)
    try:
        async with store_at(nodes.url) as store:
            await patiently(store.try_write)
    finally:
        other.signal(signal.SIGCONT)
