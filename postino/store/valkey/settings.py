"""The settings of the embedded Valkey, and its valkey.conf."""

from __future__ import annotations

import os
import re
from pathlib import Path

from postino.paths import Home

#: Durability first. A running server is changed to these as well, so none may depend on the home.
SETTINGS = {
    "port": "0",
    "appendonly": "yes",
    "appendfsync": "always",  # everysec loses answered writes on a mere kill -9: the answer precedes the write
    "no-appendfsync-on-rewrite": "no",  # yes would suspend fsync during a rewrite, even under always
    "aof-load-truncated": "yes",  # a truncated last command was never answered
    "auto-aof-rewrite-percentage": "100",
    "auto-aof-rewrite-min-size": "16777216",  # bytes; most of it is deleted mail, which every start has to load
    "save": "",
    "maxmemory": "0",
    "maxmemory-policy": "noeviction",
    "enable-debug-command": "no",
}

_PLAIN = re.compile(rb"[A-Za-z0-9/._ -]")


def configuration(home: Home) -> bytes:
    """Return the content of valkey.conf."""
    paths = {
        "unixsocket": home.valkey_socket,
        "dir": home.data,
        "pidfile": home.data / "valkey.pid",
        "logfile": home.data / "valkey.log",
    }
    lines = [b"# Written by postino before each start of this server", b"daemonize yes", b"unixsocketperm 600"]
    lines += [b"%b %b" % (name.encode(), _quoted(value)) for name, value in (SETTINGS | paths).items()]
    return b"\n".join(lines) + b"\n"


def _quoted(value: str | Path) -> bytes:
    """Quote for Valkey's sdssplitargs, so that a directory may have any name."""
    octets = (bytes([number]) for number in os.fsencode(value))
    return b'"%b"' % b"".join(octet if _PLAIN.match(octet) else b"\\x%02x" % octet[0] for octet in octets)


def differing(actual: dict[str, str]) -> dict[str, str]:
    """Return the settings, with the values they should have, that differ from a server's actual ones."""
    return {name: value for name, value in SETTINGS.items() if actual.get(name) != value}
