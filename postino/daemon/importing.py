"""Imports of the daemon's heavy modules, without what they would do for uses that a daemon has none of."""

from __future__ import annotations

import contextlib
import ssl
import sys
from collections.abc import Iterator
from typing import Any


def import_http() -> None:
    """Import what serves HTTP, in a thread of its own, for some 150 ms; then let the garbage collector work."""
    from postino.mcp.face import SWITCH_S, spare_collector  # not above: it imports structlog

    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        with without_certificates():
            import postino.daemon.http_face  # noqa: F401
    finally:
        sys.setswitchinterval(interval)
    spare_collector()


@contextlib.contextmanager
def without_certificates() -> Iterator[None]:
    """Load no certificates while modules are imported.

    aiohttp makes a TLS context for its client, which nothing here uses, with the 140 certificates of the system: 55 ms
    and 2 MB. A context made afterwards, such as the listener's, is not concerned.
    """
    made = ssl.create_default_context
    ssl.create_default_context = lambda *_, **__: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        yield
    finally:
        ssl.create_default_context = made


@contextlib.contextmanager
def without_rich() -> Iterator[None]:
    """Hide rich while modules are imported: structlog loads it where it is installed, for tracebacks that are not used.

    The extra `tui` brings it; it takes as long as structlog itself.
    """
    hidden: dict[str, Any] = sys.modules
    if "rich" in hidden:
        yield
        return
    hidden["rich"] = None
    try:
        yield
    finally:
        del hidden["rich"]
