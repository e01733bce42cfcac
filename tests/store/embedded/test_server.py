"""The embedded Valkey: one per home, whatever happens to it and to those who use it."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from postino.errors import BadField, StoreAway
from postino.paths import Home
from postino.store.valkey.admin import parse_config, parse_info
from postino.store.valkey.embedded import EmbeddedValkey
from postino.store.valkey.settings import wanted
from tests.store.embedded.homes import failing_server, go, said, scratch, servers

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts the servers of a home in /proc")


# What it is


async def test_every_promised_setting_is_in_force(home: Home) -> None:
    await EmbeddedValkey(home).start()

    have = parse_config(await said(home, "CONFIG", "GET", *wanted(None)))

    assert have == wanted(None)
    assert {
        "appendonly": "yes",
        "appendfsync": "always",
        "no-appendfsync-on-rewrite": "no",
        "save": "",
        "maxmemory-policy": "noeviction",
        "enable-debug-command": "no",
        "port": "0",
    }.items() <= have.items()


async def test_only_its_user_can_reach_it_and_only_by_the_socket(home: Home) -> None:
    path = await EmbeddedValkey(home).start()

    assert path == str(home.valkey_socket)
    assert stat.S_IMODE(home.valkey_socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.data.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(file.stat().st_mode) & 0o077 == 0 for file in home.data.rglob("*") if file.is_file())
    assert parse_info(await said(home, "INFO", "server"))["tcp_port"] == "0"


async def test_the_starters_secrets_do_not_reach_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTINO_API_TOKEN", "a-secret")
    monkeypatch.setattr("postino.store.valkey.process.program", lambda: failing_server(home, "env"))

    with pytest.raises(StoreAway, match="PATH=") as shown:  # what it printed is quoted
        await EmbeddedValkey(home).start()

    assert "a-secret" not in str(shown.value)


@pytest.mark.parametrize("name", [b"two words", b'a"quote\\', "Bücher".encode(), b"\xff\xfe", b"#hash$'x"])
async def test_a_home_may_have_any_name(home: Home, name: bytes) -> None:
    odd = Home(home.root / os.fsdecode(name))
    server = EmbeddedValkey(odd)

    await server.start()

    assert len(servers(odd)) == 1
    assert await server.stop()


async def test_a_home_too_long_for_a_socket_is_refused_with_its_length() -> None:
    long = Home(Path("/tmp") / ("x" * 120))

    with pytest.raises(BadField, match=r"too long for a socket: .* has 137 bytes"):
        await EmbeddedValkey(long).start()

    assert not long.root.exists()


# One server


async def test_many_processes_starting_at_once_end_as_one_server(
    home: Home, starters: Callable[..., subprocess.Popen[str]]
) -> None:
    answers = go(*[starters() for _ in range(6)])

    assert answers == [str(home.valkey_socket)] * 6
    assert len(servers(home)) == 1


async def test_many_tasks_starting_at_once_end_as_one_server(home: Home) -> None:
    await asyncio.gather(*[EmbeddedValkey(home).start() for _ in range(20)])

    assert len(servers(home)) == 1


async def test_a_killed_starter_leaves_a_server_that_the_next_one_adopts(
    home: Home, starters: Callable[..., subprocess.Popen[str]]
) -> None:
    starter = starters()
    go(starter)
    first = servers(home)

    starter.kill()
    starter.wait()
    await EmbeddedValkey(home).start()

    assert servers(home) == first
    assert await EmbeddedValkey(home).alive()


async def test_two_homes_never_touch_each_other(home: Home) -> None:
    async with scratch() as other:
        await asyncio.gather(EmbeddedValkey(home).start(), EmbeddedValkey(other).start())
        await said(home, "SET", "whose", "home")
        await said(other, "SET", "whose", "other")

        await EmbeddedValkey(home).stop()

        assert servers(home) == []
        assert len(servers(other)) == 1
        assert await said(other, "GET", "whose") == "other"
        await EmbeddedValkey(home).start()
        assert await said(home, "GET", "whose") == "home"


async def test_the_server_of_another_home_at_our_socket_is_left_alone(home: Home) -> None:
    async with scratch() as other:
        await EmbeddedValkey(other).start()
        home.valkey_socket.symlink_to(other.valkey_socket)

        with pytest.raises(StoreAway, match="Another server answers"):
            await EmbeddedValkey(home).start()
        assert not await EmbeddedValkey(home).alive()
        await EmbeddedValkey(home).stop()

        assert await EmbeddedValkey(other).alive()
