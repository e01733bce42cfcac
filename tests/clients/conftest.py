"""The real Codex, Gemini CLI and opencode, each in a scratch HOME, talking to a scripted model on loopback.

The binaries are $CODEX_BINARY, $GEMINI_BINARY and $OPENCODE_BINARY, or those on PATH; where there is none its tests are
skipped.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from tests.clients.machine import Machine
from tests.clients.model import Model
from tests.scripted.machine import scratch_root
from tests.scripted.model import serving


@pytest.fixture
async def model() -> AsyncIterator[Model]:
    """A scripted model on loopback."""
    async with serving(Model()) as made:
        yield made


@pytest.fixture
def machine_of(model: Model) -> Iterator[Callable[[str], Machine]]:
    """Give a HOME with one client configured for the model, and a running daemon: `machine_of("codex")`."""
    with contextlib.ExitStack() as roots:

        def one(client: str) -> Machine:
            variable = f"{client.upper()}_BINARY"
            binary = os.environ.get(variable) or shutil.which(client)
            if binary is None:
                pytest.skip(f"no {client}: set {variable}, or put {client} on PATH")
            root = roots.enter_context(scratch_root())
            machine = Machine(root=root, client=client, binary=binary, model=model)
            machine.prepare()
            return machine

        yield one
