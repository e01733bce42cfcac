"""A scratch HOME with a client, a mailbox, and the scripted model that the client talks to."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic

from postino.paths import Home
from postino.transport import Transport
from tests import homes, processes
from tests.daemons import Daemon
from tests.scripted.model import Json, M
from tests.waiting import PATIENCE_S

RUN_S = 150  # a deadline: opencode, which computes for seconds, takes a minute beside others


@dataclass(kw_only=True)
class ScriptedMachine(Generic[M]):
    """A HOME; `binary` is the client's program, `extra` further variables."""

    root: Path
    binary: str
    model: M
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """What everything runs with: nothing of this process's own environment."""
        return {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(self.root),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "POSTINO_HOME": str(self.root / "po"),
            "POSTINO_WEB_PORT": "0",
            **self.client_env(),
            **self.extra,
        }

    def client_env(self) -> dict[str, str]:
        """Return the variables that only this client needs."""
        return {}

    def project(self, name: str = "project") -> Path:
        """Return a directory for sessions to run in."""
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        return folder

    def run(self, *command: str, cwd: Path | None = None, code: int | None = 0, **env: str) -> str:
        """Run a command to its end and return its output."""
        done = subprocess.run(
            command,
            env=self.env | env,
            cwd=cwd or self.project(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )
        assert code is None or done.returncode == code, done
        return done.stdout

    def postino(self, *args: str, **options: Any) -> str:
        """Run postino's own command line."""
        return self.run(sys.executable, "-m", "postino", *args, **options)

    def serve(self, **constants: float) -> None:
        """Start the daemon, as `postino up` does, without its second of imports."""
        env = {name: text for name, text in self.env.items() if not name.startswith("CLAUDE")}
        Daemon(Home(self.root / "po").prepare(), env, constants=constants).start()

    def data(self, *args: str) -> Any:
        """Run postino with --json and return what it says."""
        return json.loads(self.postino(*args, "--json"))

    def send(self, to: str, body: str = "hello", *, sender: str = "ann", id: str = "") -> str:
        """Send a message from outside; return its id."""
        sent = self.data("send", to, body, "--from", sender, *(["--id", id] if id else []))
        return str(sent["id"])

    def asked(self, path: str) -> Any:
        """Return the answer of the daemon to a GET; who waits for one asks often, so without a process."""
        with contextlib.closing(Transport(self.root / "po/daemon.sock")) as transport:
            return json.loads(transport.exchange("GET", f"/api/{path}", None, {}, PATIENCE_S).body)

    def state(self, agent: str, id: str) -> Json:
        """Return what became of a message."""
        return self.asked(f"messages/{agent}/{id}")  # type: ignore[no-any-return]


@contextlib.contextmanager
def scratch_root() -> Iterator[Path]:
    """Give an empty HOME; whatever runs there in the end is killed."""
    root = homes.scratch()
    try:
        yield root
    finally:
        processes.kill_all(root)
        shutil.rmtree(root, ignore_errors=True)
