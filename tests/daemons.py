"""A real `postino serve` with an embedded Valkey, in a home of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from postino.daemon import process
from postino.paths import Home
from tests import prefork
from tests.homes import scratch_home
from tests.waiting import until

#: without the loop guard: tests send as fast as they can, also by turns; tests/broker/test_guard.py is about it
UNGUARDED = {"POSTINO_SEND_RATE": "0", "POSTINO_PAIR_RATE": "0"}
START_S = 40  # a deadline


def environment(home: Home, **settings: str) -> dict[str, str]:
    """Return the environment of a command that works on a home; `settings` are further variables."""
    plain = {name: text for name, text in os.environ.items() if not name.startswith(("POSTINO_", "CLAUDE"))}
    return plain | {"POSTINO_HOME": str(home.root), "POSTINO_WEB_PORT": "0"} | UNGUARDED | settings


@dataclass
class Daemon:
    """A daemon that a test may stop, kill and start again.

    `constants`: times that a test would wait out, and shorter ones: {"postino.claude.wake.SILENCE_S": 5.0}.
    """

    home: Home
    env: dict[str, str]
    process: prefork.Forked | None = None
    extra: dict[str, str] = field(default_factory=dict)
    constants: dict[str, float] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where TCP answers."""
        return str(json.loads(self.home.info.read_text())["url"])

    @property
    def port(self) -> int:
        """The port of `url`."""
        return int(self.url.rpartition(":")[2])

    @property
    def pid(self) -> int:
        """The process that was started last."""
        assert self.process is not None
        return self.process.pid

    def start(self, **extra: str) -> Daemon:
        """Start it and return when it answers."""
        self.extra = extra
        self.process = prefork.source().fork(self.env | extra, self.home.log, self.constants)
        until(self.answers, "the daemon answers", START_S)
        return self

    def answers(self) -> bool:
        """Tell whether /api/health says over the unix socket that Valkey answers, too; curl would cost more."""
        assert self.process is not None
        assert self.process.poll() is None, self.home.log.read_text()
        return self.home.socket.exists() and process.is_healthy(self.home)

    def health(self) -> dict[str, object]:
        """Ask /api/health with real curl; {} when nobody answers."""
        said = subprocess.run(self._curl("health", "-m", "3"), capture_output=True, check=False).stdout
        return json.loads(said) if said else {}

    def asked(self, path: str, *options: str) -> Any:
        """Ask with real curl over the unix socket; return the JSON of an answer that is no refusal."""
        return json.loads(subprocess.run(self._curl(path, "-f", *options), check=True, capture_output=True).stdout)

    def posted(self, path: str, body: Any) -> Any:
        """Post JSON with real curl; return the JSON of an answer that is no refusal."""
        return self.asked(path, "-H", "Content-Type: application/json", "-d", json.dumps(body))

    def _curl(self, path: str, *options: str) -> list[str]:
        return ["curl", "-s", "--unix-socket", str(self.home.socket), *options, f"http://localhost/api/{path}"]

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to stop; return its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=30)

    def valkey_pid(self) -> int:
        """The embedded server's process."""
        return int((self.home.data / "valkey.pid").read_text())


@contextlib.contextmanager
def daemon_of(home: Home, **settings: str) -> Iterator[Daemon]:
    """Start a daemon on a home and kill it at the end; whoever made the home ends its Valkey."""
    made = Daemon(home, environment(home, **settings))
    try:
        yield made.start()
    finally:
        if made.process is not None and made.process.poll() is None:
            made.kill()


@contextlib.contextmanager
def scratch_daemon() -> Iterator[Daemon]:
    """Start a daemon in a scratch home and end both."""
    with scratch_home() as home, daemon_of(home) as daemon:
        yield daemon
