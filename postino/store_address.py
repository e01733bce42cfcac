"""The address of a store: one server, the Sentinels that know the primary of a name, or nodes of a cluster."""

from __future__ import annotations

from postino.light import dataclass, pattern

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from typing import Literal

MALFORMED = "(a malformed address)"

#: what follows the scheme's `+` -> the port of a server that is named without one
PORTS = {"": 6379, "sentinel": 26379, "cluster": 6379}
TLS = {"redis": False, "valkey": False, "rediss": True, "valkeys": True}
QUERY = frozenset({"db", "username", "password", "client_name"})  # and ssl_*, which is passed on whatever it is
OF_SENTINELS = frozenset({"sentinel_username", "sentinel_password"})  # the Sentinels have users of their own

#: options of redis-py that would change what the store relies on; any other name may be a part of a password
_NOT_TAKEN = {"protocol", "retry", "timeout", "max_connections", "health_check_interval", "decode_responses"}
_NOT_TAKEN |= {"encoding", "socket_timeout", "socket_connect_timeout", "socket_keepalive", "retry_on_timeout", "host"}

_SERVER = r"(\[[0-9A-Fa-f:.]+\]|[^:/?#@\[\],]+)(?::([0-9]*))?"
_NAME = r"[A-Za-z0-9._-]+"
_SCHEMES = "redis, rediss, valkey or valkeys, each also with +sentinel or +cluster, or unix"


class BadAddress(ValueError):
    """An address that is not allowed; the message says why and shows nothing that could be a password."""


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed address. `servers` are (host, port); of a unix socket none. `name` is what the Sentinels call it."""

    kind: Literal["server", "unix", "sentinel", "cluster"]
    tls: bool
    servers: tuple[tuple[str, int], ...]
    name: str
    #: the address as redis-py takes it, up to its host: `redis://user:password@`
    head: str
    #: what follows its host and port: `/0?ssl_ca_certs=...`
    tail: str
    sentinel_user: str | None = None
    sentinel_password: str | None = None

    def of(self, host: str, port: int) -> str:
        """Return the address of one data node as redis-py takes it, with user and password."""
        host = f"[{host}]" if ":" in host else host
        return f"{self.head}{host}:{port}{self.tail}"


def without_credentials(url: str) -> str:
    """Return `url` without user, password and query, for messages; MALFORMED if it is not certain which is which."""
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    address = pattern("[?#]").split(rest, maxsplit=1)[0]
    place = address.rpartition("@")[2]
    servers, slash, path = place.partition("/")
    if scheme == "unix":
        known = bool(path) and not servers
    elif "+" in scheme:
        known = all(map(pattern(_SERVER).fullmatch, servers.split(",")))
        known = known and bool(pattern(_NAME).fullmatch(path) if scheme.endswith("+sentinel") else not path)
    else:
        known = bool(pattern(_SERVER).fullmatch(servers)) and (not path or path.isdecimal())
    if not known or pattern("[@#]").search(rest[len(address) :]) or "/" in address.rpartition("@")[0]:
        return MALFORMED
    return f"{scheme}://{servers}{slash}{path}"


def parse(text: str) -> Address:
    """Return the parts of an address.

    Raises:
        BadAddress: it is malformed, or holds an option that postino does not take.
    """
    scheme, colon, rest = text.partition("://")
    base, plus, kind = scheme.lower().partition("+")
    if not colon or (base not in TLS and base != "unix"):
        raise BadAddress(f"it must begin with {_SCHEMES}, and ://")
    if plus and (base == "unix" or kind not in ("sentinel", "cluster")):
        raise BadAddress(f"its scheme must be {_SCHEMES}")
    bracketed = pattern(r"[\[\]].*@").search(rest)
    if bracketed or without_credentials(text) == MALFORMED or rest.split("?")[0].count("@") > 1:
        raise BadAddress(_malformed(kind))
    place, _, query = rest.partition("?")
    credentials, at, place = place.rpartition("@")
    options = _options(query, kind)
    if base == "unix":
        return Address("unix", False, (), "", f"unix://{credentials}{at}", f"{place}{_tail(query)}")
    hosts, slash, path = place.partition("/")
    servers = tuple(_server(each, PORTS[kind]) for each in hosts.split(","))
    return Address(
        kind=kind or "server",  # type: ignore[arg-type]
        tls=TLS[base],
        servers=servers,
        name=path if kind == "sentinel" else "",
        head=f"{'rediss' if TLS[base] else 'redis'}://{credentials}{at}",
        tail=f"{'' if kind else slash + path}{_tail(query)}",
        sentinel_user=options.get("sentinel_username"),
        sentinel_password=options.get("sentinel_password"),
    )


def _malformed(kind: str) -> str:
    if kind == "sentinel":
        return "it must be redis+sentinel://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT],.../NAME, the name of the primary"
    if kind == "cluster":
        return "it must be redis+cluster://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT],... without a path"
    return "it is malformed"


def _server(text: str, port: int) -> tuple[str, int]:
    from urllib.parse import unquote  # 5 ms that not every command needs

    found = pattern(_SERVER).fullmatch(text)
    assert found is not None
    number = int(found[2]) if found[2] else port
    if not 0 < number < 65536:
        raise BadAddress("a port must be 1 to 65535")
    return unquote(found[1]).strip("[]"), number


def _options(query: str, kind: str) -> dict[str, str]:
    from urllib.parse import parse_qsl

    options = dict(parse_qsl(query, keep_blank_values=True))
    for name, value in options.items():
        if name.startswith("ssl_") or name in QUERY or (kind == "sentinel" and name in OF_SENTINELS):
            if name == "db" and not value.isdecimal():
                raise BadAddress("its option db must be a number")
        elif name in _NOT_TAKEN:
            raise BadAddress(f"it holds the option {name}, which postino does not take; it takes {_taken(kind)}")
        else:
            raise BadAddress(f"it holds an option that postino does not take; it takes {_taken(kind)}")
    return options


def _taken(kind: str) -> str:
    names = QUERY | OF_SENTINELS if kind == "sentinel" else QUERY
    return f"{', '.join(sorted(names))} and ssl_*"


def _tail(query: str) -> str:
    """Return a query without the options that are for the Sentinels alone."""
    kept = "&".join(each for each in query.split("&") if each.partition("=")[0] not in OF_SENTINELS)
    return f"?{kept}" if kept else ""
