"""One daemon per POSTINO_HOME: its lock and daemon.json, and starting, stopping and asking it from another process.

A daemon calls `lock_home` first, `HomeLock.write_info` once its sockets listen, and `HomeLock.release` after they are
closed. Other processes call `start`, `stop`, `status` and `health`.

A daemon that cannot start prints one line `postino: <sentence>` to stderr and exits with the error's exit code; `start`
quotes that line.

Standard library only, because the command line imports this. Functions block unless they say that they return at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from postino import locks, private_files
from postino.daemon.info import DaemonInfo as DaemonInfo
from postino.daemon.info import read_info as read_info
from postino.errors import PostinoError, StoreAway, Unreachable
from postino.json_text import dumps
from postino.light import asdict, dataclass
from postino.relay.starter import Starter, last_words

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Literal

    from postino.paths import Home

POLL = 0.01  # s between two checks: `postino up` returns as soon as the daemon is healthy
STARTS = 3  # of one `start`: a new daemon exits if it finds another one, which may be about to exit itself
STARTING_S = 60.0  # that a daemon may take until it serves: a very busy machine needs long for its imports
ANSWER_S = 2.5  # for a health answer: the daemon waits 1.5 s for Valkey before it reports it as unavailable


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a home's daemon, seen from outside.

    `down`: there is none. `up`: it answers, see `health`. `silent`: its process lives (starting, stopping or hung) but
    does not answer.
    """

    state: Literal["down", "up", "silent"]
    pid: int | None = None
    info: DaemonInfo | None = None
    health: dict[str, Any] | None = None


class HomeLock:
    """The lock of a home, held by the one daemon that serves it. The kernel releases it when the process ends."""

    def __init__(self, home: Home, descriptor: int) -> None:
        self._home = home
        self._descriptor: int | None = descriptor

    def write_info(self, url: str | None, version: str, settings: dict[str, str] | None = None) -> DaemonInfo:
        """Write daemon.json atomically, with mode 0600, once the sockets listen. Returns at once."""
        info = DaemonInfo(os.getpid(), url, str(self._home.socket), version, time.time(), settings or {})
        private_files.replace(self._home.info, dumps(asdict(info)), on_disk=False)
        return info

    def is_current(self) -> bool:
        """Return whether the locked file is still the home's: not removed, moved or replaced. Returns at once."""
        return self._descriptor is not None and locks.is_same_file(self._home.lock, os.fstat(self._descriptor))

    def release(self) -> None:
        """Remove daemon.sock and daemon.json, then release the lock. Repeating does nothing. Returns at once."""
        if self._descriptor is not None:
            if self.is_current():  # otherwise they belong to another daemon
                _remove_files(self._home)
            os.close(self._descriptor)
            self._descriptor = None


def lock_home(home: Home) -> HomeLock | None:
    """Lock `home` for this process and remove what a killed daemon left; return None if another daemon serves it.

    Takes at most 0.2 s. The home must be prepared.
    """
    descriptor = locks.acquire(home.lock, patience=0.2)  # `is_running` in another process takes the lock for an instant
    if descriptor is None:
        return None
    locks.write_pid(descriptor)
    _remove_files(home)
    return HomeLock(home, descriptor)


def _remove_files(home: Home) -> None:
    """Remove daemon.sock, daemon.json and the mark of slow hooks. The caller must hold the lock."""
    for path in (home.socket, home.info, home.slow):
        path.unlink(missing_ok=True)


def take_over(home: Home, seconds: float = 15.0) -> HomeLock:
    """End the daemon that serves `home`, if one does, and lock the home for this process.

    Raises:
        Unreachable: that daemon does not end, or others are started again and again.
    """
    deadline = time.monotonic() + seconds
    # meanwhile nobody else starts one; whoever holds it now may have caused this start
    starting = locks.acquire(home.starting, patience=0.2)
    try:
        while (lock := lock_home(home)) is None:
            if time.monotonic() >= deadline:
                raise Unreachable(f"Other daemons of {home.root} are started again and again; end what starts them")
            stop(home)
        return lock
    finally:
        if starting is not None:
            os.close(starting)


def is_running(home: Home) -> bool:
    """Return whether a daemon of this home lives, whether or not it answers. Returns at once."""
    return not locks.is_free(home.lock)


def health(home: Home, seconds: float = ANSWER_S) -> dict[str, Any] | None:
    """Return the answer of GET /api/health over the unix socket, healthy or not; None if none comes in `seconds`."""
    from postino.client import Client  # with http.client 30 ms, which `status` of a stopped daemon need not pay

    with contextlib.suppress(PostinoError), Client(home.socket, seconds=seconds) as client:
        return client.health()
    return None


def is_healthy(home: Home) -> bool:
    """Return whether a daemon of this home serves and its Valkey answers. Takes at most 2.5 s."""
    return bool((health(home) or {}).get("valkey"))


