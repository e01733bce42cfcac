"""Start a daemon from a process that may import next to nothing: the relay. Standard library only.

Many sessions miss a daemon in the same moment: one of them starts the next, holding the lock `daemon.start`.
"""

from __future__ import annotations

import os
import signal
import sys

from postino.home import printable

LOG_LIMIT = 8 << 20  # bytes of daemon.log after which a start puts it aside as daemon.log.1
RESTART = 5.0  # s between two starts of a daemon, and the longest wait for another process to start it


class Starter:
    """Starts daemons for one home and knows how the last one ended. `failure`: how, when it never served."""

    def __init__(self, home: str) -> None:
        self.home = home
        self.failure = ""
        self.child = 0  # pid of the daemon started last, until one answers
        self._turn: int | None = None  # descriptor of the lock, while held
        self._waits = 0.0  # since when another process has held it

    def start(self, now: float) -> bool:
        """Start a daemon, unless it is another process's turn; return whether it did, with `failure` if it could not.

        One that finds another serving ends by itself, so starting twice is harmless.
        """
        self.failure = ""
        try:
            if not self._take_turn(now):
                return False
            self.child = start_daemon(self.home)
        except OSError as error:
            self._release()
            self.failure = f"The postino daemon cannot be started: {error.strerror}"
        return True

    def _take_turn(self, now: float) -> bool:
        if self._turn is not None:
            return True
        import fcntl  # few relays ever start a daemon

        lock = os.open(self.home + "/daemon.start", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            self._waits = self._waits or now
            return now - self._waits >= RESTART  # it has been stopped in the middle, or its daemon hangs
        self._turn, self._waits = lock, 0.0
        return True

    def served(self) -> None:
        """Let others start the next one: a daemon has answered."""
        self.child, self.failure = 0, ""
        self._release()

    def ended(self, pid: int, status: int) -> None:
        """Take note that a child of this process has ended."""
        if pid != self.child:
            return
        self.child = 0
        self._release()
        if status:  # else it found another one serving
            self.failure = f"The postino daemon did not start: {last_words(self.home)}"

    def _release(self) -> None:
        self._waits = 0.0
        if self._turn is not None:
            os.close(self._turn)
            self._turn = None


def start_daemon(home: str) -> int:
    """Start a daemon for `home` that outlives this process and its client; return its pid.

    Raises:
        OSError: the log cannot be written or no process can be made.
    """
    environ = {name: text for name, text in os.environ.items() if not name.startswith("CLAUDE")}
    environ.pop("POSTINO_AGENT_NAME", None)
    environ["POSTINO_HOME"] = home
    rotate(home + "/daemon.log")
    log = os.open(home + "/daemon.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    pid = os.fork()
    if pid == 0:
        _become_daemon(log, environ)
    os.close(log)
    return pid


def rotate(log: str) -> None:
    """Put a long log aside. Repeating does nothing."""
    try:
        if os.stat(log).st_size > LOG_LIMIT:  # noqa: PTH116
            os.replace(log, log + ".1")  # noqa: PTH105
    except FileNotFoundError:
        return


def _become_daemon(log: int, environ: dict[str, str]) -> None:
    try:
        os.setsid()
        os.chdir("/")
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.closerange(3, 65536)  # whatever the client left open to us
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.execve(sys.executable, [sys.executable, "-m", "postino", "serve"], environ)
    finally:
        os._exit(127)


def last_words(home: str) -> str:
    """Return what the last daemon that could not start said of it, at most 300 characters, and where its log is."""
    path = home + "/daemon.log"
    try:
        with open(path, "rb") as log:  # noqa: PTH123
            log.seek(max(0, os.fstat(log.fileno()).st_size - 8192))
            lines = log.read().decode(errors="replace").split("\n")
    except OSError:
        lines = []
    said = [line.removeprefix("postino: ") for line in lines if line.startswith("postino: ")]
    return f"{printable(said[-1][:300]) if said else 'it left no word'} (log: {printable(path)})"
