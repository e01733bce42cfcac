"""What the embedded Valkey is told, and how that is written into its valkey.conf."""

from __future__ import annotations

import os
import re
from pathlib import Path

from postino.paths import Home

#: Durability first. An adopted server is brought to these too, so none may depend on the home.
SETTINGS = {
    "port": "0",
    "appendonly": "yes",
    "appendfsync": "always",  # everysec loses answered writes on a mere kill -9: the answer precedes the write
    "no-appendfsync-on-rewrite": "no",  # yes: no fsync at all during a rewrite, even under always
    "aof-load-truncated": "yes",  # a torn last command was never answered
    "auto-aof-rewrite-percentage": "100",
    "auto-aof-rewrite-min-size": "16777216",  # bytes; little of it is live, and every start has to load it
    "save": "",
    "maxmemory": "0",
    "maxmemory-policy": "noeviction",
    "enable-debug-command": "no",
}

_PLAIN = re.compile(rb"[A-Za-z0-9/._ -]")


def configuration(home: Home) -> bytes:
    """Return the text of valkey.conf."""
    place = {
        "unixsocket": home.valkey_socket,
        "dir": home.data,
        "pidfile": home.data / "valkey.pid",
        "logfile": home.data / "valkey.log",
    }
    lines = [b"# Written by postino before each start of this server", b"daemonize yes", b"unixsocketperm 600"]
    lines += [b"%b %b" % (name.encode(), _quoted(value)) for name, value in (SETTINGS | place).items()]
    return b"\n".join(lines) + b"\n"


def _quoted(value: str | Path) -> bytes:
    """Quote as Valkey's sdssplitargs reads it, so that a directory may have any name."""
    octets = (bytes([number]) for number in os.fsencode(value))
    return b'"%b"' % b"".join(octet if _PLAIN.match(octet) else b"\\x%02x" % octet[0] for octet in octets)


def differing(have: dict[str, str]) -> dict[str, str]:
    """Return the settings that a server which has `have` should have instead."""
    return {name: value for name, value in SETTINGS.items() if have.get(name) != value}