def status(home: Home) -> Status:
    """Return the state of this home's daemon. Takes at most 2.5 s; returns at once if there is none."""
    if not home.lock.exists() or not is_running(home):
        return Status("down")
    answer = health(home)
    info = read_info(home)
    return Status("up" if answer else "silent", locks.read_pid(home.lock), info, answer)


def start(
    environ: Mapping[str, str], home: Home, seconds: float = 15.0, *, say: Callable[[str], object] = lambda _: None
) -> DaemonInfo:
    """Return once a daemon serves `home` and its Valkey answers, starting one in the background if there is none.

    A store that takes no mail at the moment, because its memory is full, can still be read.

    Several calls at once result in one daemon. It gets `environ` without CLAUDE* and POSTINO_AGENT_NAME, a session of
    its own, the working directory / and daemon.log.

    A daemon that lives and has not served yet has STARTING_S in all; `say` is told once that it is waited for.

    Raises:
        BadField: the home cannot be used.
        Unreachable: the daemon exited at its start (its last words are quoted) or does not answer in that time.
        StoreAway: the daemon answers, but reports for `seconds` that Valkey is unavailable.
    """
    home.prepare()
    began, said = time.monotonic(), False
    with contextlib.closing(Starter(str(home.root), environ)) as starter:
        while True:
            answer = health(home)
            info = read_info(home)
            if answer and answer.get("valkey") and info:
                return info
            _start_missing(starter, home)
            if (waited := time.monotonic() - began) >= seconds:
                starts = not answer and _is_starting(starter, home)
                if not starts or waited >= STARTING_S:
                    raise not_healthy(home, answer, STARTING_S if starts else seconds)
                if not said:
                    say(_waits(home))
                said = True
            time.sleep(POLL)


def _is_starting(starter: Starter, home: Home) -> bool:
    """Return whether a daemon lives that has not served yet: it locks the home before it removes an old daemon.json."""
    return read_info(home) is None if is_running(home) else starter.starting


def _waits(home: Home) -> str:
    pid = locks.read_pid(home.lock) if is_running(home) else None  # else it is that of the one before
    which = f" (pid {pid})" if pid else ""
    return (
        f"the daemon{which} is still starting; waiting for it up to {STARTING_S:.0f} s; the end of {home.log}: "
        f"{last_words(str(home.log))}"
    )


def _start_missing(starter: Starter, home: Home) -> None:
    """Start a daemon if there is none and none is starting, at most STARTS times."""
    starter.reap()
    if not (starter.failure or starter.starting or is_running(home)):
        if starter.starts == STARTS:
            raise Unreachable(f"The postino daemon exits as soon as it starts; see {home.log}")
        starter.start(time.monotonic())
    if starter.failure:
        raise Unreachable(starter.failure, exitcode=starter.exitcode)


def not_healthy(home: Home, answer: dict[str, Any] | None, seconds: float) -> Unreachable | StoreAway:
    """Return the error about a daemon that was not healthy for `seconds`, by its last health answer."""
    if answer:
        reason = answer.get("error") or "Valkey does not answer"
        return StoreAway(f"The postino daemon runs, but {reason}; see {home.log}", outcome="none")
    pid = locks.read_pid(home.lock) if is_running(home) else None
    which = f" (pid {pid})" if pid else ", which is starting,"  # a loaded machine may take that long to import it
    return Unreachable(
        f"The postino daemon of {home.root}{which} has not answered for {seconds:.0f} s; `postino down` ends it; "
        f"the end of {home.log}: {last_words(str(home.log))}"
    )


def stop(home: Home, seconds: float = 5.0) -> bool:
    """End the daemon of `home` by SIGTERM, after `seconds` by SIGKILL; return False if there was none.

    The embedded Valkey goes on; `EmbeddedValkey.stop` ends it.

    Raises:
        Unreachable: the daemon does not end, or it is not certain which process it is.
    """
    if not home.lock.exists() or not is_running(home):
        return False
    pid = locks.read_pid(home.lock)
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 2.0)):
        _signal(home, pid, number)
        if _has_ended(home, pid, patience):
            _remove_leftovers(home)
            return True
    raise Unreachable(f"The postino daemon of {home.root} (pid {pid}) does not end; end that process yourself")


def _signal(home: Home, pid: int | None, number: int) -> None:
    """Send a signal to `pid` only if it is certainly the daemon: it has the lock file open."""
    if pid is not None and locks.has_open(pid, home.lock):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _has_ended(home: Home, pid: int | None, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_running(home) and locks.read_pid(home.lock) == pid:  # another pid: a new daemon serves the home already
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL)
    return True


def _remove_leftovers(home: Home) -> None:
    """Remove what a killed daemon left, unless a new daemon serves the home already."""
    if (lock := lock_home(home)) is not None:
        lock.release()
