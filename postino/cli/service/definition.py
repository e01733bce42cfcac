"""What a service manager is told of the daemon: a systemd user unit, a launchd property list. Decided, not written."""

from __future__ import annotations

import hashlib
import os
import plistlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from postino.cli.command import Command
from postino.config import KNOBS, SECRET
from postino.errors import BadField
from postino.home import is_placeholder
from postino.paths import Home
from postino.store_address import without_credentials

MARK = "written by `postino service install`; `postino service uninstall` removes it"
WATCHDOG_S = 60  # without a sign of the event loop, after which the daemon is started anew
START_S = 600  # to load the append-only file, which may be some GB
STOP_S = 30  # for requests in progress and the embedded Valkey; both take under 2 s
FILES = 65_536  # open files: each connection is one


@dataclass(frozen=True, slots=True)
class Definition:
    """The daemon of one home as a service: its name, its command and its environment."""

    name: str
    home: Home
    program: tuple[str, ...]
    variables: dict[str, str]

    def unit(self) -> str:
        """Return the systemd user unit.

        Hardening is limited to what a manager without privileges can do. Exit codes 2 and 3 mean a bad setting and
        another store: starting again does not help.
        """
        environment = "".join(f"Environment={_quoted(f'{name}={text}')}\n" for name, text in self.variables.items())
        log = str(self.home.log).replace("%", "%%")
        return f"""# {MARK}
[Unit]
Description=postino, a mailbox for coding agents
StartLimitIntervalSec=60
StartLimitBurst=10

[Service]
Type=notify
NotifyAccess=main
ExecStart={" ".join(_quoted(each).replace("$", "$$") for each in self.program)}
WorkingDirectory=/
{environment}StandardOutput=append:{log}
StandardError=inherit
Restart=on-failure
RestartSec=1
RestartPreventExitStatus=2 3
WatchdogSec={WATCHDOG_S}
TimeoutStartSec={START_S}
TimeoutStopSec={STOP_S}
LimitNOFILE={FILES}
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes

[Install]
WantedBy=default.target
"""

    def plist(self) -> bytes:
        """Return the launchd property list. launchd has no protocol by which a service says that it is ready."""
        return plistlib.dumps(
            {
                "Label": self.name,
                "ProgramArguments": list(self.program),
                "EnvironmentVariables": self.variables,
                "WorkingDirectory": "/",
                "RunAtLoad": True,
                "KeepAlive": {"SuccessfulExit": False},
                "ExitTimeOut": STOP_S,
                "Umask": 0o077,
                "StandardOutPath": str(self.home.log),
                "StandardErrorPath": str(self.home.log),
            },
            sort_keys=False,
        )


def define(command: Command, *, strict: bool = True) -> Definition:
    """Return the service for the home and the settings of this shell; not `strict`: without those that it cannot have.

    Raises:
        BadField: a secret is set as such, which would stand in the service's file, or a setting cannot stand there.
    """
    home = command.settings.home
    default = Path(command.environ.get("HOME") or Path.home(), ".postino")
    suffix = "" if home.root == default else f"-{hashlib.sha256(os.fsencode(home.root)).hexdigest()[:8]}"
    return Definition(
        f"postino{suffix}",
        home,
        (sys.executable, "-m", "postino", "serve", "--supervised"),
        _variables(command, strict),
    )


def _variables(command: Command, strict: bool) -> dict[str, str]:
    found = {"POSTINO_HOME": str(command.settings.home.root)}
    for knob in KNOBS:
        for variable in knob.variables:
            text = command.environ.get(variable, "")
            if not text or is_placeholder(text) or knob.name in ("home", "agent_name"):
                continue
            is_address = knob.name == "valkey_url" and without_credentials(text) == text
            if knob.name in SECRET and variable == knob.variable and not is_address:
                if not strict:
                    continue
                raise BadField(
                    f"{variable} is a secret, which must not stand in a service's file; write it to a file of mode "
                    f"0600 and set {variable}_FILE to its path instead",
                    field=variable,
                )
            found[variable] = text
    bad = [name for name, text in found.items() if re.search(r"[\x00-\x1f\x7f]", text)]
    if bad and strict:
        raise BadField(f"{bad[0]} has a control character, which a service's file cannot hold", field=bad[0])
    return found


def _quoted(text: str) -> str:
    """Return one word of a unit's line; `%` would name a specifier."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return escaped if re.fullmatch(r"[A-Za-z0-9_./:=@+,-]+", text) else f'"{escaped}"'
