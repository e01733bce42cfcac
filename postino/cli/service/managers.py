"""The service managers: systemd's of the user, and launchd. Each is asked and told by its own command."""

from __future__ import annotations

import os
import plistlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.parsers.expat import ExpatError

from postino.cli.program import finished
from postino.cli.service.definition import Definition
from postino.errors import Unreachable

TIMEOUT_S = 60.0  # for one command; a start returns when the daemon serves


@dataclass(frozen=True, slots=True)
class State:
    """What a manager says of the service. `pid`: its main process, None if it does not run."""

    active: bool
    pid: int | None
    words: str


class _Manager:
    """What both have: a command by which each is asked and told."""

    program: tuple[str, ...]

    def __init__(self, definition: Definition, environ: Mapping[str, str]) -> None:
        self._definition = definition
        self._environ = dict(environ)

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        words = *self.program, *words
        path = shutil.which(words[0], path=self._environ.get("PATH"))
        if path is None:
            raise Unreachable(f"{words[0]} is not on PATH")
        try:
            return finished([path, *words[1:]], self._environ, TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise Unreachable(f"{shlex.join(words)} did not end within {TIMEOUT_S:.0f} s") from None

    def _do(self, *words: str) -> None:
        done = self._run(*words)
        if done.returncode:
            raise Unreachable(f"{shlex.join([*self.program, *words])} failed; it printed: {_words(done)}")


class Systemd(_Manager):
    """The user's systemd."""

    kind = "systemd user unit"  # what it calls a service
    program = ("systemctl", "--user")
    hint = "it starts and ends with your login sessions; `loginctl enable-linger` makes it start at boot"

    def __init__(self, definition: Definition, environ: Mapping[str, str]) -> None:
        super().__init__(definition, environ)
        config = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or Path.home(), ".config")
        self._environ.setdefault("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
        self._name = f"{definition.name}.service"
        self.file = Path(config, "systemd/user", self._name)

    def content(self) -> bytes:
        """Return the unit."""
        return self._definition.unit().encode(errors="surrogateescape")

    def settings(self, content: bytes) -> object:
        """Return the lines of a unit that set variables."""
        return sorted(line for line in content.splitlines() if line.startswith(b"Environment="))

    def reach(self) -> None:
        """Raise Unreachable if there is no manager for this user."""
        done = self._run("show-environment")
        if done.returncode:
            raise Unreachable(
                f"systemd's manager of this user does not answer ({_words(done)}); log in as this user, not by `su`, "
                "or run `loginctl enable-linger` as root for it"
            )

    def starter(self) -> str:
        """Return the command; a client may pass on an environment without XDG_RUNTIME_DIR."""
        runtime = 'XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/run/user/$(id -u)}"'
        return f"{runtime} systemctl --user start {shlex.quote(self._name)}"

    def enable(self) -> None:
        """Let it start with the first session of the user, or at boot for a user that lingers."""
        self._do("daemon-reload")
        self._do("enable", self._name)

    def start(self) -> None:
        """Start it and return when the daemon serves."""
        self._do("restart", self._name)

    def disable(self) -> None:
        """Stop it and remove the link that `enable` made."""
        self._do("disable", "--now", self._name)

    def forget(self) -> None:
        """Read the units again."""
        self._do("daemon-reload")
        self._run("reset-failed", self._name)  # fails where there is nothing to reset

    def state(self) -> State:
        """Return the unit's state and main process."""
        names = "ActiveState,SubState,MainPID,Result,UnitFileState"
        done = self._run("show", self._name, f"--property={names}")
        if done.returncode:
            return State(False, None, _words(done))
        found = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
        pid = int(found.get("MainPID") or 0) or None
        active = found.get("ActiveState") == "active"
        words = f"{found.get('ActiveState', '?')} ({found.get('SubState', '?')})"
        if found.get("Result", "success") != "success":
            words += f", {found['Result']}"
        return State(active, pid, words if found.get("UnitFileState") == "enabled" else f"{words}, not enabled")


class Launchd(_Manager):
    """launchd, in the domain of the user's login session."""

    kind = "launchd agent"
    program = ("launchctl",)
    hint = "it starts when you log in"

    def __init__(self, definition: Definition, environ: Mapping[str, str]) -> None:
        super().__init__(definition, environ)
        self._domain = f"gui/{os.getuid()}"
        self._target = f"{self._domain}/{definition.name}"
        self.file = Path(environ.get("HOME") or Path.home(), "Library/LaunchAgents", f"{definition.name}.plist")

    def content(self) -> bytes:
        """Return the property list."""
        return self._definition.plist()

    def settings(self, content: bytes) -> object:
        """Return the variables of a property list, None if it cannot be read."""
        try:
            return plistlib.loads(content).get("EnvironmentVariables")
        except (plistlib.InvalidFileException, ValueError, AttributeError, ExpatError):
            return None

    def reach(self) -> None:
        """Raise Unreachable if the user has no login session."""
        done = self._run("print", self._domain)
        if done.returncode:
            raise Unreachable(f"launchd has no login session of this user ({_words(done)}); log in on its screen first")

    def starter(self) -> str:
        """Return the command; unlike systemctl, launchctl returns before the daemon serves."""
        return f"launchctl kickstart {shlex.quote(self._target)} && {waiting(self._definition)}"

    def enable(self) -> None:
        """Load it, which also starts it."""
        self._run("bootout", self._target)  # an earlier file of it; fails if there is none
        self._do("bootstrap", self._domain, str(self.file))

    def start(self) -> None:
        """Start it anew."""
        self._do("kickstart", "-k", self._target)

    def disable(self) -> None:
        """Stop and unload it."""
        self._do("bootout", self._target)

    def forget(self) -> None:
        """Do nothing: a service that is not loaded is not known."""

    def state(self) -> State:
        """Return whether it is loaded, and its process."""
        done = self._run("print", self._target)
        if done.returncode:
            return State(False, None, "not loaded")
        pid = re.search(r"^\s*pid = ([0-9]+)$", done.stdout, re.MULTILINE)
        said = re.search(r"^\s*state = (.+)$", done.stdout, re.MULTILINE)
        return State(pid is not None, int(pid[1]) if pid else None, said[1] if said else "loaded")


Manager = Systemd | Launchd


def manager(definition: Definition, environ: Mapping[str, str], kind: str | None = None) -> Manager:
    """Return this machine's service manager, or the one that is named.

    Raises:
        Unreachable: it has none.
    """
    if kind == "launchd" or (kind is None and sys.platform == "darwin"):
        return Launchd(definition, environ)
    if kind is None and shutil.which("systemctl", path=environ.get("PATH")) is None:
        raise Unreachable(
            "this machine has neither systemd nor launchd; let the supervisor that it has run "
            f"`{shlex.join(definition.program)}`"
        )
    return Systemd(definition, environ)


def waiting(definition: Definition) -> str:
    """Return the shell command that returns when the daemon serves, after about 20 s in any case."""
    status = shlex.join([definition.program[0], "-m", "postino", "status"])
    return f"for _ in $(seq 40); do {status} && break; sleep 0.5; done"


def _words(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join((done.stderr.strip() or done.stdout.strip() or "nothing").split())
