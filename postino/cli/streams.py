"""Standard output as every command finds it: what it takes goes out whole, or the command hears of it."""

from __future__ import annotations

import io
import select
import sys
from typing import TYPE_CHECKING

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
    """Put a whole and patient writer under sys.stdout; what the terminal can not show is escaped.

    Under PYTHONUNBUFFERED Python writes to the file itself, which may take a part, and forgets the rest.
    """
    stream = sys.stdout
    if not isinstance(stream, io.TextIOWrapper):
        return
    raw = stream.buffer.raw if isinstance(stream.buffer, io.BufferedWriter) else stream.buffer
    if not isinstance(raw, io.FileIO):
        return
    whole = io.BufferedWriter(_Patient(raw.fileno(), "wb", closefd=False))
    at_once = stream.line_buffering or stream.write_through
    sys.stdout = io.TextIOWrapper(whole, stream.encoding, "backslashreplace", line_buffering=at_once)
