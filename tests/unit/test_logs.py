"""The daemon's log: no values of local variables, which may be bodies and secrets."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog

from postino.config import load
from postino.daemon import logs


@pytest.fixture
def logging_restored() -> Iterator[None]:
    """Undo what `set_up` changes in this process."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("logging_restored")
def test_a_traceback_on_a_terminal_shows_no_local_variables_whatever_is_installed() -> None:
    logs.set_up(load({"POSTINO_LOG_FORMAT": "console"})[0])

    renderer = structlog.get_config()["processors"][-1]
    assert renderer.exception_formatter is structlog.dev.plain_traceback  # that of rich would show them
