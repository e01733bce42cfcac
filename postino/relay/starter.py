"""Start a daemon in the background, for the relay and for the command line. Standard library only.

Many processes can miss a daemon in the same moment. The one that holds the lock `daemon.start` starts the next; the
others wait for it, but no longer than RESTART. None is started while one runs, whether or not it answers yet: on a
busy machine a start takes long, and a second one would make it longer. A daemon that finds another one serving exits
with 0, so starting two does no harm.
"""

from __future__ import annotations

import os
import sys

from postino.home import printable

TYPE_CHECKING = False  # of typing, whose import would cost every relay 4 ms and 0.6 MB
if TYPE_CHECKING:
    from collections.abc import Mapping
    from subprocess import Popen

LOG_LIMIT = 8 << 20  # bytes of daemon.log after which a start renames it to daemon.log.1
RESTART = 5.0  # s between two starts of daemons that do not live, and the longest wait for another process to start one
TAIL = 8192  # bytes at the end of the log in which last words are searched
WORDS = 500  # characters of last words that are quoted

#: every daemon this process has started, kept so that one that ends is reaped and Python warns of none that runs
_children: list[Popen[bytes]] = []


class Starter:
    """Starts daemons for one home.

    `failure` is a sentence about why the last start failed, or empty. `exitcode` is that daemon's, None if it was not
    started. `starts` counts the daemons started.
    """

    def __init__(self, home: str, environ: Mapping[str, str]) -> None:
        self.home = home
        self.failure = ""
        self.exitcode: int | None = None
        self.starts = 0
        self._environ = daemon_environ(home, environ)
        self._child: Popen[bytes] | None = None  # the daemon started last, until it answers or ends
        self._log_start = 0  # bytes that the log had before it
        self._lock: int | None = None  # descriptor of `daemon.start`, while held
        self._blocked_since: float | None = None  # when another process was first seen to hold it

    @property
    def starting(self) -> bool:
        """Whether a daemon started here runs that has not answered yet, as of the last `reap`."""
        return self._child is not None

    def start(self, now: float) -> bool:
        """Start a daemon unless one runs or another process is starting one; return whether this one tried.

        Sets `failure`.

        `now` is `time.monotonic()`.
        """
        self.failure, self.exitcode = "", None
        try:
            if not self._take_turn(now):
                return False
            self.starts += 1
            self._child, self._log_start = start_daemon(self.home, self._environ)
        except OSError as error:
            self.close()
            self.failure = f"The postino daemon cannot be started: {error.strerror}"
        return True

    def _take_turn(self, now: float) -> bool:
        from pathlib import Path  # with locks 5 ms, for the few relays that ever start a daemon

        from postino import locks

        if not locks.is_free(Path(self.home, "daemon.lock")):
            return False  # one runs
        if self._lock is not None:
            return True
        self._lock = locks.acquire(Path(self.home, "daemon.start"))
        if self._lock is not None:
            self._blocked_since = None
            return True
        if self._blocked_since is None:
            self._blocked_since = now
        return now - self._blocked_since >= RESTART  # its holder is suspended, or its daemon hangs

    def served(self) -> None:
        """Let other processes start the next daemon: one has answered."""
        self._child, self.failure = None, ""
        self.close()

    def reap(self) -> bool:
        """Collect the daemons that have ended; return whether the last one started is among them and never answered.

        Notes in `failure` why it did not serve.
        """
        _children[:] = [each for each in _children if each.poll() is None]
        if self._child is None or self._child.returncode is None:
            return False
        code, self._child = self._child.returncode, None
        self.close()
        if code > 0:  # 0: it found another daemon serving; less: it was killed, which says nothing about the next
            self.exitcode = code
            log = self.home + "/daemon.log"
            words = last_words(log, self._log_start)
            self.failure = f"The postino daemon did not start: {words} (log: {printable(log)})"
        return True

    def close(self) -> None:
        """Release the lock, if held. Repeating does nothing."""
        self._blocked_since = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def daemon_environ(home: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a daemon: without the variables of the one session that happens to start it."""
    kept = {name: text for name, text in environ.items() if not name.startswith("CLAUDE")}
    kept.pop("POSTINO_AGENT_NAME", None)
    return kept | {"POSTINO_HOME": home}


def start_daemon(home: str, environ: dict[str, str]) -> tuple[Popen[bytes], int]:
    """Start a daemon that outlives this process and its client; return it, and how many bytes its log had before.

    Raises:
        OSError: the log cannot be written or no process can be made.
    """
    import subprocess  # 12 ms, saved wherever a daemon runs already

    path = home + "/daemon.log"
    rotate(path)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(log).st_size
        child = subprocess.Popen(
            _command(home),
            cwd="/",
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    finally:
        os.close(log)
    _children.append(child)
    return child, size


def _command(home: str) -> list[str]:
    """Return the command that starts the daemon: by the service manager, if `postino service install` said so.

    A manager that cannot be asked, for example without a login session, must leave nobody without a daemon.
    """
    own = [sys.executable, "-m", "postino", "serve"]
    try:
        with open(home + "/service", encoding="utf-8") as file:  # noqa: PTH123
            by_manager = file.read().strip()
    except OSError:
        return own
    if not by_manager:  # a power failure may have emptied it, and the shell takes no command for a success
        return own
    import shlex

    return ["/bin/sh", "-c", f"{by_manager} >/dev/null 2>&1 || exec {shlex.join(own)}"]


def rotate(log: str) -> None:
    """Rename a log longer than LOG_LIMIT to `<log>.1`. Repeating does nothing."""
    try:
        if os.stat(log).st_size > LOG_LIMIT:  # noqa: PTH116
            os.replace(log, log + ".1")  # noqa: PTH105
    except FileNotFoundError:
        return


def last_words(log: str, since: int = 0) -> str:
    """Return the last `postino: ` sentence in a daemon's log, else its last three lines, from byte `since` on."""
    try:
        with open(log, "rb") as file:  # noqa: PTH123
            file.seek(max(since, os.fstat(file.fileno()).st_size - TAIL))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    sentences = [line.removeprefix("postino: ") for line in lines if line.startswith("postino: ")]
    words = sentences[-1] if sentences else " | ".join(lines[-3:]) or "it wrote nothing"
    return printable(words[:WORDS])
