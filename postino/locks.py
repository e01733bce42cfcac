"""File locks (flock) that the kernel drops when their holder ends, so nothing is left to clean up after kill -9.

The lock belongs to the open file: a child that inherits the descriptor keeps holding it. The embedded Valkey holds the
lock of its data directory this way, whichever process started it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from pathlib import Path

PROC = Path("/proc")


def acquire(path: Path, patience: float = 0.0) -> int | None:
    """Lock the file (created if missing) or directory `path`; return its descriptor, or None if another process has it.

    Retries for `patience` seconds, blocking: `is_free` in another process holds the lock for an instant.

    Raises:
        OSError: the file cannot be created or locked.
    """
    deadline = time.monotonic() + patience
    while True:
        descriptor = _try(path)
        if descriptor is not None or time.monotonic() >= deadline:
            return descriptor
        time.sleep(0.01)


def _try(path: Path) -> int | None:
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT  # NFS locks only files opened for writing
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_same_file(path, os.fstat(descriptor)):
            return descriptor  # otherwise the path was removed or replaced since the open: the lock excludes nobody
    os.close(descriptor)
    return None


def is_same_file(path: Path, known: os.stat_result) -> bool:
    """Return whether `path` is still the file or directory of `known`: not removed, moved or replaced.

    A path that cannot be examined counts as unchanged.
    """
    try:
        return os.path.samestat(known, path.stat())
    except OSError as error:
        return error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)


def is_free(path: Path) -> bool:
    """Return whether no process holds the lock `path`."""
    if not path.exists():
        return True
    descriptor = acquire(path)
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


def write_pid(descriptor: int) -> None:
    """Write this process's id into the lock file it holds, for `read_pid`."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def read_pid(path: Path) -> int | None:
    """Return the process id in `path`, a lock file or pid file; that process may have ended, or its id be reused."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def has_open(pid: int, path: Path) -> bool:
    """Return whether process `pid` lives and has `path` open or as its working directory.

    This distinguishes our process from an unrelated one that got the same id later. Blocks for about 100 ms where
    there is no /proc.
    """
    if not (PROC / "self" / "fd").is_dir():
        return pid in holders(path)
    try:
        wanted = path.stat()
        links = [PROC / str(pid) / "cwd", *(PROC / str(pid) / "fd").iterdir()]
    except OSError:
        return False  # it has ended or belongs to another user
    return any(_is_same(link, wanted) for link in links)


def _is_same(link: Path, wanted: os.stat_result) -> bool:
    try:
        return os.path.samestat(link.stat(), wanted)
    except OSError:
        return False  # closed meanwhile


def holders(path: Path) -> set[int]:
    """Return every process that has `path` open or as its working directory. Blocks for 10 to 100 ms."""
    if (PROC / "self" / "fd").is_dir():
        pids = (int(each.name) for each in PROC.iterdir() if each.name.isdigit())
        return {pid for pid in pids if has_open(pid, path)}
    import subprocess

    listing = subprocess.run(["lsof", "-t", "--", str(path)], capture_output=True, text=True, timeout=10, check=False)
    return {int(line) for line in listing.stdout.split()}
