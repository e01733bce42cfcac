"""What is known of the server is asked again and again: no word about durability or health outlives its truth."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from typing import Any

import pytest

from postino.broker import Broker, broker
from postino.errors import StoreAway, StoreFull
from postino.model import Draft, Sender, Sent
from postino.store.valkey.process import program
from tests.filling import fill
from tests.servers import stop_saving
from tests.waiting import eventually

REDIS = shutil.which("redis-server")


@pytest.fixture(params=["valkey", "redis"])
def server(request: pytest.FixtureRequest, serve: Any) -> Any:
    if request.param == "redis" and REDIS is None:
        pytest.skip("no redis-server (Debian: apt-get install redis-server) on this machine")
    executable = str(program()) if request.param == "valkey" else str(REDIS)
    return serve("--maxmemory-policy", "noeviction", executable=executable)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the server ten times a second, and try a write for every question about health."""
    monkeypatch.setattr(broker, "ASK_S", 0.1)
    monkeypatch.setattr(broker, "WRITE_S", 0.0)


Open = Callable[..., Any]


async def send(broker: Broker, id: str) -> Sent:
    return await broker.mail.send(Draft(id=id, to="bob", body="hello"), Sender(name="ci", via="http"))


async def test_durability_is_what_the_server_does_now(server: Any, open_broker: Open, often: None) -> None:
    broker = await open_broker(valkey_url=server.url)
    assert (await send(broker, "m1")).durability == "fsync"

    server.ask("CONFIG", "SET", "appendfsync", "everysec")

    await eventually(lambda: broker.durability == "volatile", "it is noticed")
    assert (await send(broker, "m2")).durability == "volatile"
    assert "appendfsync everysec" in (await broker.health()).warnings[0]
    server.ask("CONFIG", "SET", "appendfsync", "always")
    await eventually(lambda: broker.durability == "fsync", "it is noticed")


async def test_the_first_answer_after_a_restart_knows_the_new_settings(server: Any, open_broker: Open) -> None:
    broker = await open_broker(valkey_url=server.url)
    assert (await send(broker, "m1")).durability == "fsync"
    server.kill()
    server.start("--appendonly", "no")

    async def answered() -> Sent | None:
        try:
            return await send(broker, "m2")
        except StoreAway:
            return None

    assert (await eventually(answered, "it answers")).durability == "volatile"


async def test_health_says_what_a_send_would_meet(server: Any, open_broker: Open, often: None) -> None:
    broker = await open_broker(valkey_url=server.url)
    assert (await broker.health()).ok

    server.ask("REPLICAOF", "127.0.0.1", "1")
    health = await broker.health()
    assert (health.ok, "read-only replica" in str(health.error)) == (False, True)
    server.ask("REPLICAOF", "NO", "ONE")
    await eventually(lambda: send(broker, "m1"), "it takes mail again")
    assert (await broker.health()).ok

    server.ask("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreFull) as full:  # although the history gave way
        await send(broker, "m2")
    assert (full.value.code, full.value.http, full.value.detail) == ("store_full", 503, {"outcome": "none"})
    health = await broker.health()
    assert (health.ok, health.valkey, "memory limit" in str(health.error)) == (False, True, True)


async def test_a_server_that_cannot_save_to_its_disk_refuses_soon_and_is_named(
    server: Any, open_broker: Open, often: None
) -> None:
    broker = await open_broker(valkey_url=server.url)
    await send(broker, "m1")
    assert (await broker.mail.peek("bob", 10, 0))[1] == 1
    await stop_saving(server)

    for refused in (send(broker, "m2"), broker.mail.read("bob", "c-1", limit=1)):
        began = time.monotonic()
        with pytest.raises(StoreAway, match="cannot write to its disk") as misconf:
            await refused
        assert (misconf.value.http, misconf.value.retryable) == (503, True)
        assert misconf.value.detail["outcome"] == "none" and time.monotonic() - began < 20
    health = await broker.health()
    assert (health.ok, health.valkey, "MISCONF" in str(health.error)) == (False, True, True)
    assert (await broker.mail.peek("bob", 10, 0))[1] == 1

    server.ask("CONFIG", "SET", "save", "")
    await send(broker, "m2")
    assert (await broker.health()).ok


async def test_health_says_that_an_import_has_not_finished(open_broker: Open, often: None) -> None:
    broker = await open_broker()
    await broker.transfer._table.begin("e1")

    health = await broker.health()
    assert (health.ok, health.valkey, "an import" in str(health.error)) == (False, True, True)

    await broker.transfer._table.end()
    assert (await broker.health()).ok


async def test_the_history_gives_way_to_new_mail_only(server: Any, open_broker: Open, often: None) -> None:
    broker = await open_broker(valkey_url=server.url)
    await send(broker, "m1")
    await fill(broker._store, 20)
    kept = await _history(broker)
    server.ask("CONFIG", "SET", "maxmemory", str(server.ask("INFO", "memory")["used_memory"] - 100_000))

    for _ in range(3):
        health = await broker.health()
        assert (health.ok, health.error) == (True, None)  # a send makes room
    with pytest.raises(StoreFull):
        await broker.agents.rename("bob", "robert")
    assert await _history(broker) == kept

    await send(broker, "m2")
    assert 0 < await _history(broker) < kept


async def _history(broker: Broker) -> int:
    return int(await broker._store.call("XLEN", broker._store.keys.shared("history")))


async def test_a_right_that_is_lost_is_named_and_never_an_internal_error(
    server: Any, open_broker: Open, often: None
) -> None:
    server.ask("ACL", "SETUSER", "po", "on", ">x", "~*", "+@all")
    broker = await open_broker(valkey_url=server.url.replace("unix://", "unix://po:x@"))
    await send(broker, "m1")

    server.ask("ACL", "SETUSER", "po", "-xadd")

    with pytest.raises(StoreAway):
        await send(broker, "m2")
    await eventually(lambda: _error(broker, "does not let this user call XADD"), "health names it")
    with pytest.raises(StoreAway, match="does not let this user call XADD"):
        await send(broker, "m3")
    server.ask("ACL", "SETUSER", "po", "+xadd")
    await send(broker, "m4")


async def _error(broker: Broker, words: str) -> bool:
    health = await broker.health()
    return not health.ok and words in str(health.error)


async def test_a_cluster_without_the_slot_is_told(serve: Any, open_broker: Open, often: None) -> None:
    server = serve("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no", "--port", "0")
    server.ask("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
    await eventually(lambda: "cluster_state:ok" in str(server.ask("CLUSTER", "INFO")), "it serves")
    broker = await open_broker(valkey_url=server.url)
    await send(broker, "m1")
    server.ask("FLUSHALL")

    server.ask("CLUSTER", "DELSLOTSRANGE", "0", "16383")

    await eventually(lambda: _error(broker, "cluster"), "health says so")
    with pytest.raises(StoreAway) as refused:
        await send(broker, "m2")
    assert refused.value.detail["outcome"] == "none"


async def test_many_who_ask_for_health_share_one_write(server: Any, open_broker: Open) -> None:
    broker = await open_broker(valkey_url=server.url)
    before = _writes(server)

    for _ in range(5):
        await asyncio.gather(*(broker.health() for _ in range(20)))

    assert 1 <= _writes(server) - before <= 2  # two if a second ended meanwhile


def _writes(server: Any) -> int:
    return int(server.ask("INFO", "commandstats").get("cmdstat_hset", {"calls": 0})["calls"])
