"""The embedded Valkey: one per home, whatever happens to it and to those who use it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from postino import locks
from postino.errors import BadField, StoreAway
from postino.paths import Home
from postino.store.valkey import admin, embedded
from postino.store.valkey.admin import ErrorReply, Reply, ask, parse_config, parse_info
from postino.store.valkey.embedded import EmbeddedValkey
from postino.store.valkey.settings import SETTINGS, wanted
from tests.waiting import until

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts the servers of a home in /proc")

#: starts the server of the home in argv[1], says so, then waits to be told to end
STARTER = """
import asyncio, sys
from pathlib import Path
from postino.paths import Home
from postino.store.valkey.embedded import EmbeddedValkey
server = EmbeddedValkey(Home(Path(sys.argv[1])))
print("ready", flush=True)
sys.stdin.readline()
print(asyncio.run(server.{method}()), flush=True)
sys.stdin.readline()
"""


def servers(home: Home) -> list[int]:
    """Every process that works in the home's data directory, however it came there."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "cwd").samefile(home.data):
                found.append(int(entry.name))
    return found


def failing_server(home: Home, command: str) -> Path:
    script = home.root / "valkey-server"
    script.write_text(f"#!/bin/sh\n{command}\nexit 127\n")
    script.chmod(0o755)
    return script


async def said(home: Home, *command: str) -> Reply:
    return (await ask(home.valkey_socket, command, seconds=2.0))[0]


@asynccontextmanager
async def scratch(parent: str | bytes = "/tmp") -> AsyncIterator[Home]:
    home = Home(Path(os.fsdecode(tempfile.mkdtemp(prefix=b"po", dir=os.fsencode(parent)))))
    try:
        yield home
    finally:
        for pid in servers(home) if home.data.exists() else []:
            os.kill(pid, signal.SIGKILL)
        until(lambda: not home.data.exists() or not servers(home))
        shutil.rmtree(home.root)


@pytest.fixture
async def home() -> AsyncIterator[Home]:
    async with scratch() as made:
        yield made


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same patience, only shorter."""
    monkeypatch.setattr(embedded, "UNRESPONSIVE_LIMIT", 1.5)
    monkeypatch.setattr(embedded, "SOCKET_GRACE", 0.3)
    monkeypatch.setattr(admin, "INSPECT_SECONDS", 0.3)


@pytest.fixture
def starters(home: Home) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Other processes that start the server of this home."""
    made: list[subprocess.Popen[str]] = []

    def start(method: str = "start") -> subprocess.Popen[str]:
        command = [sys.executable, "-c", STARTER.format(method=method), str(home.root)]
        made.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        assert made[-1].stdout is not None
        assert made[-1].stdout.readline() == "ready\n"
        return made[-1]

    yield start
    for process in made:
        process.kill()
        process.communicate()


def go(*processes: subprocess.Popen[str]) -> list[str]:
    """Let all start at once; return what their calls returned."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return [line_of(process) for process in processes]


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"])


def line_of(process: subprocess.Popen[str]) -> str:
    """Return the result a starter printed, without the log lines before it."""
    assert process.stdout is not None
    for line in process.stdout:
        if "[" not in line:
            return line.strip()
    raise AssertionError("the starter died")


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


# Death and leftovers


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


# Settings and clear sentences


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
