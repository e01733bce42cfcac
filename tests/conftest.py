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
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from postino import config
from postino.broker import Broker
from postino.config import Settings
from postino.paths import Home
from postino.store.embedded import EmbeddedValkey

for name in [name for name in os.environ if name.startswith(("POSTINO_", "CLAUDE")) and name != "CLAUDE_BINARY"]:
    del os.environ[name]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--valkey", default="embedded", help="embedded (default), container, or a redis:// URL")


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


def short_home() -> Path:
    """Make a scratch POSTINO_HOME whose path is short enough for a socket."""
    return Path(tempfile.mkdtemp(prefix="po", dir="/tmp"))


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
        root = short_home()
        server = EmbeddedValkey(Home(root))
        yield f"unix://{asyncio.run(server.start())}"
        asyncio.run(EmbeddedValkey(Home(root)).stop())
        shutil.rmtree(root, ignore_errors=True)


def _container() -> Iterator[str]:
    try:
        import docker
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.waiting_utils import wait_for_logs

        docker.from_env().ping()
    except Exception as error:
        pytest.skip(f"no Docker engine answers: {error}")
    image = os.environ.get("VALKEY_IMAGE", "valkey/valkey:9.1-alpine")
    durable = "--appendonly yes --appendfsync always --maxmemory-policy noeviction"
    with DockerContainer(image).with_exposed_ports(6379).with_command(f"valkey-server {durable}") as container:
        wait_for_logs(container, "Ready to accept connections")
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
