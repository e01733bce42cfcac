"""Homes with an embedded Valkey."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from postino.paths import Home
from postino.store.valkey import admin, embedded
from tests.store.embedded.homes import STARTER, scratch


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
