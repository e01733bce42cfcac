"""One daemon per POSTINO_HOME: its lock, what it says of itself, starting it in the background, stopping it.

Standard library only: the light CLI imports this. Everything blocks; call it from a daemon's loop only where it
says that it returns at once.

The daemon, at start:             `seat = take_seat(home)`; None: another one serves, see `wait_healthy`
            once it listens:      `seat.announce(url, version)`
            at its end:           `seat.leave()` after its sockets are closed
Everybody else:                   `start`, `stop`, `status`, `health`

A daemon that cannot start prints one line `postino: <sentence>` to stderr and exits with the error's exit code;
`start` quotes that line.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from postino import locks
from postino.errors import PostinoError, StoreAway, Unreachable
from postino.relay.starter import Starter, last_words

if TYPE_CHECKING:
    from postino.paths import Home

POLL = 0.01  # s between looks: `postino up` has 1.5 s in all
STARTS = 3  # of one `start`: a daemon that sees another one exits, and that one may be just leaving
ANSWER_S = 2.5  # for a health answer: the daemon gives Valkey 1.5 s before it says that it is away


@dataclass(frozen=True, slots=True)
class Running:
    """What a serving daemon says of itself in daemon.json."""

    pid: int
    url: str | None  # None: TCP is off
    socket: str
    version: str
    started: float  # seconds since 1970
    settings: dict[str, str] = field(default_factory=dict)  # by variable, see config.told; empty: an older daemon


@dataclass(frozen=True, slots=True)
class Status:
    """What can be said of a home's daemon from outside.

    `down`: none lives. `up`: it answers, see `health`. `silent`: one lives (starting, stopping or hung) but does not
    answer.
    """

    state: Literal["down", "up", "silent"]
    pid: int | None = None
    running: Running | None = None
    health: dict[str, Any] | None = None


class Seat:
    """The right to serve one home; it ends with the process at the latest."""

    def __init__(self, home: Home, descriptor: int) -> None:
        self._home = home
        self._descriptor: int | None = descriptor

    def announce(self, url: str | None, version: str, settings: dict[str, str] | None = None) -> Running:
        """Write daemon.json (atomically, mode 0600) once the sockets listen. Returns at once."""
        running = Running(os.getpid(), url, str(self._home.socket), version, time.time(), settings or {})
        draft = self._home.info.with_suffix(".new")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(asdict(running), file)
        draft.replace(self._home.info)
        return running

    def kept(self) -> bool:
        """Return whether the home is still the one this process serves: not removed, moved or replaced. At once."""
        return self._descriptor is not None and locks.is_same_file(self._home.lock, os.fstat(self._descriptor))

    def leave(self) -> None:
        """Remove daemon.sock and daemon.json, then free the lock. Repeating does nothing. Returns at once."""
        if self._descriptor is not None:
            if self.kept():  # else they are another daemon's
                _clear(self._home)
            os.close(self._descriptor)
            self._descriptor = None


def take_seat(home: Home) -> Seat | None:
    """Lock `home` for this process and remove what a killed daemon left there; None while another one serves.

    Returns within 0.2 s. The home must be prepared.
    """
    descriptor = locks.acquire(home.lock, patience=0.2)  # `status` of another process takes the lock for an instant
    if descriptor is None:
        return None
    locks.write_pid(descriptor)
    _clear(home)
    return Seat(home, descriptor)


def _clear(home: Home) -> None:
    """Only while holding the lock."""
    for path in (home.socket, home.info):
        path.unlink(missing_ok=True)


def read(home: Home) -> Running | None:
    """Return what daemon.json says; after kill -9 it may speak of a dead daemon, `status` knows."""
    try:
        said = json.loads(home.info.read_bytes())
        return Running(**({"settings": {}} | {name: said[name] for name in Running.__slots__ if name in said}))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def held(home: Home) -> bool:
    """Return whether a daemon of this home lives, answering or not. Returns at once."""
    return not locks.is_free(home.lock)


def health(home: Home, seconds: float = ANSWER_S) -> dict[str, Any] | None:
    """Return the answer of GET /api/health over the unix socket, ok or not; None if none comes within `seconds`."""
    from postino.client import Client  # with http.client 30 ms, which `status` of a stopped daemon saves

    with contextlib.suppress(PostinoError), Client(home.socket, seconds=seconds) as client:
        return client.health()
    return None


def wait_healthy(home: Home, seconds: float) -> bool:
    """Return whether a daemon of this home answers that it is healthy within `seconds`."""
    deadline = time.monotonic() + seconds
    while not (health(home) or {}).get("ok"):
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL)
    return True


def status(home: Home) -> Status:
    """Return whether a daemon of this home lives, and what it says. Takes 2.5 s at most, no time if none does."""
    if not home.lock.exists() or not held(home):
        return Status("down")
    answer = health(home)
    running = read(home)
    return Status("up" if answer else "silent", locks.read_pid(home.lock), running, answer)


def start(environ: Mapping[str, str], home: Home, seconds: float = 15.0) -> Running:
    """Make sure that a healthy daemon serves `home`, starting one in the background if none lives.

    Several at once end as one daemon. The daemon gets `environ` without CLAUDE* and POSTINO_AGENT_NAME, a session of
    its own, cwd / and daemon.log.

    Raises:
        BadField: the home cannot be used.
        Unreachable: the daemon died at start (its last words are quoted) or does not answer within `seconds`.
        StoreAway: the daemon answers within `seconds`, but only that Valkey is away.
    """
    home.prepare()
    deadline = time.monotonic() + seconds
    with contextlib.closing(Starter(str(home.root), environ)) as starter:
        while True:
            answer = health(home)
            running = read(home)
            if answer and answer.get("ok") and running:
                return running
            _start_missing(starter, home)
            if time.monotonic() >= deadline:
                raise late(home, answer, seconds)
            time.sleep(POLL)


def _start_missing(starter: Starter, home: Home) -> None:
    """Start a daemon if none lives and none is starting, STARTS times at most."""
    starter.reap()
    if not (starter.failure or starter.starting or held(home)):
        if starter.starts == STARTS:
            raise Unreachable(f"The daemon ends as soon as it starts; see {home.log}")
        starter.start(time.monotonic())
    if starter.failure:
        raise Unreachable(starter.failure, exitcode=starter.exitcode)


def late(home: Home, answer: dict[str, Any] | None, seconds: float) -> Unreachable | StoreAway:
    """Return what to say of a daemon that lives and was not healthy for `seconds`, by its last answer."""
    if answer:
        reason = answer.get("error") or "Valkey does not answer"
        return StoreAway(f"The daemon runs, but {reason}; see {home.log}", outcome="none")
    pid = locks.read_pid(home.lock)
    return Unreachable(
        f"A daemon of {home.root} lives (pid {pid}) but does not answer after {seconds:.0f} s; `postino down` ends it; "
        f"the end of {home.log}: {last_words(str(home.log))}"
    )


def stop(home: Home, seconds: float = 5.0) -> bool:
    """End the daemon of `home`: SIGTERM, after `seconds` SIGKILL; return False when none lived.

    Valkey is not touched: `postino down` stops the embedded one afterwards by `EmbeddedValkey.stop`.

    Raises:
        Unreachable: it does not end, or its process cannot be told for certain.
    """
    if not home.lock.exists() or not held(home):
        return False
    pid = locks.read_pid(home.lock)
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 2.0)):
        _signal(home, pid, number)
        if _ended(home, pid, patience):
            _tidy(home)
            return True
    raise Unreachable(f"The daemon of {home.root} (pid {pid}) does not end; end it yourself")


def _signal(home: Home, pid: int | None, number: int) -> None:
    """Signal `pid` only if it is certainly the daemon: it has the lock file open."""
    if pid is not None and locks.has_open(pid, home.lock):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _ended(home: Home, pid: int | None, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while held(home) and locks.read_pid(home.lock) == pid:  # another one's pid: ours has ended, a new daemon came
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL)
    return True


def _tidy(home: Home) -> None:
    """Remove what a killed daemon left, unless a new one is here already."""
    seat = take_seat(home)
    if seat is not None:
        seat.leave()
