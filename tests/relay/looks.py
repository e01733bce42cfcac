"""What tests of the relay share: who serves, who starts a daemon, and what a reader was given."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from postino import locks
from tests.waiting import eventually

RECEIVER = {"POSTINO_AGENT_NAME": "bob"}


def pid_of_daemon(daemon: Any) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(json.loads(daemon.home.info.read_text())["pid"])
    return 0


async def replaced(daemon: Any) -> int:
    """Wait for a daemon that a relay has started; return its pid."""
    await eventually(lambda: pid_of_daemon(daemon) not in (0, daemon.process.pid), "another daemon serves")
    return pid_of_daemon(daemon)


@contextlib.contextmanager
def held(lock: Path) -> Iterator[None]:
    """Be another process that holds a lock."""
    descriptor = locks.acquire(lock, patience=30)
    assert descriptor is not None
    yield
    os.close(descriptor)


def starting(daemon: Any) -> contextlib.AbstractContextManager[None]:
    """Be another process that is starting the daemon, and takes its time."""
    return held(daemon.home.starting)


def age_s(pid: int) -> float:
    """Return how long ago a process was started."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")


async def some(relay: Any) -> list[dict[str, Any]]:
    """Read until there is something."""
    async with asyncio.timeout(30):
        while not (messages := (await relay.call("msg_read"))["messages"]):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return messages  # type: ignore[no-any-return]
