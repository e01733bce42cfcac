"""The real Claude Code client in a scratch HOME, talking to a scripted model on loopback: no account, no network.

The binary is $CLAUDE_BINARY, or `claude` on PATH; where there is none these tests are skipped.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from postino.paths import Home
from tests.hooks import hook_script
from tests.hooks.hook_script import Run
from tests.hooks.machine import Machine, Session
from tests.hooks.model import Model
from tests.scripted.machine import scratch_root
from tests.scripted.model import serving


@contextlib.contextmanager
def scratch_machine(model: Model, prepared: Machine | None = None) -> Iterator[Machine]:
    """Give a HOME in which nothing is installed; whatever runs there in the end is killed."""
    binary = os.environ.get("CLAUDE_BINARY") or shutil.which("claude")
    if binary is None:
        pytest.skip("no Claude Code client: set CLAUDE_BINARY, or put claude on PATH")
    with scratch_root() as root:
        (root / "run").mkdir(mode=0o700)
        yield Machine(root=root, binary=binary, model=model, prepared=prepared)


@pytest.fixture
async def model() -> AsyncIterator[Model]:
    """A scripted Messages API on loopback."""
    async with serving(Model()) as made:
        yield made


@pytest.fixture(scope="session")
def prepared() -> Iterator[Machine]:
    """A HOME where the client has installed the plugin, to be copied."""
    with scratch_machine(Model()) as made:
        made.install_anew()
        yield made


@pytest.fixture
def machine(model: Model, prepared: Machine) -> Iterator[Machine]:
    """A scratch HOME with the client; the daemon is whatever a test lets start."""
    with scratch_machine(model, prepared) as made:
        yield made


@pytest.fixture
def mailbox(machine: Machine) -> Machine:
    """The machine with the plugin and a running daemon."""
    machine.install()
    machine.serve()
    return machine


@pytest.fixture
async def open_tab(machine: Machine) -> AsyncIterator[Callable[..., Awaitable[Session]]]:
    """Open sessions of the client: `await open_tab("--resume", id, cwd=folder, POSTINO_AGENT_NAME="bob")`."""
    opened: list[Session] = []

    async def open_one(*args: str, **options: object) -> Session:
        opened.append(await machine.open(*args, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield open_one
    await asyncio.gather(*(each.kill() for each in opened))


@pytest.fixture
def claude() -> Iterator[int]:
    """The pid of a process that can pass for Claude."""
    process = subprocess.Popen(["sleep", "600"])
    yield process.pid
    process.kill()
    process.wait()


@pytest.fixture
def hook(home: Home, claude: int) -> Run:
    """Run the hook as the client would: `hook("SessionStart")`."""
    return hook_script.runner(home, claude)
