"""The hook as a command, run as the client would, and what it prints."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from postino.paths import Home

SCRIPT = Path(__file__).resolve().parents[2] / "plugin/scripts/hook.sh"
WORST = 1.0  # s
SLACK = 3.0  # s for three processes to start beside the work of others

Run = Callable[..., str]


def runner(home: Home, claude: int) -> Run:
    """Return what runs the hook on a home; it must succeed in time and say nothing on stderr."""

    def run(event: str, given: Any = None, **env: str) -> str:
        data = given if isinstance(given, bytes) else json.dumps(event_of(event) | (given or {})).encode()
        plain = {"PATH": os.environ["PATH"], "HOME": str(home.root), "POSTINO_HOME": str(home.root)}
        began = time.monotonic()
        done = subprocess.run(
            ["sh", SCRIPT, event],
            input=data,
            env=plain | {"CLAUDE_PID": str(claude), "POSTINO_WEB_PORT": "0"} | env,
            capture_output=True,
            timeout=10,
            check=False,
        )
        assert time.monotonic() - began < WORST + SLACK
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode()

    return run


def event_of(name: str) -> dict[str, Any]:
    return {"session_id": "c-1", "hook_event_name": name, "cwd": "/somewhere", "source": "startup", "prompt": "hi"}


def said(output: str) -> str:
    return str(json.loads(output)["hookSpecificOutput"]["additionalContext"]) if output else ""


def log(home: Home) -> str:
    return home.log.read_text()


def send(daemon: Any, body: str, *, to: str | None = None, sender: str = "ann") -> str:
    return str(daemon.posted("messages", {"to": to or agents(daemon)[0], "from": sender, "body": body})["id"])


def agents(daemon: Any) -> list[str]:
    return [each["name"] for each in daemon.asked("agents")["items"] if each["online"]]
