"""The settings of the embedded Valkey, and its valkey.conf."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from postino.paths import Home
from postino.values import LEAST_MEMORY

#: Durability first. A running server is changed to these as well, so none may depend on the home. To them comes
#: maxmemory: without a limit the machine's own would end the server, again and again while it loads its data.
SETTINGS = {
    "port": "0",
    "appendonly": "yes",
    "appendfsync": "always",  # everysec loses answered writes on a mere kill -9: the answer precedes the write
    "no-appendfsync-on-rewrite": "no",  # yes would suspend fsync during a rewrite, even under always
    "aof-load-truncated": "no",  # it would cut a torn end without a word; see aof.py
    "auto-aof-rewrite-percentage": "100",
    "auto-aof-rewrite-min-size": "16777216",  # bytes; most of it is deleted mail, which every start has to load
    "save": "",
    "maxmemory-policy": "noeviction",
    "enable-debug-command": "no",
}

_PLAIN = re.compile(rb"[A-Za-z0-9/._ -]")


def wanted(max_memory: int | None) -> dict[str, str]:
    """Return the settings with the memory limit in bytes, by default `default_memory`."""
    return SETTINGS | {"maxmemory": str(max_memory or default_memory())}


def default_memory() -> int:
    """Return a quarter of the machine's memory, or of the limit of this process's cgroup if that is lower, in bytes."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *cgroup_limits()]
    return max(LEAST_MEMORY, min(limits) // 4)


def cgroup_limits(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """Return the memory limits in bytes of this process's cgroup and of those around it; [] where there are none."""
    found = [root / "memory" / "memory.limit_in_bytes"]  # version 1, as containers see their own
    with contextlib.suppress(OSError):
        for line in proc.read_text().splitlines():
            if line.startswith("0::/"):
                inner = root / line[4:]
                found += [each / "memory.max" for each in (inner, *inner.parents) if each.is_relative_to(root)]
    limits = []
    for file in found:
        with contextlib.suppress(OSError, ValueError):  # "max"
            limits.append(int(file.read_text()))
    return limits


def configuration(home: Home, settings: dict[str, str]) -> bytes:
    """Return the content of valkey.conf."""
    paths = {
        "unixsocket": home.valkey_socket,
        "dir": home.data,
        "pidfile": home.data / "valkey.pid",
        "logfile": home.data / "valkey.log",
    }
    lines = [b"# Written by postino before each start of this server", b"daemonize yes", b"unixsocketperm 600"]
    lines += [b"%b %b" % (name.encode(), _quoted(value)) for name, value in (settings | paths).items()]
    return b"\n".join(lines) + b"\n"


def _quoted(value: str | Path) -> bytes:
    """Quote for Valkey's sdssplitargs, so that a directory may have any name."""
    octets = (bytes([number]) for number in os.fsencode(value))
    return b'"%b"' % b"".join(octet if _PLAIN.match(octet) else b"\\x%02x" % octet[0] for octet in octets)


def differing(settings: dict[str, str], actual: dict[str, str]) -> dict[str, str]:
    """Return those of `settings` that differ from a server's actual ones."""
    return {name: value for name, value in settings.items() if actual.get(name) != value}
