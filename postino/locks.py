"""A file lock that dies with its holder and says who that is: nothing is left to clean up after kill -9.

The lock belongs to the open file, so a child that inherits the descriptor goes on holding it: this is how the
embedded Valkey holds the lock of its data as long as it lives, whoever started it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from pathlib import Path

PROC = Path("/proc")


def take(path: Path, patience: float = 0.0) -> int | None:
    """Lock the file (made if missing) or directory `path`; return its descriptor, None while another process holds it.

    Tries again for `patience` seconds (blocking): `free` of another process takes the lock for an instant.

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
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT  # writable: NFS locks nothing else
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if leads_to(path, os.fstat(descriptor)):
            return descriptor  # else: removed or replaced since it was opened, this lock keeps nobody out
    os.close(descriptor)
    return None


def leads_to(path: Path, known: os.stat_result) -> bool:
    """Return whether `path` is still the file or directory that was known: not removed, moved away or replaced.

    What cannot be looked at counts as still there.
    """
    try:
        return os.path.samestat(known, path.stat())
    except OSError as error:
        return error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)


def free(path: Path) -> bool:
    """Return whether no process holds the lock `path`."""
    if not path.exists():
        return True
    descriptor = take(path)
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


def sign(descriptor: int) -> None:
    """Write this process's id into the lock it holds, for `signer`."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def signer(path: Path) -> int | None:
    """Return the process id written in `path`, a signed lock or a pid file; it may be long dead or reused."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def uses(pid: int, path: Path) -> bool:
    """Return whether process `pid` lives and has `path` open or as its working directory.

    This tells our process from a stranger that was given the same id later. Blocks for some 100 ms without /proc.
    """
    if not (PROC / "self" / "fd").is_dir():
        return pid in users(path)
    try:
        wanted = path.stat()
        links = [PROC / str(pid) / "cwd", *(PROC / str(pid) / "fd").iterdir()]
    except OSError:
        return False  # it has ended, or is another user's
    return any(_same(link, wanted) for link in links)


def _same(link: Path, wanted: os.stat_result) -> bool:
    try:
        return os.path.samestat(link.stat(), wanted)
    except OSError:
        return False  # closed meanwhile


def users(path: Path) -> set[int]:
    """Return every process that has `path` open or as its working directory. Blocks for some 10 to 100 ms."""
    if (PROC / "self" / "fd").is_dir():
        return {pid for pid in (int(each.name) for each in PROC.iterdir() if each.name.isdigit()) if uses(pid, path)}
    import subprocess

    listing = subprocess.run(["lsof", "-t", "--", str(path)], capture_output=True, text=True, timeout=10, check=False)
    return {int(line) for line in listing.stdout.split()}
