"""The files in POSTINO_HOME, and where lua/ and plugin/ are installed."""

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
    """One POSTINO_HOME and the paths of its files."""

    root: Path

    @property
    def socket(self) -> Path:
        """The unix socket on which the daemon listens."""
        return self.root / "daemon.sock"

    @property
    def lock(self) -> Path:
        """Locked (flock) while a daemon serves this home."""
        return self.root / "daemon.lock"

    @property
    def starting(self) -> Path:
        """Locked (flock) while a process starts a daemon."""
        return self.root / "daemon.start"

    @property
    def info(self) -> Path:
        """Description of the serving daemon: pid, url, version, settings."""
        return self.root / "daemon.json"

    @property
    def slow(self) -> Path:
        """Made by a hook that got no answer in time; while it is there and new, hooks do not call the daemon."""
        return self.root / "hooks.slow"

    @property
    def store(self) -> Path:
        """Which store this home uses, see home_store."""
        return self.root / "store.json"

    @property
    def tokens(self) -> Path:
        """The named tokens, hashed, see rest.named_tokens."""
        return self.root / "tokens.json"

    @property
    def service(self) -> Path:
        """The shell command that starts the daemon where a service manager runs it, see relay.starter."""
        return self.root / "service"

    @property
    def log(self) -> Path:
        """Log of a daemon started in the background."""
        return self.root / "daemon.log"

    @property
    def valkey_socket(self) -> Path:
        """The unix socket on which the embedded Valkey listens."""
        return self.root / "valkey.sock"

    @property
    def data(self) -> Path:
        """The embedded Valkey's append-only files, log and pid file."""
        return self.root / "data"

    def prepare(self) -> Home:
        """Create the directory with mode 0700, or check the existing one and leave its mode; return self.

        Raises:
            BadField: the directory cannot be used.
        """
        refusal = prepare(str(self.root))
        if refusal is not None:
            raise BadField(refusal, field="POSTINO_HOME")
        return self


def folder(kind: str) -> Traversable:
    """Return the directory lua/ or plugin/ of the installed package, or else of the checkout around it."""
    from importlib import resources  # 5 ms, which most commands need not pay

    packaged = resources.files("postino") / "_data" / kind
    if packaged.is_dir():
        return packaged
    root = Path(__file__).resolve().parent.parent
    if (root / "pyproject.toml").is_file() and (root / kind).is_dir():
        return root / kind
    raise FileNotFoundError(f"postino was installed without its {kind}/ files; install it again")
