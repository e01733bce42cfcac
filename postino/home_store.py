"""Which store a home uses, written into it, so that every start of its daemon takes the same one.

The file holds the address as it was configured, with its password: a daemon that a cron job starts without
POSTINO_VALKEY_URL needs it.
"""

from __future__ import annotations

import json
import re

from postino import private_files
from postino.errors import BadField
from postino.light import asdict, dataclass
from postino.paths import Home

DEFAULT_PREFIX = "po:"
MALFORMED = "(a malformed address)"
SWITCH = "`postino up --switch-store`"

_SERVER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:/?#@\[\]]+)(:[0-9]*)?")


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
        return self.address == other.address


def without_credentials(url: str) -> str:
    """Return `url` without user, password and query, for messages; MALFORMED if it is not certain which is which."""
    scheme, _, rest = url.partition("://")
    address = re.split("[?#]", rest, maxsplit=1)[0]
    place = address.rpartition("@")[2]
    server, slash, path = place.partition("/")
    known = bool(path) and not server if scheme.lower() == "unix" else bool(_SERVER.fullmatch(server))
    is_database = scheme.lower() == "unix" or not path or path.isdecimal()
    if not (known and is_database) or re.search("[@#]", rest[len(address) :]) or "/" in address.rpartition("@")[0]:
        return MALFORMED
    return f"{scheme.lower()}://{server}{slash}{path}"


def read(home: Home) -> HomeStore | None:
    """Return the store that the home remembers, or None if it has none yet.

    Raises:
        BadField: the file cannot be read.
    """
    try:
        found = json.loads(home.store.read_bytes())
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
    private_files.replace(home.store, json.dumps(asdict(store)))


def restore(home: Home, store: HomeStore | None) -> None:
    """Remember what `read` had returned before."""
    if store is not None:
        write(home, store)
    else:
        home.store.unlink(missing_ok=True)
