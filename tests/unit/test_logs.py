"""The log of the daemon: what a library repeats is counted, not repeated."""

from __future__ import annotations

import logging

from structlog.testing import capture_logs

from postino.daemon.logs import _LibraryHandler


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
