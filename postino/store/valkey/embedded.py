"""The embedded Valkey of one POSTINO_HOME: started by whoever needs it, adopted by the others, never run twice."""

from __future__ import annotations

import asyncio
import os
import time
from signal import Signals

import structlog

from postino import locks
from postino.errors import StoreAway
from postino.paths import Home
from postino.store.valkey.admin import Inspection, correct_settings, inspect, parse_info, shut_down, unavailable
from postino.store.valkey.process import Server
from postino.store.valkey.settings import wanted

POLL = 0.01  # s between two inspections; a new server answers after 40 ms
UNRESPONSIVE_LIMIT = 10.0  # s that a live server may leave us without an answer
LOADING_LIMIT = 600.0  # s to load the append-only file, which may be some GB
REPORT_SECONDS = 5.0  # between two log lines about loading
ORPHAN_GRACE = 0.2  # s after a server's death in which its children may end by themselves
SOCKET_GRACE = 5.0  # s in which a server that another process launched must have created its socket
RESTART_INTERVAL = 1.0  # s between two launches, so that a server that dies at once does not use up the machine
FULL_DISK = 256 << 10  # bytes: the server writes whole blocks, and also its log
STEP_SECONDS = 2.0  # for each of SHUTDOWN, SIGTERM, SIGKILL

log = structlog.get_logger("postino.store")


