"""Export and import over HTTP: on the unix socket only, streamed, and whole or broken, never silently short."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from postino.client import Client
from postino.errors import BadField, NotEmpty, StoreAway, Unreachable, UnsupportedType
from postino.transport import Transport
from tests.daemons import Daemon, daemon_of
from tests.homes import scratch_home
from tests.waiting import until


@pytest.fixture
def source(daemon: Daemon) -> Iterator[Client]:
    """A client of a daemon with some mail."""
    with Client(daemon.home.socket) as client:
        for number in range(300):
            client.send("bob", f"{number} " + "x" * 5_000, sender="ci", id=f"m{number}")
        yield client


async def test_a_tcp_caller_is_refused(api: Any) -> None:
    for answer in (
        await api.get("export"),
        await api.post("import", data=b"{}", headers={"Content-Type": "application/x-ndjson"}),
        await api.delete("import"),
    ):
        assert (answer.status, answer.json["code"]) == (403, "forbidden")


def test_head_has_no_body(source: Client, daemon: Daemon) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(daemon.home.socket))
        connection.sendall(b"HEAD /api/export HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))

    head, end, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"content-type: application/x-ndjson" in head.lower()
    assert (end, body) == (b"\r\n\r\n", b"")


def test_a_mailroom_moves_to_another_daemon(source: Client) -> None:
    parts = list(source.export())
    with scratch_home() as home, daemon_of(home) as other, Client(other.home.socket) as target:
        held = target.import_(parts, check=True)
        assert (held["stored"], target.stats()["messageCount"]) == (0, 0)

        assert target.import_(parts)["counts"] == held["counts"]

        assert target.stats()["messageCount"] == 300
        assert target.peek("bob", limit=3) | {"total": 0} == source.peek("bob", limit=3) | {"total": 0}
        again = b"".join(target.export()).splitlines()
        assert again[1:] == b"".join(parts).splitlines()[1:]
        with pytest.raises(NotEmpty):
            target.import_(parts)


def test_a_refusal_in_the_middle_reaches_a_client_that_still_sends(source: Client) -> None:
    lines = b"".join(source.export()).splitlines(keepends=True)
    lines[3] = b"{}\n"
    endless = (part for _ in range(10_000) for part in (lines[4],))

    with pytest.raises(BadField, match=r"^line 4: ") as refusal:
        source.import_([*lines[:4], *endless], check=True)
    assert refusal.value.detail["line"] == 4


@pytest.mark.parametrize("length", [0, 1, 1 << 20, (1 << 20) + 1, 5 << 20])
def test_a_line_without_end_is_refused_at_its_bound(served: Daemon, length: int) -> None:
    with pytest.raises(BadField, match=r"^line 1: this is not the first line"):
        Client(served.home.socket).import_([b"x" * 65_536] * (length >> 16) + [b"y" * (length % 65_536)], check=True)


def test_the_content_type_and_the_query_are_checked(served: Daemon) -> None:
    transport = Transport(served.home.socket)
    with pytest.raises(UnsupportedType, match="x-ndjson"):
        transport.upload("/api/import", [b"{}"], {"Content-Type": "application/json"}, 5).payload()
    with pytest.raises(BadField):
        transport.upload("/api/import?sure=1", [b"{}"], {"Content-Type": "application/x-ndjson"}, 5).payload()


def test_an_export_that_breaks_is_an_error(source: Client, daemon: Daemon) -> None:
    parts = source.export()
    next(parts)
    daemon.kill()

    with pytest.raises(Unreachable):
        for _ in parts:
            pass


@pytest.mark.parametrize("victim", ["daemon", "valkey"])
def test_an_import_that_is_killed_again_and_again_is_continued(source: Client, victim: str) -> None:
    parts = list(source.export())
    lines = b"".join(parts).splitlines(keepends=True)
    with scratch_home() as home, daemon_of(home) as other, Client(other.home.socket) as target:

        def until_killed(share: int) -> Iterator[bytes]:
            for at, line in enumerate(lines):
                if at == len(lines) * share // 8:
                    other.kill() if victim == "daemon" else os.kill(other.valkey_pid(), signal.SIGKILL)
                yield line

        for share in range(1, 8):
            with contextlib.suppress(Unreachable, StoreAway):
                target.import_(until_killed(share))
            if victim == "daemon":
                other.start()
            until(other.answers, "the daemon answers", 20)
        target.import_(parts)

        assert b"".join(target.export()).splitlines(keepends=True)[1:] == lines[1:]


def test_a_client_that_stops_reading_costs_the_daemon_nothing(source: Client, daemon: Daemon) -> None:
    for _ in range(20):
        parts = source.export()
        next(parts)
        parts.close()  # type: ignore[attr-defined]

    assert source.health()["ok"]
    assert len(b"".join(source.export()).splitlines()) > 300
