"""A relay that takes the place of an older one in an open session."""

from __future__ import annotations

import json
import sys
import time

import pytest

from postino.relay import main, renewal
from postino.relay.renewal import STATE, TOOLS_CHANGED, Renewal
from tests.waiting import until


def test_what_is_handed_over_reaches_no_daemon_that_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"session": "s-1", "generation": 3, "initialize": {"id": 0}, "initialized": "{}", "subscription": {"id": 7}}
    relays: list[main.Relay] = []

    def run(relay: main.Relay) -> int:
        relays.append(relay)
        return 0

    monkeypatch.setenv(STATE, json.dumps(state))
    monkeypatch.setattr(main.Relay, "run", run)
    monkeypatch.setattr(main.signal, "signal", lambda *_: None)

    assert main.main() == 0

    link = relays[0].daemon
    assert (link.session, link.generation, link.initialize) == ("s-1", 3, {"id": 0})
    assert link.subscription == {"id": 7}
    assert bytes(link.to_client.data) == TOOLS_CHANGED + b"\n"
    assert STATE not in link.starter._environ


def test_an_installed_version_that_does_not_answer_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "VERSION_S", 1.0)
    monkeypatch.setattr(sys, "orig_argv", ["python", "-c", "import time; time.sleep(600)", "mcp"])
    began = time.monotonic()
    asking = Renewal()

    assert not asking.is_answered()
    assert time.monotonic() - began < renewal.VERSION_S
    until(asking.is_answered, "it is given up")
    assert asking._asked is not None and asking._asked.returncode == -9
    assert asking._version() == ""
