"""The real things every test runs on: a private Valkey, a broker under a prefix of its own, a real daemon.

`--valkey=embedded` (default) runs the server that postino ships; `container` one from the image
valkey/valkey; a URL any Valkey 7.2+ or Redis 7.0+, of which only keys under fresh prefixes are touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from postino import config
from postino.broker import Broker
from postino.config import Settings
from postino.paths import Home
from postino.store.valkey.embedded import EmbeddedValkey
from postino.store.valkey.process import program

for name in [name for name in os.environ if name.startswith(("POSTINO_", "CLAUDE")) and name != "CLAUDE_BINARY"]:
    del os.environ[name]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--valkey", default="embedded", help="embedded (default), container, or a redis:// URL")


MEMORY, ROOM = "/dev/shm", 2 << 30  # bytes; a run writes a few hundred MB
#: what may be skipped in CI: there is no engine to run containers with
MAY_SKIP = ("no Docker engine answers",)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI (variable CI) a test that is skipped where it should run fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:
        return
    reasons = {str(each.longrepr[2]) for each in reporter.stats.get("skipped", []) if isinstance(each.longrepr, tuple)}
    unexpected = sorted(reason for reason in reasons if not any(allowed in reason for allowed in MAY_SKIP))
    if unexpected:
        reporter.write_line("skipped in CI, which is a failure: " + "; ".join(unexpected), red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def short_home(parent: str = "/tmp") -> Path:
    """Make a scratch POSTINO_HOME whose path is short enough for a socket."""
    return Path(tempfile.mkdtemp(prefix="po", dir=parent))


def steady() -> str:
    """Return a directory in memory where there is room: no other program's writes hold up an fsync there."""
    with contextlib.suppress(OSError):
        if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
            return MEMORY
    return "/tmp"


@pytest.fixture
def home() -> Iterator[Home]:
    """A scratch home; whatever daemon or Valkey is left in it is ended by its pid."""
    root = short_home()
    yield Home(root)
    end_home(Home(root))


