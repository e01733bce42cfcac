"""GET /api/sessions: what the daemon knows of the sessions that are connected to it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from postino import __version__
from tests.daemons import Daemon
from tests.relays import real_relays
from tests.waiting import until

SCRIPT = Path(__file__).resolve().parents[2] / "plugin/scripts/hook.sh"


def hook(daemon: Daemon, event: str) -> None:
    """Run a hook as a client does whose process is this one."""
    given = {"session_id": "c-1", "hook_event_name": event, "cwd": "/tmp", "source": "startup", "prompt": "x"}
    env = daemon.env | {"CLAUDE_PID": str(os.getpid())}
    subprocess.run(["sh", SCRIPT, event], input=json.dumps(given).encode(), env=env, capture_output=True, check=True)


async def test_a_session_is_listed_with_its_hooks_and_leaves_with_its_relay(served: Daemon) -> None:
    async with real_relays() as spawn:
        relay = await spawn(served.env, POSTINO_AGENT_NAME="lea")
        assert (await relay.call("msg_whoami"))["agent"] == "lea"

        found = served.asked("sessions")
        assert found["total"] == 1
        before = found["items"][0]
        assert (before["agent"], before["version"], before["state"]) == ("lea", __version__, "unknown")
        assert (before["lastHook"], before["lastWake"], before["woken"]) == (None, None, None)
        assert before["client"] and before["wakeable"] is False  # this client has no inbox socket

        hook(served, "SessionStart")
        heard = served.asked("sessions")["items"][0]
        assert heard["state"] == "idle" and heard["lastHook"].endswith("Z")
        hook(served, "UserPromptSubmit")
        assert served.asked("sessions")["items"][0]["state"] == "busy"
        assert served.asked("sessions?limit=1&offset=1")["items"] == []

    until(lambda: served.asked("sessions")["total"] == 0, "the relay has gone")
