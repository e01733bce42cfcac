"""The log of the daemon: the repeats of a library are counted, and no values of local variables are shown."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import capture_logs

from postino.config import load
from postino.daemon import logs
from postino.daemon.logs import _LibraryHandler


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


def test_the_repeats_of_a_librarys_message_are_counted() -> None:
    handler = _LibraryHandler()
    record = logging.LogRecord("asyncio", logging.ERROR, "x", 1, "cannot accept %s", ("it",), None)
    with capture_logs() as lines:
        for created in (0.0, 0.1, 0.2, 5.0, 9.0):
            record.created = 1_000 + created
            handler.handle(record)

    assert [(each["message"], each.get("omitted")) for each in lines] == [
        ("cannot accept it", None),
        ("cannot accept it", 2),
        ("cannot accept it", None),
    ]
