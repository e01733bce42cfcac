"""The standard streams as every command finds them: what output takes goes out whole, or the command hears of it."""

from __future__ import annotations

import io
import os
import select
import sys
from typing import TYPE_CHECKING

from postino.errors import BadRequest

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Patient(io.FileIO):
    """A file that waits where a pipe set to non-blocking is full."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write a part of `data` and return its length."""
        while (done := super().write(data)) is None:
            select.select([], [self], [])
        return done


def prepare() -> None:
    """Let every command find streams it can write to: a whole and patient one, or nowhere where the shell closed it."""
    _fill_in()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = _whole(sys.stdout)


def must_show() -> None:
    """Return if standard output was open when we were started: what is read is gone once it counts as seen.

    Raises:
        BadRequest: it was closed.
    """
    if sys.__stdout__ is None:
        raise BadRequest("standard output is closed: nothing was read, for nobody would see it")


def _fill_in() -> None:
    """Open /dev/null for what is closed: the next file or socket would get its number, and be written to."""
    if sys.stdin is None:
        os.open(os.devnull, os.O_RDONLY)  # sys.stdin stays None: nothing is not an empty input
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            nowhere = io.FileIO(os.open(os.devnull, os.O_WRONLY), "w", closefd=False)
            setattr(sys, name, io.TextIOWrapper(io.BufferedWriter(nowhere)))


def _whole(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """Return a writer to the same file that waits until it has taken all; what a terminal cannot show is escaped.

    Under PYTHONUNBUFFERED Python writes to the file itself, which may take a part, and forgets the rest.
    """
    raw = stream.buffer.raw if isinstance(stream.buffer, io.BufferedWriter) else stream.buffer
    if not isinstance(raw, io.FileIO):
        return stream
    whole = io.BufferedWriter(_Patient(raw.fileno(), "wb", closefd=False))
    at_once = stream.line_buffering or stream.write_through
    return io.TextIOWrapper(whole, stream.encoding, "backslashreplace", line_buffering=at_once)
