"""The embedded Valkey after a death, and among leftovers: nothing answered is lost, and no second one is started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from postino import locks
from postino.errors import StoreAway
from postino.paths import Home
from postino.store.valkey import embedded
from postino.store.valkey.admin import parse_info
from postino.store.valkey.embedded import EmbeddedValkey
from tests.store.embedded.homes import go, said, servers
from tests.waiting import until

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts the servers of a home in /proc")


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"])


async def test_ensure_restarts_a_killed_server_with_its_data(home: Home) -> None:
    server = EmbeddedValkey(home)
    await server.start()
    await said(home, "SET", "k", "v")
    (pid,) = servers(home)

    os.kill(pid, signal.SIGKILL)
    until(lambda: not servers(home))

    assert not await server.alive()
    assert await server.ensure() is True
    assert await server.ensure() is False
    assert await said(home, "GET", "k") == "v"
    assert len(servers(home)) == 1 and servers(home) != [pid]


async def test_of_many_processes_exactly_one_restarts_a_killed_server(
    home: Home, starters: Callable[..., subprocess.Popen[str]]
) -> None:
    await EmbeddedValkey(home).start()
    os.kill(servers(home)[0], signal.SIGKILL)

    answers = go(*[starters("ensure") for _ in range(4)])

    assert sorted(answers) == ["False", "False", "False", "True"]
    assert len(servers(home)) == 1


@pytest.mark.parametrize("wanted", ["a restart", "a stop"])
async def test_a_killed_servers_children_stand_in_nobodys_way(home: Home, wanted: str) -> None:
    server = EmbeddedValkey(home)
    await server.start()
    (pid,) = servers(home)
    for number in range(1200):  # a child looks for its parent at the first key and then every 1,024
        await said(home, "SET", f"k{number}", "v")
    await said(home, "CONFIG", "SET", "rdb-key-save-delay", "20000")  # microseconds: 20 s in all
    await said(home, "BGREWRITEAOF")
    # it reports at the first
    while parse_info(await said(home, "INFO", "persistence"))["current_cow_size"] == "0":  # noqa: ASYNC110
        await asyncio.sleep(0.01)

    os.kill(pid, signal.SIGKILL)
    until(lambda: pid not in servers(home))
    assert len(servers(home)) == 1

    if wanted == "a stop":
        assert await server.stop() is True
        until(lambda: not servers(home), seconds=0.5)
    assert await server.ensure() is True
    assert len(servers(home)) == 1
    assert await said(home, "DBSIZE") == 1200


async def test_nothing_answered_is_lost_by_kill_9(home: Home) -> None:
    server = EmbeddedValkey(home)
    await server.start()
    answered = 0
    enough = asyncio.Event()

    async def write() -> None:
        nonlocal answered
        reader, writer = await asyncio.open_unix_connection(home.valkey_socket)
        with contextlib.suppress(OSError, EOFError):
            while True:
                writer.write(b"INCR n\r\n")
                answered = int((await reader.readuntil(b"\n"))[1:])
                if answered == 500:
                    enough.set()
        writer.close()

    writing = asyncio.create_task(write())
    await enough.wait()
    os.kill(servers(home)[0], signal.SIGKILL)
    await writing
    await server.ensure()

    kept = int(str(await said(home, "GET", "n")))
    assert answered <= kept <= answered + 1  # one more was written and never answered


async def test_stop_leaves_no_process_and_the_data_loads_again(home: Home) -> None:
    server = EmbeddedValkey(home)
    await server.start()
    await said(home, "SET", "k", "v")

    assert await server.stop() is True
    until(lambda: not servers(home), seconds=0.5)

    assert not home.valkey_socket.exists()
    assert await server.stop() is False
    await server.start()
    assert await said(home, "GET", "k") == "v"


async def test_stop_of_a_home_that_never_ran_touches_nothing(home: Home) -> None:
    assert await EmbeddedValkey(home).stop() is False
    assert list(home.root.iterdir()) == []


async def test_a_stale_socket_and_pid_file_are_survived(home: Home) -> None:
    home.data.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(home.valkey_socket))
    (home.data / "valkey.pid").write_text(f"{os.getpid()}\n")

    await EmbeddedValkey(home).start()

    assert len(servers(home)) == 1


async def test_a_stranger_who_was_given_the_servers_pid_is_never_signalled(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.data.mkdir()
    monkeypatch.setattr(embedded, "STEP_SECONDS", 0.2)
    holder = locks.acquire(home.data)
    assert holder is not None
    with sleeper() as stranger:
        (home.data / "valkey.pid").write_text(f"{stranger.pid}\n")

        with pytest.raises(StoreAway, match="does not end"):
            await EmbeddedValkey(home).stop()

        assert stranger.poll() is None
        stranger.kill()
    os.close(holder)


@pytest.mark.parametrize("removed", [(), ("valkey.sock",), ("valkey.sock", "data/valkey.pid", "data/valkey.lock")])
async def test_a_suspended_server_is_never_doubled(home: Home, impatient: None, removed: tuple[str, ...]) -> None:
    server = EmbeddedValkey(home)
    await server.start()
    (pid,) = servers(home)
    os.kill(pid, signal.SIGSTOP)
    for name in removed:
        (home.root / name).unlink()

    for call in (server.start, server.ensure):
        with pytest.raises(StoreAway, match="does not answer: "):
            await call()
        assert servers(home) == [pid]

    os.kill(pid, signal.SIGCONT)
    if "data/valkey.pid" not in removed:
        assert await server.start()
        assert len(servers(home)) == 1


async def test_a_server_whose_lock_and_socket_were_removed_is_not_doubled(home: Home, impatient: None) -> None:
    server = EmbeddedValkey(home)
    await server.start()
    await said(home, "SET", "k", "v")
    home.valkey_socket.unlink()
    (home.data / "valkey.lock").unlink()

    await server.start()

    assert len(servers(home)) == 1
    assert await said(home, "GET", "k") == "v"


async def test_a_server_that_lost_its_socket_is_replaced_with_its_data(home: Home, impatient: None) -> None:
    server = EmbeddedValkey(home)
    await server.start()
    await said(home, "SET", "k", "v")
    (lost,) = servers(home)
    home.valkey_socket.unlink()

    await server.start()

    assert len(servers(home)) == 1 and servers(home) != [lost]
    assert await said(home, "GET", "k") == "v"


@pytest.mark.parametrize("suspended", [True, False])
async def test_stop_ends_a_server_that_does_not_listen(home: Home, suspended: bool) -> None:
    server = EmbeddedValkey(home)
    await server.start()
    if suspended:
        os.kill(servers(home)[0], signal.SIGSTOP)
    else:
        home.valkey_socket.unlink()

    assert await server.stop() is True

    until(lambda: not servers(home), seconds=0.5)


async def test_stop_during_a_start_leaves_at_most_one_server_and_a_usable_home(home: Home) -> None:
    await asyncio.gather(
        *[call() for _ in range(5) for call in (EmbeddedValkey(home).start, EmbeddedValkey(home).stop)]
    )

    await EmbeddedValkey(home).start()

    assert len(servers(home)) == 1
