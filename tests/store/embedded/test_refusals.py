"""The embedded Valkey's settings are corrected, and what cannot be used is told in clear sentences."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from postino.errors import StoreAway
from postino.paths import Home
from postino.store.valkey import admin, embedded
from postino.store.valkey.admin import ErrorReply, parse_config
from postino.store.valkey.embedded import EmbeddedValkey
from postino.store.valkey.settings import SETTINGS, wanted
from tests.store.embedded.homes import failing_server, said, servers
from tests.waiting import until

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts the servers of a home in /proc")


async def test_an_adopted_server_is_brought_to_our_settings(home: Home) -> None:
    server = EmbeddedValkey(home)
    await server.start()
    await said(home, "CONFIG", "SET", "appendonly", "no", "appendfsync", "everysec", "save", "60 1", "maxmemory", "9mb")
    await said(home, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "no-appendfsync-on-rewrite", "yes")
    await said(home, "SET", "k", "written while the file was off")

    await EmbeddedValkey(home).start()
    os.kill(servers(home)[0], signal.SIGKILL)
    await server.ensure()

    assert parse_config(await said(home, "CONFIG", "GET", *wanted(None))) == wanted(None)
    assert await said(home, "GET", "k") == "written while the file was off"


async def test_an_adopted_server_that_cannot_be_corrected_is_refused(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(SETTINGS, "enable-debug-command", "local")
        await EmbeddedValkey(home).start()

    with pytest.raises(StoreAway, match=r"enable-debug-command local; only a restart changes that: `postino down`"):
        await EmbeddedValkey(home).start()

    assert len(servers(home)) == 1


async def test_a_password_set_by_somebody_is_reported_and_stop_still_ends_it(home: Home) -> None:
    await EmbeddedValkey(home).start()
    await said(home, "CONFIG", "SET", "requirepass", "x")

    with pytest.raises(StoreAway, match=r"Another server answers at .*NOAUTH"):
        await EmbeddedValkey(home).start()
    assert isinstance(await said(home, "PING"), ErrorReply)
    await EmbeddedValkey(home).stop()

    until(lambda: not servers(home), seconds=0.5)


async def test_a_torn_last_command_costs_only_itself(home: Home) -> None:
    server = EmbeddedValkey(home)
    await server.start()
    await said(home, "SET", "k", "v")
    os.kill(servers(home)[0], signal.SIGKILL)
    until(lambda: not servers(home))
    (file,) = (home.data / "appendonlydir").glob("*.incr.aof")
    with file.open("ab") as tail:
        tail.write(b"*3\r\n$3\r\nSET\r\n$4\r\nto")

    assert await server.ensure()

    assert await said(home, "GET", "k") == "v"


async def test_a_damaged_file_is_refused_with_the_place_and_changed_no_further(home: Home) -> None:
    server = EmbeddedValkey(home)
    await server.start()
    await said(home, "SET", "k", "v")
    await server.stop()
    (file,) = (home.data / "appendonlydir").glob("*.incr.aof")
    kept = file.read_bytes()
    file.write_bytes(b"garbage\r\n" + kept)

    with pytest.raises(StoreAway, match=r"died at its start: .*\.incr\.aof is damaged 0 bytes from its beginning"):
        await server.start()

    file.write_bytes(kept)
    await server.start()
    assert await said(home, "GET", "k") == "v"


async def test_a_server_that_dies_at_once_is_not_restarted_more_than_once_a_second(home: Home) -> None:
    home.data.mkdir()
    (home.data / "appendonlydir").mkdir()
    (home.data / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    server = EmbeddedValkey(home)
    began = time.monotonic()

    for _ in range(3):
        with pytest.raises(StoreAway, match="manifest"):
            await server.ensure()

    assert time.monotonic() - began >= 2 * embedded.RESTART_INTERVAL


async def test_a_machine_without_a_server_is_told_what_to_do(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")

    with pytest.raises(StoreAway, match=r"ships no server for linux riscv64; run a Valkey .* POSTINO_VALKEY_URL"):
        await EmbeddedValkey(home).start()


async def test_a_server_that_cannot_run_here_is_told_what_to_do(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "postino.store.valkey.process.program", lambda: failing_server(home, "echo GLIBC_2.99 not found")
    )

    with pytest.raises(StoreAway, match=r"cannot run: GLIBC_2.99 not found; run a Valkey"):
        await EmbeddedValkey(home).start()


async def test_a_long_load_is_waited_for(home: Home, monkeypatch: pytest.MonkeyPatch, impatient: None) -> None:
    server = EmbeddedValkey(home)
    await server.start()
    reader, writer = await asyncio.open_unix_connection(home.valkey_socket)
    writer.write(b"INCR n\r\n" * 20_000)
    for _ in range(20_000):
        await reader.readuntil(b"\n")
    writer.close()
    await server.stop()
    monkeypatch.setattr(embedded, "UNRESPONSIVE_LIMIT", 1.0)
    # Valkey's own brake for tests of loading: microseconds per command, some 2 s in all
    monkeypatch.setitem(SETTINGS, "key-load-delay", "100")
    seen: list[str] = []

    async def watch() -> None:
        while True:
            seen.append((await admin.inspect(home)).state)
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch())
    began = time.monotonic()
    await EmbeddedValkey(home).start()
    watching.cancel()

    assert time.monotonic() - began > 1.0
    assert "loading" in seen
    assert await said(home, "GET", "n") == "20000"
