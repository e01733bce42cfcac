"""The order of the tests, which decides how long a run takes and what its claims about time are worth. A pytest plugin.

First come the tests marked `timing`, among themselves: they claim how long something takes. They mostly wait, so they
disturb one another little; a browser or a client that starts beside them would. Workers that have none of them run
those marked `waits` meanwhile, which disturb nobody. Then come the tests that `timeout` gives more time than others:
everybody would wait for one that begins last. Without xdist every test is alone anyway.
"""

from __future__ import annotations

import fcntl
import os
from itertools import chain, groupby
from pathlib import Path

import pytest


def is_timing(item: pytest.Item) -> bool:
    """Tell whether a test is marked so."""
    return item.get_closest_marker("timing") is not None


def is_waiting(item: pytest.Item) -> bool:
    """Tell whether a test is marked as one that does next to nothing for a long time."""
    return item.get_closest_marker("waits") is not None


def is_long(item: pytest.Item, usual_s: float) -> bool:
    """Tell whether a test may take longer than others."""
    given = item.get_closest_marker("timeout")
    return given is not None and given.args[0] > usual_s


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let each worker begin with its share of such tests: --dist worksteal gives each as many tests in a row."""
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    usual_s = float(config.getini("timeout"))
    timed = min(workers, (os.cpu_count() or 1) + 1)  # the workers that run marked tests: more would disturb these
    idle = workers - timed  # have none
    marked = [item for item in items if is_timing(item)]
    waiting = [item for item in items if is_waiting(item) and idle]
    rest = [item for item in items if item not in {*marked, *waiting}]
    long = [item for item in rest if is_long(item, usual_s)]
    files = [list(group) for _, group in groupby(long, lambda item: item.path)]  # what they share is made once
    others = [item for item in rest if not is_long(item, usual_s)]
    ordered: list[pytest.Item] = []
    for number in range(workers):
        first = marked[number::timed] if number < timed else waiting[number - timed :: idle]
        share = [*first, *chain(*files[number::workers])]
        room = max(0, (len(items) - len(ordered)) // (workers - number) - len(share))
        ordered += share + others[:room]
        del others[:room]
    items[:] = ordered + others


class Start:
    """A barrier: no worker begins another test before all have done their share of the marked ones."""

    def __init__(self, folder: Path) -> None:
        self._lock: int | None = os.open(folder / "timing.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_SH)  # until this worker's share is done

    @pytest.hookimpl(tryfirst=True)  # before the test's timeout begins
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        """Wait for the other workers before the first test that is not marked; nobody waits for one that only waits."""
        if self._lock is None or is_timing(item):
            return
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        if not is_waiting(item):
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            self._release()

    def pytest_sessionfinish(self) -> None:
        """Let the others begin: this worker has no test left."""
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def pytest_configure(config: pytest.Config) -> None:
    """Take part in the barrier of this run, in a worker of xdist."""
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(Start(Path(config.option.basetemp).parent), "start-of-other-tests")
