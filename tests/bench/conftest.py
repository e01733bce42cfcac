"""A benchmark in this process sets what is logged; tests that follow expect what was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """Undo what a benchmark configures."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
