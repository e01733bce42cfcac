"""A real Chromium on a real daemon. No test loosens the page's Content-Security-Policy; each violation fails the test.

What is expensive is started once per worker: Playwright, the browser and a daemon. A test has browser contexts of its
own, and agent names of its own; each file begins with an empty store.
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
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from postino.daemon import process
from postino.paths import Home
from postino.store.valkey.embedded import EmbeddedValkey
from tests.daemons import Daemon
from tests.homes import scratch

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# runs before the page's scripts: collects violations of its policy
REPORT_VIOLATIONS = """
globalThis.reports = [];
addEventListener("securitypolicyviolation", (event) => reports.push(`${event.violatedDirective} ${event.blockedURI}`));
"""
TIMEOUT_MS = 30_000  # a deadline


@dataclass
class Chromium:
    """Playwright, Debian's Chromium, and the event loop that Playwright's sync API runs in this thread.

    `path` is its headless shell where there is one: the same engine without windows costs a third of the CPU.
    """

    playwright: Any
    path: str
    browser: Any
    loop: asyncio.AbstractEventLoop

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Mark Playwright's loop as running, as its sync API needs; at other times tests can run loops of their own."""
        asyncio._set_running_loop(self.loop)
        try:
            yield
        finally:
            asyncio._set_running_loop(None)

    @contextlib.contextmanager
    def profile(self, folder: Path) -> Iterator[Any]:
        """Run another Chromium with a profile in `folder`, whose preferences the headless shell would not read."""
        path = shutil.which("chromium")
        if path is None:
            pytest.skip("there is no chromium on this machine (apt install chromium)")
        context = self.playwright.chromium.launch_persistent_context(str(folder), executable_path=path, args=FLAGS)
        try:
            yield context
        finally:
            context.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """The Chromium of this worker, headless."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium on this machine (apt install chromium-headless-shell)")
    api.expect.set_options(timeout=TIMEOUT_MS)
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        started = Chromium(playwright, path, browser, asyncio.get_running_loop())
        asyncio._set_running_loop(None)
        yield started
        asyncio._set_running_loop(started.loop)
        browser.close()


@pytest.fixture
def browser(chromium: Chromium) -> Iterator[Any]:
    """The worker's browser, usable while this fixture lives."""
    with chromium.in_use():
        yield chromium.browser


@dataclass
class Served:
    """A real daemon, and a REST client of it that is not a browser."""

    home: Home
    env: dict[str, str]
    url: str = ""

    def start(self) -> None:
        """Start the daemon unless it runs."""
        if not process.is_healthy(self.home):
            Daemon(self.home.prepare(), self.env).start()
        url = str(json.loads(self.home.info.read_text())["url"])
        self.url = url.replace("127.0.0.1", "localhost")  # where the page sends a browser that comes by a number

    def kill(self) -> None:
        """Kill the daemon, and wait until it is gone; its Valkey keeps running."""
        os.kill(json.loads(self.home.info.read_text())["pid"], signal.SIGKILL)
        with contextlib.suppress(OSError):
            while True:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(str(self.home.socket))
                time.sleep(0.01)

    def valkey_pid(self) -> int:
        """The process of the embedded Valkey."""
        return int((self.home.data / "valkey.pid").read_text())

    def valkey(self) -> redis.Redis:
        """A client of the daemon's Valkey, for states that the API cannot produce."""
        return redis.Redis(unix_socket_path=str(self.home.valkey_socket), decode_responses=True)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        data = json.dumps({} if body is None else body).encode() if method == "POST" else None
        request = urllib.request.Request(f"{self.url}/api/{path}", data, headers, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            error.add_note(error.read().decode())
            raise

    def send(self, to: str, body: str = "hello", **more: str) -> str:
        return str(self.call("POST", "messages", {"to": to, "body": body, "from": "tester"} | more)["id"])

    def read(self, agent: str, consumer: str = "reader-1", **more: Any) -> list[str]:
        lease = self.call("POST", f"messages/{agent}/read", {"consumer": consumer} | more)
        return [item["id"] for item in lease["items"]]

    def settle(self, verb: str, agent: str, ids: list[str], consumer: str = "reader-1") -> Any:
        return self.call("POST", f"messages/{agent}/{verb}", {"ids": ids, "consumer": consumer})

    def history(self, agent: str) -> list[Any]:
        items: list[Any] = self.call("GET", f"history?agent={agent}&limit=200")["items"]
        return items


@contextlib.contextmanager
def running(**settings: str) -> Iterator[Served]:
    """Run a daemon in a scratch home with these POSTINO_ variables; end it and its Valkey afterwards."""
    home = Home(scratch())
    env = {name: text for name, text in os.environ.items() if not name.startswith(("POSTINO_", "CLAUDE"))}
    served = Served(home, env | {"POSTINO_HOME": str(home.root), "POSTINO_WEB_PORT": "0"} | settings)
    try:
        served.start()
        yield served
    finally:
        process.stop(home)
        asyncio.run(EmbeddedValkey(home).stop())
        shutil.rmtree(home.root)


@pytest.fixture(scope="session")
def worker_daemon() -> Iterator[Served]:
    """The daemon of this worker."""
    with running() as served:
        yield served


@pytest.fixture
def valkey(served: Served) -> Iterator[redis.Redis]:
    """The daemon's Valkey, to write what the API refuses, or much at once."""
    with served.valkey() as client:
        yield client


@pytest.fixture
def person(served: Served) -> str:
    """A person of one test's own."""
    name = f"person-{secrets.token_hex(4)}"
    served.call("POST", f"people/{name}")
    return name


@pytest.fixture(scope="module")
def served(worker_daemon: Served) -> Served:
    """The worker's daemon with a store that was emptied for this file."""
    with worker_daemon.valkey() as valkey:
        identity = valkey.hgetall("{po}:meta")
        with valkey.pipeline() as emptied:  # a store without an id would get another one from a second daemon
            emptied.flushall().hset("{po}:meta", mapping=identity).execute()
    return worker_daemon


@pytest.fixture(scope="session")
def run_daemon() -> Callable[..., Any]:
    """Run a daemon for tests that kill or configure it: `with run_daemon(POSTINO_API_TOKEN="x") as served`."""
    return running


@dataclass
class Visitor:
    """Opens pages, and records their errors."""

    browser: Any
    url: str
    problems: list[str] = field(default_factory=list)
    contexts: list[Any] = field(default_factory=list)

    def open(
        self,
        place: str = "#/",
        *,
        scheme: str = "light",
        width: int = 1280,
        height: int = 800,
        name: str = "",
        person: str = "",
        clock: bool = False,
    ) -> Any:
        """Open the page at `place` in a new context. `clock`: the test moves its time.

        `name`: what the field From has; `person`: as whom the page reads the inbox, else the daemon's own person.
        """
        context = self.browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})
        self.contexts.append(context)
        context.add_init_script(REPORT_VIOLATIONS)
        if name:
            context.add_init_script(f"localStorage.setItem('postino.name', {json.dumps(name)})")
        if person:
            context.add_init_script(f"localStorage.setItem('postino.person', {json.dumps(person)})")
        page = context.new_page()
        if clock:
            page.clock.install()
        page.set_default_timeout(TIMEOUT_MS)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.goto(f"{self.url}/{place}")
        page.locator("html:not([data-starting])").wait_for()  # the view is shown then
        return page

    def close(self) -> None:
        """Close all pages, and check that none violated its policy or threw."""
        for context in self.contexts:
            for page in context.pages:
                self.problems += page.evaluate("globalThis.reports")
                page.unroute_all(behavior="ignoreErrors")  # else a late request's would fail the next test
            context.close()
        assert self.problems == []


