"""The client while Valkey is away, as in a failover, against a socket that says so."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from postino.client import Client
from postino.errors import StoreAway, Unreachable
from postino.transport import Answer
from tests.unit.badly import Badly, hangs_up, says, says_and_hangs_up, sends

OK = {"ok": True, "id": "x"}
STREAM = b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nid: 1-0\r\ndata: {"type": "msg_send"}\r\n\r\n'
AWAY = {"ok": False, "code": "store_away", "error": "away", "retryable": True}


@pytest.fixture
def patient(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client that tries often, and longer than any test takes, while Valkey is away."""
    monkeypatch.setattr("postino.client_calls.PAUSES", (0.01, 0.01))
    monkeypatch.setattr("postino.client_calls.FAILOVER", 100.0)
    with Client(path, seconds=100) as client:
        yield client


@pytest.mark.parametrize("outcome", ["none", "unknown"])
@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.send("bob", "hello"),
        lambda client: client.ask("bob", "hello?", seconds=30, sender="ada"),
        lambda client: client.check("bob"),
        lambda client: client.read("bob"),
        lambda client: client.read("bob", wait=30),
        lambda client: client.ack("bob", ["x"]),
        lambda client: client.seen("bob", ["x"]),
        lambda client: client.broadcasts_seen("bob", "x"),
    ],
)
def test_a_call_that_is_safe_to_repeat_waits_for_a_store_that_is_away(
    daemon: Badly, patient: Client, call: Callable[[Client], dict[str, object]], outcome: str
) -> None:
    daemon.script = [*[says(AWAY | {"outcome": outcome}, 503)] * 6, says(OK | {"reply": {}})]
    assert call(patient)["id"] == "x"
    bodies = [body for _, body in daemon.requests]
    assert len(bodies) == 7
    assert len({str(body.get("id")) for body in bodies}) == 1
    patient.close()


def test_a_store_that_was_away_for_a_moment_is_tried_again(daemon: Badly, patient: Client) -> None:
    daemon.script = [says(AWAY | {"outcome": "none"}, 503), says({"ok": True, "cleared": 1})]
    assert patient.clear("bob")["cleared"] == 1
    patient.close()


def test_a_call_that_is_not_safe_to_repeat_waits_only_while_nothing_was_done(daemon: Badly, patient: Client) -> None:
    for call in (lambda: patient.clear("bob"), lambda: patient.read("bob", ack_now=True)):
        daemon.requests.clear()
        none, unknown = (says(AWAY | {"outcome": outcome}, 503) for outcome in ("none", "unknown"))
        daemon.script = [none] * 6 + [unknown, says(OK)]
        with pytest.raises(StoreAway) as caught:
            call()
        assert caught.value.detail["outcome"] == "unknown"
        assert len(daemon.requests) == 7
        daemon.script = []
    patient.close()


def test_a_daemon_that_is_replaced_while_valkey_is_away_is_waited_for(daemon: Badly, patient: Client) -> None:
    """The first try after six answers meets a daemon that ends, the next ones its successor."""
    none = AWAY | {"outcome": "none"}
    lost = sends(b"HTTP/1.1 200 OK\r\n")
    daemon.script = [*[says(none, 503)] * 6, lost, *[says(none, 503)] * 3, lost, says(OK)]
    assert patient.send("bob", "hello")["id"] == "x"
    assert len(daemon.requests) == 12
    patient.close()


def test_a_daemon_that_has_answered_before_is_waited_for_without_a_starter(daemon: Badly, path: Path) -> None:
    """While its successor begins, nothing is at its address."""
    aside = path.with_name("aside")

    class Replaced(Client):
        tries = 0

        def _once(self, *asked: Any) -> Answer:
            self.tries += 1
            if self.tries == 2:
                path.rename(aside)
            elif self.tries == 3:
                aside.rename(path)
            return super()._once(*asked)

    daemon.script = [says_and_hangs_up(AWAY | {"outcome": "none"}, 503), says(OK)]
    with Replaced(path, seconds=100) as client:
        assert client.clear("bob")["id"] == "x"
    assert client.tries == 3


@pytest.mark.parametrize(("code", "tries"), [("store_away", range(1, 1000)), ("store_full", range(3, 4))])
def test_a_call_gives_up_in_the_end(
    daemon: Badly, patient: Client, monkeypatch: pytest.MonkeyPatch, code: str, tries: range
) -> None:
    monkeypatch.setattr("postino.client_calls.FAILOVER", 0.2)
    daemon.script = [says(AWAY | {"code": code, "outcome": "none"}, 503)] * 1000
    with pytest.raises(StoreAway):
        patient.send("bob", "hello")
    assert len(daemon.requests) in tries
    patient.close()


def test_a_client_whose_tries_are_short_gives_up_as_early(daemon: Badly, path: Path) -> None:
    daemon.script = [says(AWAY | {"outcome": "none"}, 503)] * 1000
    with Client(path, seconds=0.5) as client, pytest.raises((StoreAway, Unreachable)):
        client.check("bob")
    assert len(daemon.requests) < 10


def test_a_long_poll_that_was_lost_waits_for_the_rest_of_its_time(
    daemon: Badly, patient: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is lost more often than a call is tried, each time after it has waited."""
    monkeypatch.setattr("postino.client_calls.WAITED", 0.02)

    def waits_and_hangs_up(line: socket.socket) -> bool:
        time.sleep(0.05)
        return False

    daemon.script = [*[waits_and_hangs_up] * 6, says({"items": []})]
    patient.read("bob", wait=30)
    waits = [float(str(body["wait"])) for _, body in daemon.requests]
    assert len(waits) == 7
    assert 20 < waits[0] <= 30
    assert waits == sorted(set(waits), reverse=True)
    patient.close()


@pytest.mark.parametrize("then", [[], [hangs_up, says_and_hangs_up(AWAY, 503)]], ids=["alone", "daemon replaced"])
def test_a_stream_of_events_waits_for_a_store_that_is_away(
    daemon: Badly, patient: Client, then: list[Callable[[socket.socket], bool]]
) -> None:
    daemon.script = [*[says_and_hangs_up(AWAY, 503)] * 4, *then, sends(STREAM)]
    found = patient.events()
    assert next(found)["event_id"] == "1-0"
    found.close()  # type: ignore[attr-defined]
    assert len(daemon.requests) == 5 + len(then)


def test_a_stream_of_events_does_not_wait_for_a_daemon_that_never_answered(daemon: Badly, patient: Client) -> None:
    daemon.script = [hangs_up, sends(STREAM)]
    with pytest.raises(Unreachable):
        next(patient.events())
    assert len(daemon.requests) == 1
