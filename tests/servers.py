"""The servers under the store: the one that a run shares, one of a test's own, and a proxy before either."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from postino.store.valkey.embedded import EmbeddedValkey
from tests.homes import scratch, scratch_home
from tests.waiting import eventually, until


def embedded() -> Iterator[str]:
    """Yield the URL of the server that postino ships, in a scratch home."""
    with scratch_home() as home:
        yield f"unix://{asyncio.run(EmbeddedValkey(home).start())}"


def container() -> Iterator[str]:
    """Yield the URL of a server in a container; skip where no engine answers."""
    # asked by its own command: docker-py leaves a socket open when nobody answers
    asked = shutil.which("docker") and subprocess.run(["docker", "version"], capture_output=True, check=False)
    if not asked or asked.returncode:
        pytest.skip("no Docker engine answers `docker version`")
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    image = os.environ.get("VALKEY_IMAGE", "valkey/valkey:9.1-alpine")
    durable = "--appendonly yes --appendfsync always --maxmemory-policy noeviction"
    wanted = (
        DockerContainer(image).with_exposed_ports(6379).with_command(f"valkey-server {durable} --protected-mode no")
    )
    with wanted.waiting_for(LogMessageWaitStrategy("Ready to accept connections")) as container:
        yield f"redis://{container.get_container_host_ip()}:{container.get_exposed_port(6379)}"


@dataclass
class Server:
    """A Valkey or Redis of one test's own, which may be frozen, killed and started again on its data."""

    executable: str
    options: tuple[str, ...]
    directory: Path = field(default_factory=scratch)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"unix://{self.directory}/s"

    def start(self, *more: str) -> Server:
        """Start it, or start it again on its data; return when it answers."""
        place = ["--port", "0", "--unixsocket", f"{self.directory}/s", "--dir", str(self.directory), "--save", ""]
        durable = ["--appendonly", "yes", "--appendfsync", "always"]
        self.process = subprocess.Popen(
            [self.executable, *place, *durable, *self.options, *more],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        until(self.listens, "the server listens")
        return self

    def listens(self) -> bool:
        """Tell whether a connection is taken; fail where the process has ended, as for a port that is taken."""
        assert self.process is None or self.process.poll() is None, f"the server ended with {self.process.returncode}"
        with socket.socket(socket.AF_UNIX) as dialled:
            return dialled.connect_ex(f"{self.directory}/s") == 0

    def ask(self, *command: str, password: str | None = None) -> Any:
        """Run one command on it; return its reply."""
        with Redis(unix_socket_path=f"{self.directory}/s", password=password, decode_responses=True) as client:
            return client.execute_command(*command)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; SIGSTOP freezes it."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait()
        (self.directory / "s").unlink(missing_ok=True)


async def stop_saving(server: Server) -> None:
    """Let a server fail to save to its disk, after which it refuses writes (MISCONF) until `save` is set to nothing."""
    (server.directory / "dump.rdb").mkdir(exist_ok=True)  # in the place of the file
    server.ask("CONFIG", "SET", "save", "86400 1000000")
    server.ask("BGSAVE")
    await eventually(lambda: server.ask("INFO", "persistence")["rdb_last_bgsave_status"] == "err", "it cannot save")


def started(program: str) -> Iterator[str]:
    """Yield the URL of a server that is started for it, by the name of its program."""
    server = Server(program, ("--maxmemory-policy", "noeviction")).start()
    yield server.url
    server.kill()
    shutil.rmtree(server.directory, ignore_errors=True)


class Proxy:
    """Stands between a client and a server's unix socket: counts commands, holds replies or loses them, or commands."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream.removeprefix("unix://")
        self.path = scratch() / "p"
        self.url = f"unix://{self.path}"
        self.sent: list[bytes] = []  # what the client sent, as it came
        self.lose: bytes | None = None  # a request that holds this goes through, and its reply does not
        self.cut_before: bytes | None = None  # a request that holds this is not passed on, and the connection ends
        self.swallow: bytes | None = None  # a request that holds this goes nowhere; then cut the connection
        self.losses = 0
        self.gate: asyncio.Semaphore | None = None  # each reply needs one permit
        self.delay_s = 0.0  # by which each reply is late
        self.records = True  # whether `sent` grows
        self._tasks: set[asyncio.Task[None]] = set()
        self._clients: set[asyncio.StreamWriter] = set()

    async def open(self) -> Proxy:
        """Begin to listen."""
        self._server = await asyncio.start_unix_server(self._serve, self.path)
        return self

    async def close(self) -> None:
        """End every connection."""
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        shutil.rmtree(self.path.parent)

    def let_go(self) -> None:
        """Let every reply pass again that was held back."""
        gate, self.gate = self.gate, None
        for _ in range(1000):
            if gate is not None:
                gate.release()

    def cut(self) -> None:
        """Break every connection that is open now."""
        for writer in list(self._clients):
            writer.transport.abort()

    def count(self, word: str, key: str | None = None) -> int:
        """Return how often `word` was sent as an argument, with `key` behind it if that is given."""
        behind = "" if key is None else f"${len(key)}\r\n{key}\r\n"
        return b"".join(self.sent).count(f"\r\n{word}\r\n{behind}".encode())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            server_reader, server_writer = await asyncio.open_unix_connection(self.upstream)
        except OSError:  # the server is away
            writer.transport.abort()
            self._tasks.discard(task)
            return
        self._clients.add(writer)
        replies = asyncio.create_task(self._forward(server_reader, writer))
        try:
            while data := await reader.read(1 << 20):
                if self.records:
                    self.sent.append(data)
                if self.cut_before is not None and self.cut_before in data:
                    self.losses += 1
                    break
                if self.swallow is not None and self.swallow in data:
                    continue
                losing = self.lose is not None and self.lose in data
                if losing:
                    replies.cancel()
                    await asyncio.gather(replies, return_exceptions=True)
                server_writer.write(data)
                if losing:
                    await server_reader.read(1)  # it was done
                    self.losses += 1
                    break
        except ConnectionError:
            pass  # either side has gone
        finally:
            replies.cancel()
            writer.transport.abort()
            server_writer.transport.abort()
            self._clients.discard(writer)
            self._tasks.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 20):
                if self.gate:
                    await self.gate.acquire()
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                writer.write(data)
        writer.close()  # the server has gone
