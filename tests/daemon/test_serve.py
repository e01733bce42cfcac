"""A real daemon's life: it starts once, answers soon, tells where, survives its Valkey, and stops in time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from postino import locks
from postino.daemon import process
from postino.paths import Home
from tests.daemons import environment
from tests.relays import HELLO
from tests.waiting import PATIENCE_S, until


@pytest.fixture
def serve(home: Home) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Run `postino serve` on the home: `serve(POSTINO_WEB_PORT="0")`."""
    running: list[subprocess.Popen[bytes]] = []

    def start(**extra: str) -> subprocess.Popen[bytes]:
        environ = environment(home, **extra)
        command = [sys.executable, "-m", "postino", "serve"]
        running.append(
            subprocess.Popen(
                command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        )
        return running[-1]

    yield start
    for each in running:
        if each.poll() is None:
            each.kill()
        each.communicate()


def healthy(home: Home) -> dict[str, Any] | None:
    answer = process.health(home, 3)
    return answer if answer and answer.get("ok") else None


def call(home: Home, method: str, path: str, body: Any = None, seconds: float = 5) -> tuple[int, Any, float]:
    """Ask over the unix socket; return status, JSON and how long it took."""
    data = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} /api/{path} HTTP/1.1\r\nHost: postino\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    began = time.monotonic()
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(seconds)
        line.connect(str(home.socket))
        line.sendall(head.encode() + data)
        answer = b""
        while part := line.recv(1 << 16):
            answer += part
    status, _, rest = answer.partition(b"\r\n\r\n")
    return int(status.split()[1]), json.loads(rest), time.monotonic() - began


def test_a_daemon_says_where_it_serves(home: Home, serve: Any) -> None:
    running = serve()
    answer = until(lambda: healthy(home), "healthy")
    said = process.read_info(home)

    assert said is not None
    assert (said.pid, said.socket) == (running.pid, str(home.socket))
    assert said.url is not None and said.url.startswith("http://127.0.0.1:")
    assert answer["url"] == said.url


def test_a_stop_leaves_nothing_behind_but_the_data(home: Home, serve: Any) -> None:
    running = serve()
    until(lambda: healthy(home), "healthy")
    running.terminate()

    out, err = running.communicate(timeout=PATIENCE_S)
    assert (running.returncode, out) == (0, b"")
    assert [json.loads(line)["event"] for line in err.splitlines()][-2:] == ["stopping", "stopped"]
    assert not home.socket.exists()
    assert not home.info.exists()


@pytest.mark.timing("a stop takes 1.6 s at most")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_it_stops_within_two_seconds_with_streams_polls_and_relays_open(
    home: Home, serve: Any, number: signal.Signals
) -> None:
    running = serve()
    await asyncio.to_thread(until, lambda: healthy(home), "healthy")
    connector = aiohttp.UnixConnector(str(home.socket))
    async with aiohttp.ClientSession("http://postino", connector=connector) as client:
        streams = [await client.get("/api/events") for _ in range(10)]
        poll = asyncio.create_task(_read(client))
        reader, writer = await asyncio.open_unix_connection(str(home.socket))
        writer.write(HELLO)
        assert json.loads(await reader.readline())["postino"] == "welcome"

        began = time.monotonic()
        running.send_signal(number)
        await asyncio.to_thread(running.wait, 10)
        assert time.monotonic() - began < 2
        assert running.returncode == 0

        assert (await poll)["items"] == []
        for stream in streams:
            assert b'"connected"' in await stream.read()  # to its proper end
        assert json.loads(await reader.readline()) == {"postino": "bye"}
        writer.close()


async def _read(client: aiohttp.ClientSession) -> Any:
    async with client.post("/api/messages/bob/read", json={"wait": 30}) as answer:
        return await answer.json()


