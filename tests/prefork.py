"""Real daemons without the second of CPU that their imports take: forked from a process that has done the imports.

A run starts some 400 daemons, most of them only for what a test does next. Such a one begins where `postino serve` has
imported its modules, in a process of its own, with the environment, the log and the arguments of its own. Tests of how
a daemon starts, what it imports or what it costs use the command.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from postino.store import scripts
from tests.waiting import PATIENCE_S

MODULES = ("postino.cli.daemon", "postino.daemon.serve", "postino.daemon.http_face", "postino.mcp.http_sessions")
ROOM = "." * 400  # as an argument: a forked daemon writes its own arguments there


class Forked:
    """A daemon that was forked; used as a subprocess.Popen."""

    def __init__(self, source: Source, pid: int) -> None:
        self._source = source
        self.pid = pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs, as far as `poll` and `wait` have seen."""
        return self._source.codes.get(self.pid)

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        self._source.listen(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return the exit code."""
        while (code := self.poll()) is None:
            if not self._source.listen(timeout):
                raise subprocess.TimeoutExpired("postino serve", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it is ending
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to stop."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9."""
        self.send_signal(signal.SIGKILL)


class Source:
    """A process that has imported the modules of a daemon, and forks one when it is told to."""

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}  # of the daemons that have ended
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.prefork", str(theirs.fileno()), ROOM],
                cwd=Path(__file__).parents[1],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        atexit.register(self._end)

    def fork(self, env: Mapping[str, str], log: Path, constants: Mapping[str, float]) -> Forked:
        """Start a daemon with this environment and log; `constants` of its modules have other values in it."""
        self._line.send(json.dumps([dict(env), str(log), dict(constants)]).encode())
        while "started" not in (said := self._receive()):
            pass
        self.codes.pop(said["started"], None)  # of an earlier one with that pid
        return Forked(self, said["started"])

    def listen(self, timeout: float | None) -> bool:
        """Wait for the end of a daemon; return whether one has ended within `timeout` seconds."""
        if not select.select([self._line], [], [], timeout)[0]:
            return False
        self._receive()
        return True

    def _receive(self) -> dict[str, int]:
        said: dict[str, int] = json.loads(self._line.recv(1 << 10))
        if "ended" in said:
            self.codes[said["ended"]] = said["code"]
        return said

    def _end(self) -> None:
        self._line.close()
        self._process.wait(PATIENCE_S)


@functools.cache
def source() -> Source:
    """Return the one of this process."""
    return Source()


def _answer(line: socket.socket) -> None:
    """Fork when told to, and tell who has ended, until the other end is closed. Returns in each daemon."""
    wake, woken = socket.socketpair()
    woken.setblocking(False)
    signal.set_wakeup_fd(woken.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        readable, _, _ = select.select([line, wake], [], [])
        if wake in readable:
            wake.recv(1 << 10)
            for pid, status in _ended():
                line.send(json.dumps({"ended": pid, "code": os.waitstatus_to_exitcode(status)}).encode())
        if line in readable:
            request = line.recv(1 << 20)
            if not request:
                os._exit(0)
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for each in (line, wake, woken):
                    each.close()
                return _become(*json.loads(request))
            line.send(json.dumps({"started": pid}).encode())


def _ended() -> list[tuple[int, int]]:
    found = []
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            found.append(ended)
    return found


def _become(env: dict[str, str], log: str, constants: dict[str, float]) -> None:
    for path, value in constants.items():
        module, _, name = path.rpartition(".")
        kind = type(getattr(sys.modules[module], name))
        assert kind in (int, float)
        setattr(sys.modules[module], name, kind(value))
    os.setsid()
    os.chdir("/")
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["postino", "serve"]
    _show(["postino", "serve", f"POSTINO_HOME={env['POSTINO_HOME']}"])


def _show(arguments: list[str]) -> None:
    """Let /proc/PID/cmdline say this: scratch homes find by it the processes that they have to end."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    first, end = int(fields[45]), int(fields[46])
    ctypes.memmove(first, "\0".join(arguments).encode()[: end - first - 1].ljust(end - first, b"\0"), end - first)


if __name__ == "__main__":
    for name in MODULES:
        importlib.import_module(name)
    scripts.packaged()
    _answer(socket.socket(fileno=int(sys.argv[1])))
    from postino.__main__ import main

    sys.exit(main())
