"""The client against a real socket that behaves as badly as a dying daemon does."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from postino.client import Client
from postino.errors import BadField, BadName, InboxFull, KeyReused, LeaseLost, PostinoError, StoreAway, Unreachable
from tests.unit.badly import Badly, drips, hangs_up, says, says_and_hangs_up, sends
from tests.waiting import until

OK = {"ok": True, "id": "x"}


@pytest.fixture
def client(path: Path) -> Iterator[Client]:
    with Client(path, seconds=2) as client:
        yield client


def test_one_connection_serves_many_calls(daemon: Badly, client: Client) -> None:
    daemon.script = [says(OK), says(OK), says(OK)]
    for _ in range(3):
        client.send("bob", "hello")
    assert daemon.connections == 1
    client.close()


def test_a_send_without_an_id_gets_one_and_keeps_it_over_retries(daemon: Badly, client: Client) -> None:
    daemon.script = [hangs_up, hangs_up, says(OK)]
    assert client.send("bob", "hello", sender="ada") == OK
    ids = {body["id"] for _, body in daemon.requests}
    assert len(daemon.requests) == 3
    assert len(ids) == 1
    assert len(str(ids.pop())) == 32
    client.close()


def test_a_send_that_stays_unknown_names_the_id_that_makes_a_retry_safe(daemon: Badly, client: Client) -> None:
    daemon.script = [hangs_up] * 3
    with pytest.raises(Unreachable) as caught:
        client.send("bob", "hello")
    assert caught.value.detail == {"outcome": "unknown", "id": daemon.requests[0][1]["id"]}


def test_a_request_that_may_have_acted_and_is_not_idempotent_is_not_repeated(daemon: Badly, client: Client) -> None:
    for repeat in (
        lambda: client.clear("bob"),
        lambda: client.rename("bob", "rob"),
        lambda: client.nack("bob", ["x"]),
        lambda: client.requeue("bob"),
        lambda: client.clear_dead("bob"),
        lambda: client.clear_broadcasts(),
        lambda: client.forget("bob"),
        lambda: client.read("bob", ack_now=True),
        lambda: client.read_broadcasts("bob"),
    ):
        daemon.requests.clear()
        daemon.script = [hangs_up, says(OK)]
        with pytest.raises(Unreachable) as caught:
            repeat()
        assert caught.value.detail["outcome"] == "unknown"
        assert len(daemon.requests) == 1


def test_a_read_of_unknown_outcome_is_repeated_with_resume(daemon: Badly, client: Client) -> None:
    daemon.script = [hangs_up, says({"items": []})]
    client.read("bob")
    assert [body.get("resume") for _, body in daemon.requests] == [None, True]
    assert len({body["consumer"] for _, body in daemon.requests}) == 1
    client.close()


def test_a_connection_the_daemon_closed_meanwhile_costs_nothing_even_what_cannot_be_repeated(
    daemon: Badly, client: Client
) -> None:
    daemon.script = [says_and_hangs_up(OK), says({"ok": True, "cleared": 0})]
    client.send("bob", "hello")
    until(lambda: daemon.ended, "the daemon has closed the connection")
    assert client.clear("bob") == {"ok": True, "cleared": 0}
    assert daemon.connections == 2
    client.close()


def test_nobody_there_is_one_sentence_at_once(path: Path, client: Client) -> None:
    began = time.monotonic()
    with pytest.raises(Unreachable) as caught:
        client.check("bob")
    assert time.monotonic() - began < 1
    assert caught.value.message == (
        f"no postino daemon answers at {path} (No such file or directory); run `postino up`"
    )
    assert caught.value.detail == {"outcome": "none"}


def test_start_is_called_when_nobody_is_there_and_the_call_then_made(path: Path) -> None:
    started: list[Badly] = []

    def start() -> None:
        started.append(Badly(path))
        started[0].script = [says({"ok": True, "cleared": 3})]

    with Client(path, start=start) as client:
        assert client.clear("bob") == {"ok": True, "cleared": 3}
    started[0].close()
    assert len(started) == 1


def test_what_start_refuses_is_what_the_call_says(path: Path) -> None:
    def start() -> None:
        raise StoreAway("Valkey is away", outcome="none")

    with Client(path, start=start) as client, pytest.raises(StoreAway, match="Valkey is away"):
        client.stats()


def test_doubt_is_reported_even_when_the_daemon_then_stays_away(path: Path) -> None:
    badly = Badly(path)

    def hang_up_for_good(line: socket.socket) -> bool:
        badly.path.unlink()
        return False

    badly.script = [hang_up_for_good]
    with Client(path) as client, pytest.raises(Unreachable) as caught:
        client.send("bob", "hello", id="mine")
    badly.close()
    assert caught.value.detail == {"outcome": "unknown", "id": "mine"}


@pytest.mark.parametrize(
    ("answer", "kind", "detail"),
    [
        ((429, {"code": "inbox_full"}), InboxFull, {}),
        ((409, {"code": "key_reused", "field": "id"}), KeyReused, {"field": "id"}),
        ((409, {"code": "lease_lost", "rejected": ["a"], "acknowledged": []}), LeaseLost, {"rejected": ["a"]}),
        ((503, {"code": "never heard of"}), PostinoError, {}),
    ],
)
def test_a_refusal_comes_back_as_its_class(
    daemon: Badly, client: Client, answer: tuple[int, dict[str, object]], kind: type, detail: dict[str, object]
) -> None:
    status, body = answer
    daemon.script = [says({"ok": False, "error": "no, because", "retryable": False} | body, status)]
    with pytest.raises(PostinoError) as caught:
        client.send("bob", "hello", id="x")
    assert type(caught.value) is kind
    assert caught.value.message == "no, because"
    assert caught.value.detail.items() >= detail.items()
    client.close()


def test_health_of_an_unhealthy_daemon_is_an_answer(daemon: Badly, client: Client) -> None:
    daemon.script = [says({"ok": False, "valkey": False}, 503)]
    assert client.health() == {"ok": False, "valkey": False}
    client.close()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200,
    ],
)
def test_half_an_answer_or_none_is_unknown(daemon: Badly, client: Client, raw: bytes) -> None:
    daemon.script = [sends(raw)]
    with pytest.raises(Unreachable) as caught:
        client.clear("bob")
    assert caught.value.detail["outcome"] == "unknown"


def test_a_stranger_on_the_port_is_told_apart(daemon: Badly, client: Client) -> None:
    daemon.script = [sends(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>")]
    with pytest.raises(PostinoError, match="check which program listens"):
        client.stats()


def test_a_dripping_answer_ends_with_the_deadline(daemon: Badly, path: Path) -> None:
    daemon.script = [drips]
    began = time.monotonic()
    with Client(path, seconds=0.5) as client, pytest.raises(Unreachable, match="timed out"):
        client.clear("bob")
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_no_path_can_carry_is_refused_here(client: Client, name: str) -> None:
    with pytest.raises(BadName):
        client.check(name)
    with pytest.raises(BadField):
        client.state("bob", name)


def test_names_and_queries_are_escaped(daemon: Badly, client: Client) -> None:
    daemon.script = [says({"items": []}), says({"items": []})]
    client.peek("a/b?c#d é")
    client.history(q="a&b=c", with_="x y")
    assert [head for head, _ in daemon.requests] == [
        "GET /api/messages/a%2Fb%3Fc%23d%20%C3%A9",
        "GET /api/history?with=x+y&q=a%26b%3Dc",
    ]
    client.close()


@pytest.mark.parametrize("address", ["/tmp/daemon.sock", "localhost:3333", "http://", "http://h:99999", "ftp://h"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(BadField):
        Client(address)


def test_no_proxy_is_ever_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy, socket.create_server(("127.0.0.1", 0)) as direct:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        url = f"http://127.0.0.1:{direct.getsockname()[1]}"
        with Client(url, token="secret", seconds=0.2) as client, pytest.raises(Unreachable):
            client.clear("bob")
        with direct.accept()[0] as line:
            assert b"Authorization: Bearer secret\r\n" in line.recv(4096)
        proxy.settimeout(0)
        with pytest.raises(BlockingIOError):
            proxy.accept()


def test_events_resume_behind_the_last_one_and_survive_a_message_with_an_id(daemon: Badly, client: Client) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"

    def event(number: int) -> bytes:
        return b'event: update\r\nid: %d-0\r\ndata: {"type": "msg_send",\r\ndata: "id": "m"}\r\n\r\n' % number

    daemon.script = [
        sends(head + b": ping\r\n\r\n" + event(1) + event(2) + b"id: 3-0\r\ndata: {"),
        sends(head + event(3)),
    ]
    found = client.events(types=["msg_send", "gap"], agent="bob")
    assert [next(found) for _ in range(3)] == [
        {"event_id": f"{number}-0", "type": "msg_send", "id": "m"} for number in (1, 2, 3)
    ]
    found.close()  # type: ignore[attr-defined]
    assert daemon.requests[0][0] == "GET /api/events?agent=bob&type=msg_send%2Cgap"


def test_events_of_a_daemon_that_stays_away_end_after_the_patience(daemon: Badly, path: Path) -> None:
    daemon.script = [sends(b"HTTP/1.1 200 OK\r\n\r\n")]
    with Client(path) as client:
        found = client.events(patience=0.5)
        threading.Timer(0.1, path.unlink).start()
        with pytest.raises(Unreachable):
            next(found)


@pytest.mark.parametrize(
    "address", ["http://me:secret@localhost:3333", "https://:12/secret@host", "http://h:12secret@x"]
)
def test_an_address_with_a_password_is_refused_and_the_password_not_shown(address: str) -> None:
    with pytest.raises(BadField) as refused:
        Client(address)

    assert "secret" not in refused.value.message