def test_a_stop_before_valkey_answers_is_a_stop(home: Home, serve: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never says a word
        running = serve(POSTINO_VALKEY_URL=f"redis://127.0.0.1:{silent.getsockname()[1]}")
        until(home.socket.exists, "it has its socket")
        running.terminate()
        running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 0


def test_one_that_is_started_while_another_ends_takes_its_place(home: Home, serve: Any) -> None:
    ending = locks.acquire(home.lock)
    assert ending is not None
    running = serve()
    time.sleep(3)  # it waits meanwhile
    os.close(ending)
    until(lambda: healthy(home), "healthy")
    assert process.read_info(home).pid == running.pid  # type: ignore[union-attr]


def test_two_started_at_once_end_as_one(home: Home, serve: Any) -> None:
    several = [serve() for _ in range(3)]
    until(lambda: healthy(home), "healthy")
    until(lambda: sum(each.poll() is None for each in several) == 1, "one is left")

    assert sorted(each.poll() or 0 for each in several if each.poll() is not None) == [0, 0]
    survivor = next(each for each in several if each.poll() is None)
    said = process.read_info(home)
    assert said is not None and said.pid == survivor.pid


def test_what_a_killed_daemon_left_is_in_nobodys_way(home: Home, serve: Any) -> None:
    first = serve()
    until(lambda: healthy(home), "healthy")
    call(home, "POST", "messages", {"to": "bob", "body": "survives", "id": "m1"})
    first.kill()
    first.wait()
    assert home.socket.exists()

    serve()
    until(lambda: healthy(home), "healthy again")
    assert call(home, "GET", "messages/bob")[1]["items"][0]["body"] == "survives"


def test_a_taken_port_is_replaced_by_the_next_free_one(home: Home, serve: Any) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        serve(POSTINO_WEB_PORT=str(port))
        answer = until(lambda: healthy(home), "healthy")
    got = int(answer["url"].rpartition(":")[2])
    assert port < got <= port + 20


def test_a_daemon_without_free_port_says_so_and_starts_no_valkey(home: Home, serve: Any) -> None:
    with contextlib.ExitStack() as taken:
        port = _row_of_ports(taken, 21)
        running = serve(POSTINO_WEB_PORT=str(port))
        _, err = running.communicate(timeout=15)
    assert running.returncode == 2
    assert err.decode().splitlines()[-1].startswith(f"postino: POSTINO_WEB_PORT: no port from {port}")
    assert not home.valkey_socket.exists()


def _row_of_ports(taken: contextlib.ExitStack, count: int) -> int:
    """Take `count` neighbouring ports, below those that the system gives out by itself."""
    for first in range(10_000, 32_000, count):
        with contextlib.ExitStack() as row:
            try:
                for port in range(first, first + count):
                    sock = row.enter_context(socket.socket())
                    sock.bind(("127.0.0.1", port))
                    sock.listen()
            except OSError:
                continue
            taken.enter_context(row.pop_all())
            return first
    raise AssertionError("no row of free ports")


WIDE = {"POSTINO_API_TOKEN": "x", "POSTINO_BEHIND_PROXY": "1"}


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"POSTINO_WEB_HOST": "0.0.0.0"}, "POSTINO_WEB_HOST"),
        (WIDE | {"POSTINO_WEB_HOST": "192.0.2.1"}, "POSTINO_WEB_HOST=192.0.2.1 is not an address of this machine"),
        (
            WIDE | {"POSTINO_WEB_HOST": "no.such.host.invalid"},
            "POSTINO_WEB_HOST=no.such.host.invalid is not an address",
        ),
        ({"POSTINO_WEB_PORT": "http"}, "POSTINO_WEB_PORT"),
    ],
)
def test_an_address_it_may_not_or_cannot_have_is_said_in_one_sentence(
    home: Home, serve: Any, settings: dict[str, str], field: str
) -> None:
    running = serve(**settings)
    _, err = running.communicate(timeout=15)

    assert running.returncode == 2
    last = err.decode().splitlines()[-1]
    assert last.startswith(f"postino: {field}"), err
    assert b"Traceback" not in err


def test_without_web_only_the_unix_socket_answers(home: Home, serve: Any) -> None:
    running = serve(POSTINO_WEB_ENABLED="false")
    answer = until(lambda: healthy(home), "healthy")

    assert "url" not in answer
    said = process.read_info(home)
    assert said is not None and said.url is None
    assert _listening_tcp(running.pid) == []


def test_it_listens_on_loopback_only(home: Home, serve: Any) -> None:
    running = serve()
    until(lambda: healthy(home), "healthy")

    assert _listening_tcp(running.pid) == ["0100007F", "00000000000000000000000001000000"]


@pytest.mark.parametrize("host", ["localhost", "::1"])
def test_it_answers_at_the_address_it_names(home: Home, serve: Any, host: str) -> None:
    serve(POSTINO_WEB_HOST=host)
    url = until(lambda: healthy(home), "healthy")["url"]

    with urllib.request.urlopen(f"{url}/api/health", timeout=5) as answer:
        assert answer.status == 200
    assert url.startswith("http://[::1]:" if host == "::1" else "http://")


def _listening_tcp(pid: int) -> list[str]:
    """Return the addresses, as /proc writes them, on which a process listens."""
    links = []
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it is being closed
            links.append(str(each.readlink()))
    inodes = {link[8:-1] for link in links if link.startswith("socket:[")}
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return [row[1].partition(":")[0] for row in rows if row[3] == "0A" and row[9] in inodes]


