"""The terminal inbox on a real daemon, without a terminal: keys are pressed and the screen is read as text."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from textual.pilot import Pilot

from postino.client import Client
from postino.tui.app import Inbox
from postino.tui.mailroom import InboxClient, Mailroom
from tests.daemons import Daemon
from tests.waiting import eventually, until

PATIENCE_S = 30.0  # a deadline
NUMBERS = itertools.count(1)


class Terminal:
    """One inbox that is shown."""

    def __init__(self, app: Inbox, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

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
            return InboxClient(served.home.socket, via="cli", headers=headers)

        app = Inbox(Mailroom(client), me, seen_in)
        async with app.run_test(size=size) as pilot:
            yield Terminal(app, pilot)

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
