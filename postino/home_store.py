"""Which store a home uses, written into it, so that every start of its daemon takes the same one.

The file holds the address as it was configured, with its password: a daemon that a cron job starts without
POSTINO_VALKEY_URL needs it.
"""

from __future__ import annotations

from postino import private_files
from postino.errors import BadField
from postino.json_text import dumps, loads
from postino.light import asdict, dataclass
from postino.paths import Home
from postino.store_address import without_credentials

DEFAULT_PREFIX = "po:"
SWITCH = "`postino up --switch-store`"


@dataclass(frozen=True, slots=True)
class HomeStore:
    """A store: its address (`url` None: the embedded one), key prefix, and its own id, None until it has been asked."""

    url: str | None
    prefix: str
    id: str | None = None

    @property
    def address(self) -> str:
        """Where it is, for messages: without user, password and query."""
        where = "the embedded store" if self.url is None else without_credentials(self.url)
        return where if self.prefix == DEFAULT_PREFIX else f"{where} (prefix {self.prefix})"

    def same_address(self, other: HomeStore) -> bool:
        """Return whether both have the same address and prefix, whatever the password."""
        return _server_of(self.address) == _server_of(other.address)


def _server_of(address: str) -> str:
    """Return an address in one spelling: valkey:// and redis:// name the same server."""
    return address.replace("valkey", "redis", 1) if address.startswith("valkey") else address


def read(home: Home) -> HomeStore | None:
    """Return the store that the home remembers, or None if it has none yet.

    Raises:
        BadField: the file cannot be read.
    """
    try:
        found = loads(home.store.read_bytes())
        return HomeStore(**{name: found[name] for name in HomeStore.__slots__})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadField(
            f"{home.store}, which says what store this home uses, cannot be read ({type(error).__name__}); "
            f"set POSTINO_VALKEY_URL as before, or unset it for the embedded store, and run {SWITCH}",
            field="POSTINO_HOME",
        ) from None


def write(home: Home, store: HomeStore) -> None:
    """Remember `store`: the file is replaced as a whole and on disk when this returns, with mode 0600."""
    private_files.replace(home.store, dumps(asdict(store)))


def restore(home: Home, store: HomeStore | None) -> None:
    """Remember what `read` had returned before."""
    if store is not None:
        write(home, store)
    else:
        home.store.unlink(missing_ok=True)