@pytest.fixture
def visit(browser: Any, served: Served) -> Iterator[Callable[..., Any]]:
    """Open the page: `visit("#/agents/bob", width=360)`."""
    visitor = Visitor(browser, served.url)
    yield visitor.open
    visitor.close()


@pytest.fixture
def visit_other(browser: Any) -> Iterator[Callable[[str], Visitor]]:
    """Return a visitor of another daemon: `visit_other(url).open("#/")`."""
    visitors: list[Visitor] = []

    def make(url: str) -> Visitor:
        visitors.append(Visitor(browser, url))
        return visitors[-1]

    yield make
    for each in visitors:
        each.close()


@pytest.fixture
def open_blocked(chromium: Chromium, tmp_path: Path) -> Callable[[str], Any]:
    """Open an address in a browser that is set to block all site data: `with open_blocked(url) as page`."""

    @contextlib.contextmanager
    def run(url: str) -> Iterator[Any]:
        settings = {"profile": {"default_content_setting_values": {"cookies": 2}}}
        (tmp_path / "Default").mkdir()
        (tmp_path / "Default" / "Preferences").write_text(json.dumps(settings))
        problems: list[str] = []
        with chromium.in_use(), chromium.profile(tmp_path) as context:
            page = context.new_page()
            page.set_default_timeout(TIMEOUT_MS)
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.goto(url)
            yield page
        assert problems == []

    return run


@pytest.fixture
def until() -> Callable[[Callable[[], Any], str], Any]:
    """Wait for a condition with a deadline: `until(lambda: ..., "what")`; return its first true value."""

    def wait(condition: Callable[[], Any], what: str) -> Any:
        end = time.monotonic() + TIMEOUT_MS / 1000
        while not (found := condition()):
            assert time.monotonic() < end, f"waited until {what}"
            time.sleep(0.05)
        return found

    return wait


@pytest.fixture
def name() -> str:
    """An agent name of this test's own."""
    return f"agent-{secrets.token_hex(4)}"


class McpClient:
    """The SDK's own client on a real relay, with a loop in its own thread: Playwright's API uses the test's thread."""

    def __init__(self, env: dict[str, str], name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._calls: asyncio.Queue[Any] = asyncio.Queue()
        self._ready = threading.Event()
        self._done = asyncio.run_coroutine_threadsafe(self._live(env, name), self._loop)
        assert self._ready.wait(20), "the MCP client is connected"

    async def _live(self, env: dict[str, str], name: str) -> None:
        """Open, use and close the client in one task: its cancel scopes cannot cross tasks."""
        from mcp import Client, StdioServerParameters

        params = StdioServerParameters(
            command=sys.executable, args=["-m", "postino", "mcp"], env=env | {"POSTINO_AGENT_NAME": name}, cwd="/tmp"
        )
        async with Client(params, mode="legacy") as client:
            self._ready.set()
            while (wanted := await self._calls.get()) is not None:
                tool, arguments, answered = wanted
                answered.set_result(await client.call_tool(tool, arguments))

    def call(self, tool: str, **arguments: Any) -> Any:
        """Call a tool; return its answer."""

        async def ask() -> Any:
            answered = self._loop.create_future()
            self._calls.put_nowait((tool, arguments, answered))
            return await answered

        return json.loads(self._run(ask()).content[0].text)

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def close(self) -> None:
        """Disconnect; repeating does nothing."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._calls.put_nowait, None)
        self._done.result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def mcp_client(served: Served) -> Iterator[Callable[[str], McpClient]]:
    """Connect an MCP client: `mcp_client("bob")`."""
    clients: list[McpClient] = []

    def connect(name: str) -> McpClient:
        clients.append(McpClient(served.env, name))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()
