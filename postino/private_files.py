"""Files that hold what only this user may know: read whole, and replaced whole."""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from pathlib import Path

LONGEST = 65_536  # bytes of a file with one secret


def read_secret(path: Path) -> bytes:
    """Return the content of the regular file at an absolute path, at most LONGEST bytes.

    Raises:
        OSError: with the reason as `strerror`.
    """
    if not path.is_absolute():  # a daemon is started in another directory
        raise OSError(errno.EINVAL, "the path is not absolute")
    # a pipe can be read only once, and the daemon that is started from here reads it again
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    with path.open("rb") as file:
        content = file.read(LONGEST + 1)
    if len(content) > LONGEST:
        raise OSError(errno.EFBIG, f"it has more than {LONGEST} bytes")
    return content


def replace(path: Path, content: str | bytes, *, on_disk: bool = True) -> None:
    """Write a file with mode 0600: it is replaced as a whole and, unless `on_disk` is false, on disk at the return.

    Raises:
        OSError: with the path, also of a write that fails, of which the system says only why.
    """
    data = content.encode() if isinstance(content, str) else content
    draft = path.with_suffix(".new")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
            if on_disk:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
