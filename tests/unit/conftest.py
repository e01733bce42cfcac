"""A socket that behaves badly, for the tests of the client."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.badly import Badly


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="po", dir="/tmp") as folder:
        yield Path(folder, "daemon.sock")


@pytest.fixture
def daemon(path: Path) -> Iterator[Badly]:
    badly = Badly(path)
    yield badly
    badly.close()
