"""What a relay does with a daemon that says nothing, with one that says welcome, and with none that starts."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Iterator

import pytest

from postino.paths import Home
from postino.relay.daemon_link import WELCOME_S, DaemonLink
from postino.relay.lines import WriteBuffer
from postino.relay.requests import Request
from tests.relays import INITIALIZE

INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


@pytest.fixture
def daemon_socket(home: Home) -> Iterator[socket.socket]:
    """A daemon's socket, at which the test answers."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(home.socket))
        listening.listen()
        yield listening


@pytest.fixture
def link(home: Home, daemon_socket: socket.socket) -> Iterator[DaemonLink]:
    """A relay's connection, not yet dialled."""
    made = DaemonLink(str(home.root), WriteBuffer())
    yield made
    made.close()


def test_a_daemon_that_does_not_say_welcome_is_left_and_dialled_again(link: DaemonLink) -> None:
    now = time.monotonic()
    for seconds, connected in ((0.0, True), (WELCOME_S - 0.1, True), (WELCOME_S, False), (WELCOME_S + 60, True)):
        link.tick(now + seconds)
        assert (link.fileno() >= 0) is connected, seconds


def test_a_daemon_that_follows_another_gets_the_whole_handshake(link: DaemonLink, daemon_socket: socket.socket) -> None:
    link.initialize = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE}
    link.initialized, link.handshake_done = json.dumps(INITIALIZED).encode(), True
    link.tick(time.monotonic())
    daemon, _ = daemon_socket.accept()
    with daemon:
        daemon.sendall(b'{"postino":"welcome","version":"0"}\n')
        link.serve(select.POLLIN)
        link.serve(select.POLLOUT)
        hello, initialize, initialized = map(json.loads, daemon.recv(1 << 16).splitlines())

    assert hello["postino"] == "hello"
    assert initialize == link.initialize | {"id": initialize["id"]} and initialize["id"] != 1
    assert initialized == INITIALIZED


def test_a_request_soon_after_a_start_that_failed_is_told_so_at_once(home: Home) -> None:
    to_client = WriteBuffer()
    link = DaemonLink(str(home.root), to_client)
    link.starter.failure, link.start_at = "it did not start", time.monotonic() + 60

    link.request(7, Request(b"{}", True, None))

    told = json.loads(to_client.data)
    assert (told["id"], told["error"]["message"]) == (7, "it did not start")
    assert not link.requests