def test_replicas_of_the_embedded_valkey_are_refused_at_the_start(home: Home, serve: Any) -> None:
    running = serve(POSTINO_REPLICAS="1")
    _, err = running.communicate(timeout=15)
    assert running.returncode == 2
    assert err.decode().splitlines()[-1].endswith("has no replicas: set POSTINO_VALKEY_URL, or unset it")
    assert not home.valkey_socket.exists()


def test_a_valkey_that_cannot_be_reached_is_named_without_its_password(home: Home, serve: Any) -> None:
    running = serve(POSTINO_VALKEY_URL="redis://user:sesame@127.0.0.1:1")
    _, err = running.communicate(timeout=15)

    assert running.returncode == 4
    last = err.decode().splitlines()[-1]
    assert "127.0.0.1:1" in last
    assert b"sesame" not in err


@pytest.mark.timing("a call is given up after 1.5 s, and answered within 2 s")
def test_a_dead_valkey_is_a_clear_503_within_two_seconds_and_comes_back_by_itself(daemon: Any) -> None:
    home = daemon.home
    assert call(home, "POST", "messages", {"to": "bob", "body": "hi", "id": "m0"})[0] == 200
    os.kill(daemon.valkey_pid(), signal.SIGSTOP)  # alive, and silent
    try:
        for method, path, body in (
            ("POST", "messages", {"to": "bob", "body": "hi", "id": "m1"}),
            ("POST", "messages/bob/read", {}),
            ("GET", "messages/bob", None),
            ("GET", "agents", None),
            ("GET", "check/bob", None),
            ("GET", "stats", None),
            ("POST", "broadcasts", {"body": "x"}),
            ("GET", "events", None),
        ):
            status, said, seconds = call(home, method, path, body)
            assert (status, said["code"], said["retryable"]) == (503, "store_away", True), (path, said)
            assert said["outcome"] in ("none", "unknown")
            assert seconds < 2, (path, seconds)
        status, said, seconds = call(home, "GET", "health")
        assert (status, said["ok"], said["valkey"]) == (503, False, False)
        assert seconds < 2
    finally:
        os.kill(daemon.valkey_pid(), signal.SIGCONT)
    until(lambda: healthy(home), "healthy again", 5)
    # whether the one of unknown outcome was stored or not: the same id makes the retry safe
    assert call(home, "POST", "messages", {"to": "bob", "body": "hi", "id": "m1"})[0] == 200
    ids = [each["id"] for each in call(home, "GET", "messages/bob")[1]["items"]]
    assert sorted(set(ids)) == ["m0", "m1"] and len(ids) == 2


def test_a_killed_valkey_is_restarted_with_all_that_was_accepted(daemon: Any) -> None:
    home = daemon.home
    for number in range(20):
        assert call(home, "POST", "messages", {"to": "bob", "body": str(number)})[0] == 200
    os.kill(daemon.valkey_pid(), signal.SIGKILL)

    until(lambda: healthy(home), "healthy again", 10)
    items = call(home, "GET", "messages/bob")[1]["items"]
    assert [each["body"] for each in items] == [str(number) for number in range(20)]
    assert daemon.process.poll() is None


async def test_a_relay_that_comes_before_the_mcp_face_is_imported_is_served(home: Home, serve: Any) -> None:
    serve()
    async with asyncio.timeout(20):
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(str(home.socket))
                break
            except OSError:
                await asyncio.sleep(0.005)
        writer.write(HELLO)
        assert json.loads(await reader.readline())["postino"] == "welcome"
        writer.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_sdk_is_loaded_when_the_first_relay_comes(home: Home, serve: Any) -> None:
    running = serve()
    until(lambda: healthy(home), "healthy")
    maps = Path(f"/proc/{running.pid}/maps")
    assert call(home, "POST", "messages", {"to": "bob", "body": "hello"})[0] == 200
    assert "pydantic_core" not in maps.read_text()

    with socket.socket(socket.AF_UNIX) as relay:
        relay.connect(str(home.socket))
        relay.sendall(HELLO)
        assert json.loads(relay.makefile("rb").readline())["postino"] == "welcome"

    assert "pydantic_core" in maps.read_text()


def test_the_log_is_lines_of_json_without_bodies_or_tokens(home: Home, serve: Any) -> None:
    running = serve(POSTINO_API_TOKEN="open-sesame")
    until(lambda: healthy(home), "healthy")
    # the unix socket needs no token
    assert call(home, "POST", "messages", {"to": "bob", "body": "the secret body", "id": "m1"})[0] == 200
    assert call(home, "POST", "messages", {"to": "bob", "body": "another secret body", "id": "m1"})[0] == 409
    running.terminate()
    _, err = running.communicate(timeout=PATIENCE_S)

    events = [json.loads(line)["event"] for line in err.splitlines()]
    assert "serving" in events
    assert b"secret" not in err
    assert b"sesame" not in err
