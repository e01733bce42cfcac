"""The log of the daemon: what a library repeats is counted, not repeated."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import structlog

from postino import config
from postino.daemon import logs


@pytest.fixture
def library(capsys: Any) -> Iterator[logging.Logger]:
    """A library's logger, in a process that logs as a daemon does."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    logs.set_up(replace(config.load({"POSTINO_HOME": "/tmp/po"})[0], log_format="json"))
    yield logging.getLogger("asyncio")
    root.handlers[:], root.level = before, level
    structlog.reset_defaults()


def test_the_repeats_of_a_librarys_message_are_counted(library: logging.Logger, capsys: Any) -> None:
    record = library.makeRecord("asyncio", logging.ERROR, "x", 1, "cannot accept %s", ("it",), None)
    for created in (0.0, 0.1, 0.2, 5.0, 9.0):
        record.created = 1_000 + created
        library.handle(record)

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(each["message"], each.get("omitted")) for each in lines] == [
        ("cannot accept it", None),
        ("cannot accept it", 2),
        ("cannot accept it", None),
    ]
