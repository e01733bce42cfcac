"""The real command line in scratch homes: `postino` shares one daemon, `bare` has none yet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from postino.paths import Home
from tests.daemons import Daemon
from tests.homes import scratch_home


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Postino:
    """A home, and the command that works on it."""

    home: Path
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        kept = {
            name: text for name, text in os.environ.items() if not name.startswith(("POSTINO_", "CLAUDE", "PYTHON"))
        }
        return kept | {"POSTINO_HOME": str(self.home), "POSTINO_WEB_PORT": "0"} | self.settings

    def serve(self, **settings: str) -> None:
        """Start the daemon that `up` would start, without its imports: for tests of something else."""
        Daemon(Home(self.home).prepare(), self.env | settings).start()

    def open(self, *args: str, **options: Any) -> subprocess.Popen[bytes]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        options = pipes | {"env": self.env} | options
        return subprocess.Popen([sys.executable, "-m", "postino", *args], **options)

    def run(self, *args: str, stdin: bytes = b"", **settings: str) -> Done:
        """Run a command to its end; `settings` are further variables."""
        with Postino(self.home, self.settings | settings).open(*args) as process:
            out, err = process.communicate(stdin, timeout=30)
        return Done(process.returncode, out.decode(), err.decode())

    def ok(self, *args: str, **options: Any) -> str:
        """Run a command that must succeed without a word on stderr; return its output."""
        done = self.run(*args, **options)
        assert (done.code, done.err) == (0, "")
        return done.out

    def json(self, *args: str, **options: Any) -> Any:
        """Run it with --json and return the data."""
        return json.loads(self.ok(*args, "--json", **options))

    def no(self, code: int, *args: str, **options: Any) -> str:
        """Run a command that must fail with `code`, one sentence and no output; return the sentence."""
        done = self.run(*args, **options)
        if "--json" in args:
            body = json.loads(done.out)
            assert (done.code, body["ok"], done.err) == (code, False, ""), done
            return str(body["error"])
        assert (done.code, done.out) == (code, ""), done
        assert done.err.startswith("postino: ")
        assert done.err.count("\n") == 1
        return done.err.removeprefix("postino: ").rstrip("\n")


@pytest.fixture(scope="session")
def postino() -> Iterator[Postino]:
    """A home whose daemon runs, shared by all tests of a worker: use names of your own."""
    with scratch_home() as home:
        command = Postino(home.root)
        command.ok("up")
        yield command
        command.ok("down")


@pytest.fixture
def bare() -> Iterator[Postino]:
    """A home where nothing has run yet, and nothing does afterwards."""
    with scratch_home() as home:
        command = Postino(home.root)
        yield command
        if any(home.root.iterdir()):
            command.ok("down")
