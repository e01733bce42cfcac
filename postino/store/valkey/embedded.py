"""The embedded Valkey of one POSTINO_HOME: started by whoever needs it, adopted by all, never doubled."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import structlog

from postino import locks
from postino.errors import StoreAway
from postino.paths import Home
from postino.store.valkey.admin import Sight, away, correct, fields, look, shut_down
from postino.store.valkey.process import Server

POLL = 0.01  # s between looks; a new server answers after 40 ms
PATIENCE = 10.0  # s with a server that lives and says nothing
LOADING_LIMIT = 600.0  # s; some GB of append-only file
REPORT_SECONDS = 5.0  # between two log lines about loading
ORPHAN_GRACE = 0.2  # s from a server's death to that of its children, if they notice
SOCKET_GRACE = 5.0  # s in which a server that somebody else launched must have made its socket
RESTART_INTERVAL = 1.0  # s between two launches: a server that dies at once must not eat the machine
STEP_SECONDS = 2.0  # for each of SHUTDOWN, SIGTERM, SIGKILL

log = structlog.get_logger("postino.store")


class EmbeddedValkey:
    """The server of one home. Each method may be called by several tasks and several processes at once."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._server = Server(home)
        self._one_at_a_time = asyncio.Lock()
        self._launched_at = -RESTART_INTERVAL
        self._data: os.stat_result | None = None  # the directory that the server works in
        self._pid: int | None = None

    async def start(self) -> str:
        """Return the path of the unix socket once the server answers, be it launched or adopted.

        Repeating does nothing. Takes 0.1 s, and as long as the append-only file takes to load.

        Raises:
            BadField: the home cannot be used, e.g. its path is too long for a socket.
            StoreAway: there is no server for this machine; it died at start (its last words are quoted); one lives
                and says nothing for 10 s; or one runs with settings that only a restart can change.
        """
        launched = await self._rise()
        log.info("valkey_started" if launched else "valkey_adopted", socket=str(self._home.valkey_socket))
        return str(self._home.valkey_socket)

    async def ensure(self) -> bool:
        """Launch the server again if it is dead; return whether this call did.

        For the daemon whose connection failed. A server that lives but is stuck is waited for and left alone.
        Launches at most one per second.

        Raises:
            StoreAway: as `start`.
        """
        return await self._rise()

    def kept(self) -> bool:
        """Return whether the server's data is where it was: not removed, moved or replaced. Returns at once."""
        return self._data is None or locks.is_same_file(self._home.data, self._data)

    def end_lost(self, about: str) -> None:
        """End the server whose data is not where it was: nobody will find it any more. Returns at once.

        `about` is its answer to INFO just now: another one may answer at its old place, and is left alone.
        """
        pid = int(fields(about)["process_id"])
        if pid == self._pid:
            log.warning("valkey_signalled", pid=pid, signal=signal.SIGKILL.name)
            os.kill(pid, signal.SIGKILL)  # a milder end would remove the socket and pid file of a server in its place

    async def alive(self) -> bool:
        """Return whether our server answers and has loaded its data. Takes 1 s at most."""
        return (await look(self._home)).state == "ready"

    async def stop(self) -> bool:
        """End the server: SHUTDOWN, 2 s later SIGTERM, 2 s later SIGKILL; return False when none lived.

        Whatever it answered is on disk either way. Only a process that is certainly ours is signalled.
        Takes 0.1 s unless the server is stuck.

        Raises:
            StoreAway: it does not end.
        """
        if not self._home.data.is_dir():
            return False
        async with self._one_at_a_time:
            held = self._server.held()
            asked = await shut_down(self._home)
            patience = STEP_SECONDS if asked else 0.0
            for number in (signal.SIGTERM, signal.SIGKILL):
                if await self._gone(patience):
                    break
                await self._signal(number)
                patience = STEP_SECONDS
            if not await self._gone(patience):
                raise away(f"The embedded Valkey of {self._home.root} (pid {self._server.pid()}) does not end")
            self._server.tidy()
            self._launched_at = -RESTART_INTERVAL
            return held or asked

    async def _gone(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self._server.held():
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(POLL)
        return True

    async def _signal(self, number: signal.Signals) -> None:
        pid = self._server.pid()
        if pid is None:
            await asyncio.to_thread(self._server.end_orphans)
        else:
            log.warning("valkey_signalled", pid=pid, signal=number.name)
            self._server.tell(pid, number)

    async def _rise(self) -> bool:
        """Bring the server up; return whether this call launched it."""
        self._home.prepare()
        async with self._one_at_a_time:
            wait = _Wait(self._home, self._server, self._launched_at + RESTART_INTERVAL)
            try:
                while (sight := await look(self._home)).state != "ready":
                    await wait.step(sight)
                    await asyncio.sleep(POLL)
                await correct(self._home)
                self._data, self._pid = self._home.data.stat(), sight.pid
            finally:
                self._launched_at = wait.launched_at or self._launched_at
            return wait.launched_at is not None


class _Wait:
    """What one call does until the server is ready: launch it, wait for it, or give up with a reason."""

    def __init__(self, home: Home, server: Server, not_before: float) -> None:
        self._home = home
        self._server = server
        self._not_before = not_before
        self._began = self._heard = self._reported = time.monotonic()
        self._absent_since: float | None = None
        self._orphans_ended = False
        self.launched_at: float | None = None

    async def step(self, sight: Sight) -> None:
        """Do what this sight asks for.

        Raises:
            StoreAway: there is nothing to wait for.
        """
        now = time.monotonic()
        if sight.state == "stranger":
            raise away(f"Another server answers at {self._home.valkey_socket}: {sight.detail}; it is left alone")
        if sight.state == "loading":
            self._loading(sight, now)
        if sight.state == "absent":
            await self._absent(now)
        else:
            self._absent_since, self._orphans_ended = None, False
        if now - self._heard > PATIENCE:
            raise self._stuck()

    def _loading(self, sight: Sight, now: float) -> None:
        if now - self._reported >= REPORT_SECONDS:
            log.info("valkey_loading", pid=sight.pid, percent=sight.detail)
            self._reported = now
        if now - self._began < LOADING_LIMIT:
            self._heard = now

    async def _absent(self, now: float) -> None:
        if self.launched_at is not None:
            if not self._server.held():
                raise away(
                    f"The embedded Valkey died at its start: {self._server.last_words()}; see {self._server.log}"
                )
            return
        self._absent_since = self._absent_since or now
        if now < self._not_before:
            self._heard = now
        elif await asyncio.to_thread(self._server.launch):
            self.launched_at = self._heard = time.monotonic()
        else:
            await self._unblock(now - self._absent_since)

    async def _unblock(self, waited: float) -> None:
        """Free the data from who holds it and can be of no use any more; a fresh server needs a moment, too."""
        if waited > ORPHAN_GRACE and not self._orphans_ended:
            self._orphans_ended = True
            await asyncio.to_thread(self._server.end_orphans)
        elif waited > SOCKET_GRACE:
            self._absent_since = None
            self._evict()

    def _evict(self) -> None:
        """End a server that lives without its socket: nobody can ask it anything any more, and its data is on disk."""
        pid = self._server.pid()
        if pid is not None:
            log.warning("valkey_without_socket", pid=pid)
            self._server.tell(pid, signal.SIGTERM)

    def _stuck(self) -> StoreAway:
        pid = self._server.pid()
        who = f"process {pid}" if pid else "another process, perhaps on another machine,"
        return away(
            f"The embedded Valkey of {self._home.root} does not answer: {who} has held its data for {PATIENCE:.0f} s. "
            "A second one would destroy that data, so none is started; `postino down` ends the first"
        )
