"""POSTINO_HOME and what lies in it; lua/ and plugin/ wherever this copy of postino keeps them."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from postino.errors import BadField

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

#: longest path an AF_UNIX address holds, less the final NUL: 104 on macOS and BSD, 108 on Linux
SOCKET_PATH_BYTES = 107 if os.uname().sysname == "Linux" else 103
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Home:
    """The files of one POSTINO_HOME."""

    root: Path

    @property
    def socket(self) -> Path:
        """Where the daemon listens."""
        return self.root / "daemon.sock"

    @property
    def lock(self) -> Path:
        """Held by flock as long as a daemon serves this home."""
        return self.root / "daemon.lock"

    @property
    def starting(self) -> Path:
        """Held by flock by whoever starts a daemon."""
        return self.root / "daemon.start"

    @property
    def info(self) -> Path:
        """What the serving daemon says of itself: pid, url, version."""
        return self.root / "daemon.json"

    @property
    def log(self) -> Path:
        """Where a daemon started in the background writes."""
        return self.root / "daemon.log"

    @property
    def valkey_socket(self) -> Path:
        """Where the embedded Valkey listens."""
        return self.root / "valkey.sock"

    @property
    def data(self) -> Path:
        """The embedded Valkey's append-only files, log and pid file."""
        return self.root / "data"

    def prepare(self) -> Home:
        """Create the directory, mode 0700, or check the one that is there, whose mode stays; return self.

        The relay has its own copy of these rules, `start.home_of`.

        Raises:
            BadField: the path is too long for a socket, is no directory, or others own it or may write to it.
        """
        longest = len(os.fsencode(self.valkey_socket))
        if longest > SOCKET_PATH_BYTES:
            raise BadField(
                f"POSTINO_HOME is too long for a socket: {self.valkey_socket} has {longest} bytes, "
                f"at most {SOCKET_PATH_BYTES} fit; choose a shorter directory",
                field="POSTINO_HOME",
            )
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.root.stat()
        except OSError as error:
            raise BadField(
                f"POSTINO_HOME {self.root} can not be used: {error.strerror}", field="POSTINO_HOME"
            ) from None
        if found.st_uid != os.getuid():
            raise BadField(f"POSTINO_HOME {self.root} belongs to uid {found.st_uid}, not to you", field="POSTINO_HOME")
        if found.st_mode & WRITABLE_BY_OTHERS:  # only readable by them is safe: every file in it is private
            raise BadField(
                f"POSTINO_HOME {self.root} has mode {stat.S_IMODE(found.st_mode):04o}, so others could put their files "
                "in place of postino's; take that from them (chmod go-w) or choose another directory",
                field="POSTINO_HOME",
            )
        return self


def folder(kind: str) -> Traversable:
    """Return lua/, plugin/ or hooks/: from the installed package, else from the checkout around it."""
    from importlib import resources  # costs 5 ms, which every command would pay

    packaged = resources.files("postino") / "_data" / kind
    if packaged.is_dir():
        return packaged
    root = Path(__file__).resolve().parent.parent
    if (root / "pyproject.toml").is_file() and (root / kind).is_dir():
        return root / kind
    raise FileNotFoundError(f"postino was installed without its {kind}/ files")
