"""The standard streams of every command: output is written completely, or the command gets an error."""

from __future__ import annotations

import io
import os
import select
import sys
import time

from postino.errors import BadRequest

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PROGRESS_S = 0.2  # between two lines of progress


class _BlockingFile(io.FileIO):
    """A file whose `write` waits if it is a full pipe in non-blocking mode."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write some of `data` and return how many bytes."""
        while (done := super().write(data)) is None:
            select.select([], [self], [])
        return done


def prepare() -> None:
    """Open /dev/null for closed standard streams, and make standard output write everything."""
    _replace_closed()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = _complete_writer(sys.stdout)


def require_stdout() -> None:
    """Raise BadRequest if standard output was closed at the start: what is read and not shown would be lost."""
    if sys.__stdout__ is None:
        raise BadRequest("standard output is closed, so nothing was read; open it and try again")


class Progress:
    """One changing line on standard error about long work; none if that is no terminal, or in the first second."""

    def __init__(self) -> None:
        self._next = time.monotonic() + 1.0
        self._shown = False

    def __enter__(self) -> Progress:
        return self

    def show(self, text: str) -> None:
        """Replace the line, unless that was done a moment ago."""
        if time.monotonic() >= self._next and sys.stderr.isatty():
            self._next = time.monotonic() + PROGRESS_S
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
            self._shown = True

    def __exit__(self, *_: object) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _replace_closed() -> None:
    """Open /dev/null for closed streams: otherwise the next file or socket gets their descriptor and their output."""
    if sys.stdin is None:
        os.open(os.devnull, os.O_RDONLY)  # sys.stdin stays None: closed is not the same as empty
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            null = io.FileIO(os.open(os.devnull, os.O_WRONLY), "w", closefd=False)
            setattr(sys, name, io.TextIOWrapper(io.BufferedWriter(null)))


def _complete_writer(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """Return a writer to the same file that writes everything; characters that its encoding lacks are escaped.

    With PYTHONUNBUFFERED, Python's own writer loses the rest if the file takes only a part.
    """
    raw = stream.buffer.raw if isinstance(stream.buffer, io.BufferedWriter) else stream.buffer
    if not isinstance(raw, io.FileIO):
        return stream
    writer = io.BufferedWriter(_BlockingFile(raw.fileno(), "wb", closefd=False))
    unbuffered = stream.line_buffering or stream.write_through
    return io.TextIOWrapper(writer, stream.encoding, "backslashreplace", line_buffering=unbuffered)
