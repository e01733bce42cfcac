"""What a campaign works on: real daemons, and under them the embedded Valkey or one of our own behind proxies."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from redis import Redis

from postino import locks
from postino.daemon import process
from postino.errors import PostinoError
from postino.paths import Home
from postino.store.valkey.process import program
from tests.daemons import environment
from tests.homes import kill_servers, scratch
from tests.processes import kill_all
from tests.servers import Proxy, Server
from tests.waiting import eventually

LEASE_S = 2
START_S = 30.0  # a deadline
DISK_BYTES = 1 << 30
#: what a campaign's daemons differ in from the defaults: no limit is to end a run, leases are to end within it
SETTINGS = {
    "POSTINO_MESSAGE_LEASE": str(LEASE_S),
    "POSTINO_MAX_DELIVERIES": "100",
    "POSTINO_MAX_INBOX": "100000",
    "POSTINO_MAX_BROADCASTS": "100000",
    "POSTINO_LOG_LEVEL": "warning",
}


@functools.cache
def shim() -> Path | None:
    """Compile the library that slows fsync and moves the clock; None where there is no compiler or no Linux."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        return None
    made = Path(tempfile.mkdtemp(prefix="poshim")) / "shim.so"
    atexit.register(shutil.rmtree, made.parent, ignore_errors=True)
    source = Path(__file__).with_name("shim.c")
    done = subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", made, source, "-ldl"], check=False)
    return made if done.returncode == 0 else None


class Node:
    """One daemon in its home: started, stopped and killed as often as wanted, by us or by a relay."""

    def __init__(self, home: Home, **settings: str) -> None:
        self.home = home
        self.env = environment(home, **SETTINGS | settings)
        self.command: list[str] = []  # instead of `postino serve`: a control
        self._children: list[subprocess.Popen[bytes]] = []

    @property
    def pid(self) -> int | None:
        """The daemon's process, whoever started it; None if there is none."""
        return None if locks.is_free(self.home.lock) else locks.read_pid(self.home.lock)

    async def start(self) -> None:
        """Return once a healthy daemon serves, starting one if there is none."""
        if self.command:
            await asyncio.to_thread(self._spawn)
            await eventually(lambda: self.pid is not None, "the daemon holds its lock")
        for _ in range(5):
            with contextlib.suppress(PostinoError):
                await asyncio.to_thread(process.start, self.env, self.home, START_S)
                return
        raise AssertionError(self.home.log.read_text()[-2000:])

    def _spawn(self) -> None:
        with self.home.log.open("ab") as log:
            made = subprocess.Popen(self.command, env=self.env, stdout=log, stderr=log, start_new_session=True)
            self._children.append(made)

    def reap(self) -> None:
        """Collect what was killed."""
        for each in self._children:
            each.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send the daemon a signal."""
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    async def run(self, *arguments: str) -> int:
        """Run a postino command on this home; return its exit code."""
        made = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "postino", *arguments),
            env=self.env,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        return await made.wait()


class Stage:
    """Daemons on one store. `nodes` are the daemons; the store may be reached to harm it."""

    kind = "embedded"

    def __init__(self, nodes: list[Node], *, own_disk: bool = False) -> None:
        self.nodes = nodes
        self.own_disk = own_disk  # the data of the embedded Valkey lie on a disk whose size we may change

    @property
    def home(self) -> Home:
        """The home of the first daemon."""
        return self.nodes[0].home

    def valkey_pid(self) -> int | None:
        """The process of the embedded Valkey."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.home.data / "valkey.pid").read_text())
            return pid if locks.has_open(pid, self.home.data) else None
        return None

    def signal_valkey(self, number: signal.Signals) -> None:
        """Send Valkey a signal."""
        pid = self.valkey_pid()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    async def revive_valkey(self) -> None:
        """Start Valkey again after a kill; the embedded one is started by its daemon."""