def end_home(home: Home) -> None:
    for file in (home.info, home.data / "valkey.pid"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            text = file.read_text()
            pid = int(json.loads(text)["pid"]) if file == home.info else int(text)
            if home.root.name in Path(f"/proc/{pid}/environ").read_text() + Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(pid, signal.SIGKILL)
    shutil.rmtree(home.root, ignore_errors=True)


@pytest.fixture(scope="session")
def valkey(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of the server all store, broker and route tests share."""
    wanted = request.config.getoption("--valkey")
    if wanted == "container":
        yield from _container()
    elif wanted != "embedded":
        yield wanted
    else:
        root = short_home(steady())
        server = EmbeddedValkey(Home(root))
        yield f"unix://{asyncio.run(server.start())}"
        asyncio.run(EmbeddedValkey(Home(root)).stop())
        shutil.rmtree(root, ignore_errors=True)


def _container() -> Iterator[str]:
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


@pytest.fixture
def settings(valkey: str, home: Home) -> Settings:
    """Settings on the shared server, under a key prefix of this test's own."""
    made, _ = config.load({"POSTINO_HOME": str(home.root), "POSTINO_VALKEY_URL": valkey, "POSTINO_WEB_PORT": "0"})
    return replace(made, key_prefix=f"t{secrets.token_hex(6)}:")


@pytest.fixture
async def broker(settings: Settings) -> AsyncIterator[Broker]:
    """An open broker on real Valkey."""
    opened = await Broker.open(settings)
    yield opened
    await opened.close()


@pytest.fixture
async def open_broker(settings: Settings) -> AsyncIterator[Callable[..., object]]:
    """Open brokers with changed settings: `await open_broker(message_lease=1)`."""
    opened: list[Broker] = []

    async def open_one(**changes: object) -> Broker:
        opened.append(await Broker.open(replace(settings, **changes)))  # type: ignore[arg-type]
        return opened[-1]

    yield open_one
    for each in opened:
        await each.close()


@dataclass
class Daemon:
    """A real `postino serve` with an embedded Valkey, in a home of its own."""

    home: Home
    env: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where TCP answers."""
        return str(json.loads(self.home.info.read_text())["url"])

    def start(self, **extra: str) -> Daemon:
        """Start it and return when it answers."""
        self.extra = extra
        with self.home.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "postino", "serve"],
                env=self.env | extra,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self.answers, "the daemon answers", 20)
        return self

    def answers(self) -> bool:
        """Tell whether /api/health says ok over the unix socket."""
        assert self.process is not None
        assert self.process.poll() is None, self.home.log.read_text()
        return self.health().get("ok") is True

    def health(self) -> dict[str, object]:
        """Ask /api/health with real curl; {} when nobody answers."""
        said = subprocess.run(
            ["curl", "-s", "-m", "3", "--unix-socket", str(self.home.socket), "http://localhost/api/health"],
            capture_output=True,
            check=False,
        ).stdout
        return json.loads(said) if said else {}

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to stop; return its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=10)

    def valkey_pid(self) -> int:
        """The embedded server's process."""
        return int((self.home.data / "valkey.pid").read_text())


def until(condition: Callable[[], object], what: str, seconds: float = 5) -> None:
    """Wait for a condition with a deadline."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s until {what}"
        time.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except FileNotFoundError:
        return not Path("/proc").exists()
    except ProcessLookupError:
        return False


@pytest.fixture
def lives() -> Callable[[int], bool]:
    """Tell whether a process runs: `lives(pid)`; one that only waits to be reaped does not."""
    return _lives


@pytest.fixture
def gone() -> Callable[[int], bool]:
    """Wait up to 5 s for the end of a process that is no child of ours, and tell whether it came: `gone(pid)`."""

    def wait(pid: int) -> bool:
        end = time.monotonic() + 5
        while _lives(pid) and time.monotonic() < end:
            time.sleep(0.02)
        return not _lives(pid)

    return wait


@pytest.fixture
def daemon(home: Home) -> Iterator[Daemon]:
    """A running real daemon; its embedded Valkey is ended with it."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("POSTINO_", "CLAUDE"))}
    made = Daemon(home, plain | {"POSTINO_HOME": str(home.root), "POSTINO_WEB_PORT": "0"})
    made.start()
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.terminate()
        try:
            made.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            made.process.kill()
            made.process.wait()
    asyncio.run(EmbeddedValkey(home).stop())


@dataclass
class Server:
    """A Valkey or Redis of one test's own, which may be frozen, killed and started again on its data."""

    executable: str
    options: tuple[str, ...]
    directory: Path = field(default_factory=short_home)
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
        """Tell whether a connection is taken."""
        with socket.socket(socket.AF_UNIX) as dialled:
            return dialled.connect_ex(f"{self.directory}/s") == 0

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


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers of this test's own: `serve("--maxmemory", "1mb")`; `executable` may be Debian's redis-server."""
    servers: list[Server] = []

    def one(*options: str, executable: str = "") -> Server:
        servers.append(Server(executable or str(program()), options))
        return servers[-1].start()

    yield one
    for each in servers:
        each.kill()
        shutil.rmtree(each.directory, ignore_errors=True)


class Proxy:
    """Stands between a client and a server's unix socket: counts commands, holds replies or loses them."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream.removeprefix("unix://")
        self.path = short_home() / "p"
        self.url = f"unix://{self.path}"
        self.sent: list[bytes] = []  # what the client sent, as it came
        self.lose: bytes | None = None  # a request that holds this goes through, and its reply does not
        self.losses = 0
        self.gate: asyncio.Semaphore | None = None  # each reply needs one permit
        self._tasks: set[asyncio.Task[None]] = set()

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
        for task in self._tasks:
            task.cancel()

    def count(self, word: str) -> int:
        """Return how often `word` was sent as an argument."""
        return b"".join(self.sent).count(f"\r\n{word}\r\n".encode())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        server_reader, server_writer = await asyncio.open_unix_connection(self.upstream)
        replies = asyncio.create_task(self._forward(server_reader, writer))
        try:
            while data := await reader.read(1 << 20):
                self.sent.append(data)
                losing = self.lose is not None and self.lose in data
                if losing:
                    replies.cancel()
                    await asyncio.gather(replies, return_exceptions=True)
                server_writer.write(data)
                if losing:
                    await server_reader.read(1)  # it was done
                    self.losses += 1
                    break
        finally:
            replies.cancel()
            writer.transport.abort()
            server_writer.transport.abort()
            self._tasks.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 20):
            if self.gate:
                await self.gate.acquire()
            writer.write(data)


@pytest.fixture
async def proxy(valkey: str) -> AsyncIterator[Callable[..., Awaitable[Proxy]]]:
    """Put a proxy before a server, by default the shared one: `await proxy()`."""
    opened: list[Proxy] = []

    async def one(upstream: str = valkey) -> Proxy:
        if not upstream.startswith("unix://"):
            pytest.skip("the proxy knows unix sockets only")
        opened.append(await Proxy(upstream).open())
        return opened[-1]

    yield one
    for each in opened:
        await each.close()
