"""Run the tests that are marked `alone` with nothing beside them: what they claim of time holds on an idle machine.

They come first, one after another in one worker, while the other workers wait. A pytest plugin.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest


def is_alone(item: pytest.Item | None) -> bool:
    """Tell whether a test is marked so."""
    return item is not None and item.get_closest_marker("alone") is not None


class Alone:
    """One lock of readers and writers over all workers: a usual test shares it, a test that runs alone has it."""

    def __init__(self, folder: Path) -> None:
        self._field = os.open(folder / "field.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # who waits for the field holds the gate: nobody overtakes a test that runs alone
        self._gate = os.open(folder / "gate.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._held = False

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # outside of the test's timeout
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, Any, Any]:
        if not self._held:
            fcntl.flock(self._gate, fcntl.LOCK_EX)
            fcntl.flock(self._field, fcntl.LOCK_EX if is_alone(item) else fcntl.LOCK_SH)
            fcntl.flock(self._gate, fcntl.LOCK_UN)
            self._held = True
        try:
            return (yield)
        finally:
            if not (is_alone(item) and is_alone(nextitem)):
                fcntl.flock(self._field, fcntl.LOCK_UN)
                self._held = False


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that run alone first."""
    items.sort(key=lambda item: not is_alone(item))


def pytest_configure(config: pytest.Config) -> None:
    """Take part in the lock of this run, in a worker of xdist."""
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(Alone(Path(config.option.basetemp).parent), "one-at-a-time")
