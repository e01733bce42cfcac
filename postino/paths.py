"""POSTINO_HOME and what lies in it; lua/ and plugin/ wherever this copy of postino keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from postino.errors import BadField
from postino.home import prepare

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


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

        Raises:
            BadField: it cannot be used; says why.
        """
        refusal = prepare(str(self.root))
        if refusal is not None:
            raise BadField(refusal, field="POSTINO_HOME")
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
