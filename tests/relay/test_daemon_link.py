"""The relay's connection by itself: a daemon that is silent, says welcome, does not start, or says too much."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Iterator

import pytest

from postino.paths import Home
from postino.relay.daemon_link import MAX_BUFFERED, WELCOME_S, DaemonLink
from postino.relay.lines import WriteBuffer
from postino.relay.requests import Request
from tests.relays import INITIALIZE
from tests.waiting import until

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


def test_what_a_daemon_answered_before_it_went_is_read(link: DaemonLink, daemon_socket: socket.socket) -> None:
    link.tick(time.monotonic())
    daemon, _ = daemon_socket.accept()
    with daemon:
        daemon.sendall(b'{"postino":"welcome","version":"0"}\n')
        link.serve(select.POLLIN)
        link.request(7, Request(b"{}", False, None))
        link.serve(select.POLLOUT)
        daemon.recv(1 << 16)
        daemon.sendall(b'{"jsonrpc":"2.0","id":7,"result":{}}\n')
    link.notify(b"{}")

    link.serve(select.POLLOUT | select.POLLIN)

    assert json.loads(link.to_client.data) == {"jsonrpc": "2.0", "id": 7, "result": {}}


def test_a_daemon_is_not_read_while_the_client_takes_nothing(link: DaemonLink, daemon_socket: socket.socket) -> None:
    link.tick(time.monotonic())
    daemon, _ = daemon_socket.accept()
    with daemon:
        daemon.sendall(b"x")
        assert is_read(link)
        link.to_client.put(b"x" * MAX_BUFFERED)
        assert not is_read(link)
        link.to_client.advance(2)
        assert is_read(link)


def is_read(link: DaemonLink) -> bool:
    """Return whether the relay would read what the daemon has sent."""
    poll = select.poll()
    link.register(poll)
    return any(event & select.POLLIN for _, event in poll.poll(0))


def test_a_daemon_that_cannot_start_is_not_started_again_unasked(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTINO_WEB_PORT", "no port")
    link = DaemonLink(str(home.root), WriteBuffer())
    link.tick(time.monotonic())
    assert link.starter.starting

    def has_ended() -> bool:
        link.child_ended()
        return not link.starter.starting

    until(has_ended, "the daemon has ended")
    assert "POSTINO_WEB_PORT" in link.starter.failure
    assert not link.start_unasked