class Valkey:
    """A Valkey of ours whose disk and clock can be steered, where there is a compiler for the library that does it."""

    def __init__(self) -> None:
        self._server = Server(str(program()), ("--maxmemory-policy", "noeviction"))
        self.url = self._server.url
        self.directory = self._server.directory
        self.clock_ms = 0
        self._controls = self._server.directory / "steer"
        self._controls.write_bytes(bytes(16))
        library = shim()
        self.steerable = library is not None
        if library is not None:
            script = self._server.directory / "server.sh"  # becomes the server: pids and signals stay the server's
            preload = f'LD_PRELOAD="{library}" FAULTS_SHIM="{self._controls}"'
            script.write_text(f'#!/bin/sh\n{preload} exec "{program()}" "$@"\n')
            script.chmod(0o700)
            self._server.executable = str(script)

    def start(self) -> None:
        """Start it, or start it again on its data."""
        if self._server.process is not None:
            self._server.process.wait()
        self._server.start()

    def end(self) -> None:
        """Kill it and remove its data."""
        self._server.signal(signal.SIGCONT)
        self._server.kill()
        shutil.rmtree(self._server.directory, ignore_errors=True)

    @property
    def pid(self) -> int | None:
        """Its process."""
        return self._server.process.pid if self._server.process else None

    def ask(self, *command: str) -> Any:
        """Run a command on it."""
        with contextlib.closing(Redis.from_url(self.url, socket_timeout=5)) as client:
            return client.execute_command(*command)

    def steer(self, *, fsync_ms: int = 0, clock_ms: int = 0) -> None:
        """Slow each fsync by so much and move the wall clock to so much from the true time, from now on."""
        self.clock_ms = clock_ms
        with self._controls.open("r+b") as file:
            file.write(struct.pack("<qq", fsync_ms, clock_ms))


@contextlib.asynccontextmanager
async def steered_valkey() -> AsyncIterator[Valkey]:
    """Start such a Valkey and end it."""
    server = Valkey()
    server.start()
    try:
        yield server
    finally:
        server.end()


class SharedStage(Stage):
    """Two daemons, each through a proxy of its own, on a Valkey of ours."""

    kind = "shared"

    def __init__(self, nodes: list[Node], server: Valkey, proxies: list[Proxy]) -> None:
        super().__init__(nodes)
        self.server = server
        self.proxies = proxies

    def valkey_pid(self) -> int | None:
        """The process of our Valkey."""
        return self.server.pid

    async def revive_valkey(self) -> None:
        """Start it again on its data."""
        await asyncio.to_thread(self.server.start)


@contextlib.asynccontextmanager
async def embedded_stage(**settings: str) -> AsyncIterator[Stage]:
    """Start a daemon with its embedded Valkey; its data lie on a small disk of their own where that is allowed."""
    home = Home(scratch())
    home.prepare()
    mounted = mount(home.data)
    try:
        stage = Stage([Node(home, **settings)], own_disk=mounted)
        await stage.nodes[0].start()
        yield stage
    finally:
        end(home)
        if mounted:
            unmount(home.data)
        shutil.rmtree(home.root, ignore_errors=True)


def mount(folder: Path) -> bool:
    """Put a disk of its own on a folder, in memory; return whether that was allowed."""
    folder.mkdir(mode=0o700)
    if os.geteuid() or not sys.platform.startswith("linux") or not shutil.which("mount"):
        return False
    options = ["-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "postino"]
    return subprocess.run(["mount", *options, folder], capture_output=True, check=False).returncode == 0


def unmount(folder: Path) -> None:
    """Take it away, whoever still uses it."""
    subprocess.run(["umount", "-l", folder], check=False)


def resize(folder: Path, size: int) -> bool:
    """Give that disk so many bytes; return whether it has not more on it already."""
    options = ["-o", f"remount,size={size}"]
    return subprocess.run(["mount", *options, folder], capture_output=True, check=False).returncode == 0


@contextlib.asynccontextmanager
async def shared_stage(command: list[str] | None = None, count: int = 2, **settings: str) -> AsyncIterator[SharedStage]:
    """Start a Valkey of ours, and daemons behind a proxy each."""
    async with steered_valkey() as server:
        proxies, nodes = [await Proxy(server.url).open() for _ in range(count)], []
        try:
            for proxy in proxies:
                proxy.records = False
                home = Home(scratch())
                home.prepare()
                nodes.append(Node(home, POSTINO_VALKEY_URL=proxy.url, **settings))
                nodes[-1].command = command or []
            await asyncio.gather(*(each.start() for each in nodes))
            yield SharedStage(nodes, server, proxies)
        finally:
            for each in nodes:
                end(each.home)
                each.reap()
                shutil.rmtree(each.home.root, ignore_errors=True)
            for proxy in proxies:
                await proxy.close()


def end(home: Home) -> None:
    """Kill whatever runs in a home, also what is frozen."""
    kill_servers(home)
    kill_all(home.root)


def describe(home: Home) -> str:
    """Return the last lines of a daemon's log, for a failure."""
    with contextlib.suppress(OSError):
        return home.log.read_text(errors="replace")[-1500:]
    return ""
