"""What a service manager or a container needs of the daemon that it runs: to hear how far it is, and a bounded log.

The messages are those of sd_notify(3): one datagram each, to the socket that NOTIFY_SOCKET names.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Mapping

import structlog

from postino.paths import Home
from postino.relay.starter import LOG_LIMIT

_log = structlog.get_logger()


class Supervisor:
    """The service manager that started this process, if one did. Each method returns at once and never fails.

    `ends_valkey`: the embedded Valkey ends with the daemon.
    """

    def __init__(self, environ: Mapping[str, str], *, ends_valkey: bool) -> None:
        self.ends_valkey = ends_valkey
        self._address = environ.get("NOTIFY_SOCKET", "")
        own = environ.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
        microseconds = environ.get("WATCHDOG_USEC", "")
        #: s between two signs of life, half of what the manager allows; None: it waits for none
        self._every_s = int(microseconds) / 2e6 if own and microseconds.isdecimal() else None
        self._told_at = 0.0

    def ready(self, status: str) -> None:
        """Say that the daemon serves."""
        self._tell(f"READY=1\nSTATUS={status}")

    def alive(self) -> None:
        """Say that the event loop turns, not more often than the manager needs to hear it."""
        if self._every_s is not None and time.monotonic() - self._told_at >= self._every_s:
            self._told_at = time.monotonic()
            self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that the daemon ends because it was told to."""
        self._tell("STOPPING=1")

    def _tell(self, state: str) -> None:
        if not self._address.startswith(("/", "@")):
            return
        address = self._address.replace("@", "\0", 1) if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto(state.encode(), address)
        except OSError as error:
            _log.warning("manager_not_told", reason=error.strerror, state=state.partition("\n")[0])


def shorten_log(home: Home) -> None:
    """Move a long log that is standard error to `daemon.log.1`.

    A service manager opens it only to append and keeps it open, so it cannot be renamed.
    """
    try:
        if not os.path.samestat(os.fstat(2), home.log.stat()) or home.log.stat().st_size <= LOG_LIMIT:
            return
        shutil.copyfile(home.log, home.log.with_name("daemon.log.1"))
        os.truncate(home.log, 0)
    except OSError as error:
        _log.warning("log_not_shortened", reason=error.strerror)
