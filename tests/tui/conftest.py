"""The terminal inbox on a real daemon, without a terminal: keys are pressed and the screen is read as text."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from textual.pilot import Pilot

from postino.client import Client
from postino.errors import PostinoError
from postino.tui.app import Inbox
from postino.tui.mailroom import InboxClient, Mailroom
from tests.daemons import Daemon
from tests.waiting import eventually, until

PATIENCE_S = 30.0  # a deadline
NUMBERS = itertools.count(1)


class Held:
    """Holds answers of the daemon on their way: those to calls that begin with a word, such as `GET /api/agents`."""

    def __init__(self) -> None:
        self._gates: dict[str, threading.Event] = {}
        self._reached: set[str] = set()
        self._failing: list[str] = []

    def hold(self, calls: str) -> None:
        """Hold the answers to calls from now on."""
        self._reached.discard(calls)
        self._gates[calls] = threading.Event()

    def fail(self, calls: str) -> None:
        """Let the next of such calls fail, before the daemon gets it."""
        self._failing.append(calls)

    async def reached(self, calls: str) -> None:
        """Wait until an answer is held."""
        await eventually(lambda: calls in self._reached, f"an answer to {calls} is held", PATIENCE_S)

    def let_go(self, calls: str) -> None:
        """Let them pass."""
        self._gates.pop(calls).set()

    def let_all_go(self) -> None:
        for calls in list(self._gates):
            self.let_go(calls)

    def refuse(self, call: str) -> None:
        """Fail if that is wanted."""
        for calls in [each for each in self._failing if call.startswith(each)]:
            self._failing.remove(calls)
            raise PostinoError("it failed")

    def pass_on(self, call: str) -> None:
        """Wait, in the thread of a call, until its answer may pass."""
        for calls, gate in list(self._gates.items()):
            if call.startswith(calls):
                self._reached.add(calls)
                assert gate.wait(PATIENCE_S), f"{calls} was never let go"


class HeldClient(InboxClient):
    """A client whose answers may be held."""

    held: Held

    def _once(self, method: str, *asked: Any) -> Any:
        call = f"{method} {asked[0]}"
        self.held.refuse(call)
        answer = super()._once(method, *asked)
        self.held.pass_on(call)
        return answer


class Terminal:
    """One inbox that is shown."""

    def __init__(self, app: Inbox, pilot: Pilot[None], held: Held | None = None) -> None:
        self.app = app
        self.pilot = pilot
        self.held = held or Held()

    @property
    def marked(self) -> str:
        """The row that is marked."""
        return self.lines[self.app._list.region.y + (self.app._list.highlighted or 0) - self.app._list.scroll_offset.y]

    async def settled(self) -> None:
        """Wait until every call that was begun has its answer, and is drawn."""
        await self.app.workers.wait_for_complete()
        await self.pilot.pause()

    @property
    def lines(self) -> list[str]:
        """The screen."""
        return [strip.text.rstrip() for strip in self.app.screen._compositor.render_strips()]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    async def shows(self, *parts: str) -> str:
        """Wait until all parts are on the screen; return it."""
        try:
            await eventually(lambda: all(part in self.text for part in parts), f"{parts} are shown", PATIENCE_S)
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.text}") from None
        return self.text

    async def hides(self, part: str) -> None:
        await eventually(lambda: part not in self.text, f"{part} is no longer shown:\n{self.text}", PATIENCE_S)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def click(self, text: str) -> None:
        """Click the first place where a text stands."""
        await self.shows(text)
        y, line = next((y, line) for y, line in enumerate(self.lines) if text in line)
        await self.pilot.click(offset=(line.index(text) + len(text) // 2, y))

    async def type(self, text: str) -> None:
        names = {" ": "space", ":": "colon", "-": "minus", ".": "full_stop", ",": "comma"}
        await self.pilot.press(*(names.get(each, each) for each in text))


class Tmux:
    """A server of tmux of this test's own, with one window of 80 by 24."""

    def __init__(self, env: dict[str, str]) -> None:
        self._socket = f"postino-{secrets.token_hex(4)}"
        self._env = env

    @property
    def command(self) -> list[str]:
        return ["tmux", "-L", self._socket, "-f", "/dev/null"]

    def run(self, *args: str) -> str:
        command = [*self.command, *args]
        return subprocess.run(command, env=self._env, check=True, capture_output=True, text=True).stdout

    def start(self, command: str) -> None:
        self.run("new-session", "-d", "-x", "80", "-y", "24", command)

    def keys(self, *names: str) -> None:
        self.run("send-keys", *names)

    def shows(self, *parts: str) -> str:
        def shown() -> str:
            return self.run("capture-pane", "-p")

        try:
            until(lambda: all(part in shown() for part in parts), f"the screen shows {parts}", poll_s=0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{shown()}") from None
        return shown()

    def close(self) -> None:
        subprocess.run(["tmux", "-L", self._socket, "kill-server"], env=self._env, check=False, capture_output=True)


Open = Callable[..., AbstractAsyncContextManager[Terminal]]


@pytest.fixture
def open_inbox(served: Daemon) -> Open:
    """Show the inbox of a person, or of nobody: `async with open_inbox("ada", size=(100, 30)) as terminal`."""

    @contextlib.asynccontextmanager
    async def one(
        me: str | None = None, size: tuple[int, int] = (80, 24), seen_in: Any = None
    ) -> AsyncIterator[Terminal]:
        def client(headers: dict[str, str]) -> InboxClient:
            made = HeldClient(served.home.socket, via="cli", headers=headers)
            made.held = held
            return made

        held = Held()
        app = Inbox(Mailroom(client), me, seen_in)
        async with app.run_test(size=size) as pilot:
            try:
                yield Terminal(app, pilot, held)
            finally:
                held.let_all_go()

    return one


@pytest.fixture(autouse=True)
def slow_fingers(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the second key of a sequence may come late."""
    monkeypatch.setattr("postino.tui.app.SEQUENCE_S", 60.0)


@pytest.fixture
def client(served: Daemon) -> Any:
    """Somebody else who uses the daemon."""
    with Client(served.home.socket) as made:
        yield made


@pytest.fixture
def name() -> str:
    """A name that no other test of the file uses."""
    return f"agent-{next(NUMBERS)}"


@pytest.fixture
def person(served: Daemon, name: str) -> str:
    """A person whom no other test of the file uses."""
    served.posted(f"people/{name}", {})
    return name


@pytest.fixture
def tmux(served: Daemon) -> Iterator[Callable[..., Tmux]]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    opened: list[Tmux] = []

    def start(**env: str) -> Tmux:
        opened.append(Tmux(served.env | {"LC_ALL": "C.UTF-8"} | env))
        return opened[-1]

    yield start
    for each in opened:
        each.close()
