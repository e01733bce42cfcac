"""A client that has gone while its request was under way gets nothing, and nothing of it stays with it."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.request
from typing import Any

import pytest

from tests.waiting import until


def dial(daemon: Any, *, tcp: bool) -> socket.socket:
    if tcp:
        return socket.create_connection(("127.0.0.1", daemon.port), 10)
    line = socket.socket(socket.AF_UNIX)
    line.settimeout(10)
    line.connect(str(daemon.home.socket))
    return line


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("first", ["closes", "half-closes"])
def test_a_read_whose_client_left_meanwhile_leases_nothing(daemon: Any, first: str, tcp: bool) -> None:
    daemon.posted("messages", {"to": "bob", "body": "hi", "id": "g1"})
    host = daemon.url.removeprefix("http://")
    request = f"POST /api/messages/bob/read HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    os.kill(daemon.valkey_pid(), signal.SIGSTOP)
    try:
        with dial(daemon, tcp=tcp) as line:
            line.sendall(f"{request}Content-Length: 0\r\n\r\n".encode())
            if first == "half-closes":
                line.shutdown(socket.SHUT_WR)
        answer_after(daemon)
    finally:
        os.kill(daemon.valkey_pid(), signal.SIGCONT)

    until(lambda: daemon.asked("messages/bob/g1")["state"] == "queued", "it is queued again")


def answer_after(daemon: Any) -> None:
    """Return when the daemon has looked at all that was sent before: it takes its connections in order."""
    with dial(daemon, tcp=True) as line:
        line.sendall(b"GET /nowhere HTTP/1.0\r\nHost: x\r\n\r\n")
        assert line.recv(100).startswith(b"HTTP/1.0 421")


def test_a_stream_whose_client_left_before_it_began_is_no_error(daemon: Any) -> None:
    os.kill(daemon.valkey_pid(), signal.SIGSTOP)
    try:
        with dial(daemon, tcp=False) as line:
            line.sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer_after(daemon)
    finally:
        os.kill(daemon.valkey_pid(), signal.SIGCONT)

    until(lambda: handled(daemon, "/api/events") == 1, "the request is over")
    assert "internal_error" not in daemon.home.log.read_text()


def handled(daemon: Any, route: str) -> int:
    """Return how many GET requests of a route are over, as the metrics tell."""
    with urllib.request.urlopen(f"{daemon.url}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    begins = f'postino_http_request_seconds_count{{method="GET",route="{route}"}} '
    return next((int(float(line.removeprefix(begins))) for line in lines if line.startswith(begins)), 0)


@pytest.mark.parametrize("tcp", [False, True])
def test_a_read_whose_client_only_sends_nothing_more_gets_its_messages(daemon: Any, tcp: bool) -> None:
    daemon.posted("messages", {"to": "bob", "body": "hi", "id": "g1"})
    host = daemon.url.removeprefix("http://")
    with dial(daemon, tcp=tcp) as line:
        head = f"POST /api/messages/bob/read HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        line.sendall(f"{head}Content-Length: 0\r\n\r\n".encode())
        line.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: line.recv(65_536), b""))

    assert [each["id"] for each in json.loads(answer.partition(b"\r\n\r\n")[2])["items"]] == ["g1"]
