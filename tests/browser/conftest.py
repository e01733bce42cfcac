"""A real Chromium on a real daemon. Nothing here loosens the page's policy; what breaks it fails the test.

Playwright's loop belongs to the thread as long as it runs: a browser is closed before the daemon under it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from postino.daemon import process
from postino.paths import Home
from postino.store.valkey.embedded import EmbeddedValkey

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# before anything of the page runs: what its policy refused, and whether a payload ever ran
WATCH = """
globalThis.reports = [];
addEventListener("securitypolicyviolation", (event) => reports.push(`${event.violatedDirective} ${event.blockedURI}`));
"""
PATIENCE_MS = 8_000


@contextlib.contextmanager
def chromium(profile: Path | None = None) -> Iterator[Any]:
    """Run Debian's Chromium, headless; with `profile` yield the browser context of that folder."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium on this machine (apt install chromium)")
    with playwright.sync_playwright() as started:
        how = {"executable_path": path, "args": FLAGS}
        kind = started.chromium
        running = kind.launch_persistent_context(str(profile), **how) if profile else kind.launch(**how)
        yield running
        running.close()


@dataclass
class Served:
    """A daemon, and a caller of it that is no browser."""

    home: Home
    env: dict[str, str]
    url: str

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        data = json.dumps({} if body is None else body).encode() if method == "POST" else None
        request = urllib.request.Request(f"{self.url}/api/{path}", data, headers, method=method)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

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


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """A real daemon that the tests of one file share; each uses names of its own."""
    home = Home(Path(tempfile.mkdtemp(prefix="po", dir="/tmp")))
    env = {name: text for name, text in os.environ.items() if not name.startswith(("POSTINO_", "CLAUDE"))}
    env |= {"POSTINO_HOME": str(home.root), "POSTINO_WEB_PORT": "0"}
    running = process.start(env, home)
    assert running.url is not None
    yield Served(home, env, running.url)
    process.stop(home)
    asyncio.run(EmbeddedValkey(home).stop())
    shutil.rmtree(home.root)


@pytest.fixture(scope="module")
def browser(served: Served) -> Iterator[Any]:
    """The Chromium of one file."""
    with chromium() as started:
        yield started


@dataclass
class Visitor:
    """Opens pages, and knows what went wrong on them."""

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
        clock: bool = False,
    ) -> Any:
        """Open the page at `place` in a browser profile of its own, where `name` is the name kept.

        With `clock` its time can be moved on.
        """
        context = self.browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})
        self.contexts.append(context)
        context.add_init_script(WATCH)
        if name:
            context.add_init_script(f"localStorage.setItem('postino.name', {json.dumps(name)})")
        page = context.new_page()
        if clock:
            page.clock.install()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.goto(f"{self.url}/{place}")
        return page

    def close(self) -> None:
        """End all pages; none may have broken its policy or thrown."""
        for context in self.contexts:
            for page in context.pages:
                self.problems += page.evaluate("globalThis.reports")
            context.close()
        assert self.problems == []


@pytest.fixture
def visit(browser: Any, served: Served) -> Iterator[Callable[..., Any]]:
    """Open the page: `visit("#/agents/bob", width=360)`."""
    visitor = Visitor(browser, served.url)
    yield visitor.open
    visitor.close()


@pytest.fixture
def open_chromium() -> Callable[[str], Any]:
    """Run a browser of a test's own on another daemon: `with open_chromium(url) as visitor`."""

    @contextlib.contextmanager
    def run(url: str) -> Iterator[Visitor]:
        with chromium() as browser:
            visitor = Visitor(browser, url)
            yield visitor
            visitor.close()

    return run


@pytest.fixture
def open_blocked(tmp_path: Path) -> Callable[[str], Any]:
    """Run a browser that is set to let no site keep data: `with open_blocked(url) as page`."""

    @contextlib.contextmanager
    def run(url: str) -> Iterator[Any]:
        settings = {"profile": {"default_content_setting_values": {"cookies": 2}}}
        (tmp_path / "Default").mkdir()
        (tmp_path / "Default" / "Preferences").write_text(json.dumps(settings))
        problems: list[str] = []
        with chromium(tmp_path) as context:
            page = context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.goto(url)
            yield page
        assert problems == []

    return run


@pytest.fixture
def until() -> Callable[[Callable[[], Any], str], Any]:
    """Wait for a condition with a deadline: `until(lambda: ..., "what")`; return its first true value."""

    def wait(condition: Callable[[], Any], what: str) -> Any:
        end = time.monotonic() + PATIENCE_MS / 1000
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
    """The SDK's own client on a real relay, on a loop in a thread of its own: the test's thread is Playwright's."""

    def __init__(self, env: dict[str, str], name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._calls: asyncio.Queue[Any] = asyncio.Queue()
        self._ready = threading.Event()
        self._done = asyncio.run_coroutine_threadsafe(self._live(env, name), self._loop)
        assert self._ready.wait(20), "the MCP client is connected"

    async def _live(self, env: dict[str, str], name: str) -> None:
        """One task opens, uses and closes the client: its cancel scopes may not cross tasks."""
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
        """Call a tool; return what it said."""

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