class EmbeddedValkey:
    """The server of one home. Several tasks and several processes may call each method at once.

    `max_memory` is its limit in bytes, by default a quarter of the machine's memory.
    """

    def __init__(self, home: Home, max_memory: int | None = None) -> None:
        self._home = home
        self._settings = wanted(max_memory)
        self._server = Server(home, self._settings)
        self._lock = asyncio.Lock()
        self._launched_at = -RESTART_INTERVAL
        self._data: os.stat_result | None = None  # the directory that the server works in
        self._pid: int | None = None

    async def start(self) -> str:
        """Launch or adopt the server; return the path of its unix socket once it answers.

        Repeating does nothing. Takes 0.1 s, plus the time to load the append-only file.

        Raises:
            BadField: the home cannot be used, e.g. its path is too long for a socket.
            StoreAway: there is no server for this machine; it died at its start (its log is quoted); a live one does
                not answer for 10 s; or one runs with settings that only a restart can change.
        """
        launched = await self.ensure()
        log.info("valkey_started" if launched else "valkey_adopted", socket=str(self._home.valkey_socket))
        return str(self._home.valkey_socket)

    async def ensure(self) -> bool:
        """Launch the server again if it is dead; return whether this call did.

        A daemon calls this when its connection fails. A live server that does not respond is waited for and left
        alone. Launches at most once per second.

        Raises:
            StoreAway: as `start`.
        """
        self._home.prepare()
        async with self._lock:
            startup = _Startup(self._home, self._server, self._launched_at + RESTART_INTERVAL)
            try:
                while (found := await inspect(self._home)).state != "ready":
                    await startup.step(found)
                    await asyncio.sleep(POLL)
                await correct_settings(self._home, self._settings)
                self._data, self._pid = self._home.data.stat(), found.pid
            finally:
                self._launched_at = startup.launched_at or self._launched_at
            return startup.launched_at is not None

    @property
    def notes(self) -> list[str]:
        """Sentences about what was mended in the server's files since this object was made."""
        return self._server.notes

    def full_disk(self) -> str | None:
        """Return a sentence if the disk of the data is full, of which the server dies at a write. Does not block."""
        try:
            found = os.statvfs(self._home.data)
        except OSError:
            return None
        free = found.f_bavail * found.f_frsize
        return f"the disk of {self._home.data} is full: {free} bytes are left" if free < FULL_DISK else None

    def data_in_place(self) -> bool:
        """Return whether the server's data directory was not removed, moved or replaced. Does not block."""
        return self._data is None or locks.is_same_file(self._home.data, self._data)

    def kill_detached(self, info: str) -> None:
        """Kill the server whose data directory is no longer in place: nobody will find it any more. Does not block.

        `info` is its reply to INFO just now: if another server answers at its address, that one is left alone.
        """
        pid = int(parse_info(info)["process_id"])
        if pid == self._pid:
            log.warning("valkey_signalled", pid=pid, signal=Signals.SIGKILL.name)
            os.kill(pid, Signals.SIGKILL)  # SIGTERM would make it remove the socket and pid file of its replacement

    async def alive(self) -> bool:
        """Return whether our server answers and has loaded its data. Takes 1 s at most."""
        return (await inspect(self._home)).state == "ready"

    async def stop(self) -> bool:
        """End the server by SHUTDOWN, after 2 s by SIGTERM, after 2 s by SIGKILL; return False if none was running.

        What it answered is on disk in any case. Only a process that is certainly ours is signalled. Takes 0.1 s
        unless the server does not respond.

        Raises:
            StoreAway: it does not end.
        """
        if not self._home.data.is_dir():
            return False
        async with self._lock:
            was_running = self._server.locked()
            asked = await shut_down(self._home)
            patience = STEP_SECONDS if asked else 0.0
            for number in (Signals.SIGTERM, Signals.SIGKILL):
                if await self._wait_until_ended(patience):
                    break
                await self._signal(number)
                patience = STEP_SECONDS
            if not await self._wait_until_ended(patience):
                raise unavailable(f"The embedded Valkey of {self._home.root} (pid {self._server.pid()}) does not end")
            self._server.remove_leftovers()
            self._launched_at = -RESTART_INTERVAL
            return was_running or asked

    async def _wait_until_ended(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self._server.locked():
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(POLL)
        return True

    async def _signal(self, number: Signals) -> None:
        pid = self._server.pid()
        if pid is None:
            await asyncio.to_thread(self._server.kill_orphans)
        else:
            log.warning("valkey_signalled", pid=pid, signal=number.name)
            self._server.signal(pid, number)


class _Startup:
    """What one call does until the server is ready: launch it, wait for it, or give up with a reason."""

    def __init__(self, home: Home, server: Server, launch_from: float) -> None:
        self._home = home
        self._server = server
        self._launch_from = launch_from
        self._began = self._last_progress = self._reported = time.monotonic()
        self._absent_since: float | None = None
        self._orphans_killed = False
        self.launched_at: float | None = None

    async def step(self, found: Inspection) -> None:
        """Act on what an inspection found.

        Raises:
            StoreAway: waiting longer is no use.
        """
        now = time.monotonic()
        if found.state == "foreign":
            raise unavailable(f"Another server answers at {self._home.valkey_socket}: {found.detail}; it is left alone")
        if found.state == "loading" and now - self._reported >= REPORT_SECONDS:
            log.info("valkey_loading", pid=found.pid, percent=found.detail)
            self._reported = now
        if found.state == "loading" and now - self._began < LOADING_LIMIT:
            self._last_progress = now
        if found.state == "absent":
            await self._absent(now)
        else:
            self._absent_since, self._orphans_killed = None, False
        if now - self._last_progress > UNRESPONSIVE_LIMIT:
            raise self._unresponsive()

    async def _absent(self, now: float) -> None:
        if self.launched_at is not None:
            if self._server.locked():
                return
            if not await asyncio.to_thread(self._server.repair):
                last_words = await asyncio.to_thread(self._server.last_words)
                raise unavailable(f"The embedded Valkey died at its start: {last_words}")
            self.launched_at = None  # once more, on the mended files
        self._absent_since = self._absent_since or now
        if now < self._launch_from:
            self._last_progress = now
        elif await asyncio.to_thread(self._server.launch):
            self.launched_at = self._last_progress = time.monotonic()
        else:
            await self._free_data(now - self._absent_since)

    async def _free_data(self, waited: float) -> None:
        """End what holds the data without serving it; a server that was just launched also needs a moment."""
        if waited > ORPHAN_GRACE and not self._orphans_killed:
            self._orphans_killed = True
            await asyncio.to_thread(self._server.kill_orphans)
        elif waited > SOCKET_GRACE:
            self._absent_since = None
            if (pid := self._server.pid()) is not None:  # nobody can reach it any more, and its data is on disk
                log.warning("valkey_without_socket", pid=pid)
                self._server.signal(pid, Signals.SIGTERM)

    def _unresponsive(self) -> StoreAway:
        pid = self._server.pid()
        who = f"process {pid}" if pid else "another process, perhaps on another machine,"
        return unavailable(
            f"The embedded Valkey of {self._home.root} does not answer: {who} has held its data for "
            f"{UNRESPONSIVE_LIMIT:.0f} s. A second one would destroy that data, so none is started; `postino down` "
            "ends the first"
        )
