"""The files in POSTINO_HOME, and where lua/ and plugin/ are installed."""

from __future__ import annotations

import os

from postino.errors import BadField
from postino.home import SOCKET, prepare

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from pathlib import Path

INFO = "daemon.json"


class SocketPath(os.PathLike[str]):
    """The path of a unix socket. Importing pathlib would cost a quick command 4 ms."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __fspath__(self) -> str:
        return self._text

    __str__ = __fspath__


class _File:
    """The path of a file of a home."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, home: Home, _: type[Home]) -> Path:
        return home.root / self._name


class Home:
    """One POSTINO_HOME, by its absolute path, and the paths of its files."""

    __slots__ = ("folder",)

    socket = _File(SOCKET)  # the unix socket on which the daemon listens
    lock = _File("daemon.lock")  # locked (flock) while a daemon serves this home
    starting = _File("daemon.start")  # locked (flock) while a process starts a daemon
    info = _File(INFO)  # description of the serving daemon: pid, url, version, settings
    slow = _File("hooks.slow")  # made by a hook that got no answer in time; while it is new, hooks call no daemon
    store = _File("store.json")  # which store this home uses, see home_store
    tokens = _File("tokens.json")  # the named tokens, hashed, see rest.named_tokens
    person_key = _File("person.key")  # of the proofs with which a signed-in page sends as a person, see rest.proofs
    service = _File("service")  # the shell command that starts the daemon as a service, see relay.starter
    log = _File("daemon.log")  # of a daemon started in the background
    valkey_socket = _File("valkey.sock")  # on which the embedded Valkey listens
    data = _File("data")  # the embedded Valkey's append-only files, log and pid file

    def __init__(self, root: str | Path) -> None:
        self.folder = os.fspath(root)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Home) and self.folder == other.folder

    def __hash__(self) -> int:
        return hash(self.folder)

    def __repr__(self) -> str:
        return f"Home({self.folder!r})"

    @property
    def root(self) -> Path:
        """The directory."""
        from pathlib import Path  # 4 ms, which a quick command need not pay

        return Path(self.folder)

    @property
    def address(self) -> SocketPath:
        """`socket` for a client, without importing pathlib."""
        return SocketPath(f"{self.folder}/{SOCKET}")

    @property
    def info_file(self) -> str:
        """`info` as text."""
        return f"{self.folder}/{INFO}"

    def prepare(self) -> Home:
        """Create the directory with mode 0700, or check the existing one and give it that mode; return self.

        Raises:
            BadField: the directory cannot be used.
        """
        refusal = prepare(self.folder)
        if refusal is not None:
            raise BadField(refusal, field="POSTINO_HOME")
        return self


def folder(kind: str) -> Traversable:
    """Return the directory lua/ or plugin/ of the installed package, or else of the checkout around it."""
    from importlib import resources  # 5 ms, which most commands need not pay
    from pathlib import Path

    packaged = resources.files("postino") / "_data" / kind
    if packaged.is_dir():
        return packaged
    root = Path(__file__).resolve().parent.parent
    if (root / "pyproject.toml").is_file() and (root / kind).is_dir():
        return root / kind
    raise FileNotFoundError(f"postino was installed without its {kind}/ files; install it again")
