"""The real things every test runs on: a private Valkey, a broker under a prefix of its own, a real daemon.

`--valkey=embedded` (default) runs the server that postino ships, one in each worker; `container` one from the image
valkey/valkey; `redis-server` or another program that one; a URL names any Valkey 7.2+ or Redis 7.0+ that runs, of which
only keys under fresh prefixes are touched. `--only-on-server` runs the tests that use it, for a second server.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace

import pytest

from postino import config
from postino.broker import Broker
from postino.config import Settings
from postino.paths import Home
from postino.store.pipeline import REPLY_TIMEOUT_S, Pipeline
from postino.store.valkey.process import program
from postino.store.wire import Encoded
from tests import processes, servers
from tests.daemons import UNGUARDED, Daemon, daemon_of, scratch_daemon
from tests.homes import scratch_home
from tests.waiting import PATIENCE_S

for name in [name for name in os.environ if name.startswith(("POSTINO_", "CLAUDE")) and name != "CLAUDE_BINARY"]:
    del os.environ[name]
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a thousand commands are started: each would compile postino anew
processes.let_children_be_interrupted()

pytest_plugins = ["tests.timing"]

#: what may be skipped in CI: there is no engine to run containers with
MAY_SKIP = ("no Docker engine answers", "no C compiler for a slow fsync", "no file system can be mounted here")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--valkey", default="embedded", help="embedded (default), container, a program, or a redis:// URL")
    parser.addoption(
        "--only-on-server", action="store_true", help="leave out tests that do not use the server of --valkey"
    )
    group = parser.getgroup("faults", "the campaigns of tests/faults")
    group.addoption(
        "--faults", default="short", choices=["short", "long"], help="long: for --faults-seconds, with a table"
    )
    group.addoption("--faults-seconds", type=float, default=300, help="length of each of seven long campaigns (300)")
    group.addoption("--faults-seed", type=int, default=1, help="seed of the first campaign (1)")
    group.addoption("--faults-into", default="/tmp/postino-faults", help="folder for histories, figures and the table")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Use three workers more than cores, because tests wait much; none for single tests, which answer sooner so."""
    return 0 if all("::" in each for each in config.args) else (os.cpu_count() or 1) + 3


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what would be the same on every server, if that is wanted."""
    if config.getoption("--only-on-server"):
        others = [item for item in items if "valkey" not in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in set(others)]


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


@pytest.fixture
def home() -> Iterator[Home]:
    """A scratch home; whatever daemon or Valkey is left in it is killed."""
    with scratch_home() as made:
        yield made


@pytest.fixture(scope="session")
def valkey(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of the server all store, broker and route tests share."""
    wanted = request.config.getoption("--valkey")
    if wanted == "container":
        yield from servers.container()
    elif wanted == "embedded":
        yield from servers.embedded()
    elif "://" in wanted:
        yield wanted
    else:
        yield from servers.started(wanted)


@pytest.fixture
def settings(valkey: str, home: Home) -> Settings:
    """Settings on the shared server, under a key prefix of this test's own."""
    made, _ = config.load(
        {"POSTINO_HOME": str(home.root), "POSTINO_VALKEY_URL": valkey, "POSTINO_WEB_PORT": "0"} | UNGUARDED
    )
    return replace(made, key_prefix=f"t{secrets.token_hex(6)}:")


@pytest.fixture
def patient_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the store of this process answer late: for tests that claim nothing about a store that is away.

    A caller hears within two seconds of a store that does not answer, and the disk of a busy machine may take longer.
    """
    send = Pipeline.send

    def patiently(pipeline: Pipeline, command: Encoded, within_s: float = REPLY_TIMEOUT_S) -> object:
        return send(pipeline, command, within_s + PATIENCE_S)

    monkeypatch.setattr(Pipeline, "send", patiently)
    for module in ("pipeline", "valkey.primary"):
        monkeypatch.setattr(f"postino.store.{module}.CONNECT_TIMEOUT_S", PATIENCE_S)


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


@pytest.fixture
def daemon(home: Home) -> Iterator[Daemon]:
    """A running real daemon of this test's own."""
    with daemon_of(home) as started:
        yield started


@pytest.fixture(scope="module")
def served() -> Iterator[Daemon]:
    """A real daemon that the tests of one file share; names are to be used once per file."""
    with scratch_daemon() as started:
        yield started


@pytest.fixture
def lives() -> Callable[[int], bool]:
    """Tell whether a process runs: `lives(pid)`."""
    return processes.lives


@pytest.fixture
def gone() -> Callable[[int], bool]:
    """Wait for the end of a process that is not our child; tell whether it came in time: `gone(pid)`."""
    return processes.gone


@pytest.fixture
def serve() -> Iterator[Callable[..., servers.Server]]:
    """Start servers of this test's own: `serve("--maxmemory", "1mb")`; `executable` may be Debian's redis-server."""
    started: list[servers.Server] = []

    def one(*options: str, executable: str = "") -> servers.Server:
        started.append(servers.Server(executable or str(program()), options))
        return started[-1].start()

    yield one
    for each in started:
        each.kill()
        shutil.rmtree(each.directory, ignore_errors=True)


@pytest.fixture
async def proxy(valkey: str) -> AsyncIterator[Callable[..., Awaitable[servers.Proxy]]]:
    """Put a proxy before a server, by default the shared one: `await proxy()`."""
    opened: list[servers.Proxy] = []

    async def one(upstream: str = valkey) -> servers.Proxy:
        if not upstream.startswith("unix://"):
            pytest.skip("the proxy knows unix sockets only")
        opened.append(await servers.Proxy(upstream).open())
        return opened[-1]

    yield one
    for each in opened:
        await each.close()
