"""Another user of this machine gets nothing: not by any of its addresses, not by a code seen among the arguments."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from postino.client import Client
from postino.daemon.sockets import bind_tcp
from postino.rest.connection import MOST_TCP
from tests.attacks import attacked

TOKEN = "a-token-of-this-test"

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")

ASK = """
import encodings.idna, os, socket, sys
os.setgid(65534); os.setuid(65534)
host, port, source, request = sys.argv[1], int(sys.argv[2]), sys.argv[3], os.fsencode(sys.argv[4])
s = socket.create_connection((host, port), source_address=(source, 0) if source else None)
try:
    s.sendall(request)
    while part := s.recv(65536):
        sys.stdout.buffer.write(part)
except ConnectionError:
    pass  # it was refused before it had said anything
"""

RESET = """
import encodings.idna, os, socket, struct, sys, time
os.setgid(65534); os.setuid(65534)
port, seconds, request = int(sys.argv[1]), float(sys.argv[2]), os.fsencode(sys.argv[3])
end, count = time.monotonic() + seconds, 0
while True:
    line = socket.create_connection(("127.0.0.1", port))
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() resets
    line.sendall(request)
    print(line.getsockname()[1], flush=True)
    line.close()
    if time.monotonic() >= end:
        break
    time.sleep(0.0025)
"""

HOLD = """
import encodings.idna, os, socket, sys
os.setgid(65534); os.setuid(65534)
lines = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(int(sys.argv[2]))]
print("open", flush=True)
sys.stdin.read()
"""


def own_address() -> str:
    """Return an address of this machine that is not loopback, where it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: only the way there is looked up
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def as_stranger(host: str, port: int, request: str, source: str = "") -> bytes:
    """Send a request as another user; return the answer."""
    argv = [sys.executable, "-c", ASK, host, str(port), source, request]
    return subprocess.run(argv, capture_output=True, check=True, cwd="/", timeout=20).stdout


def posted(path: str, host: str, port: int, body: dict[str, str], token: str = "") -> str:
    data = json.dumps(body)
    head = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\nContent-Type: application/json\r\n"
    head += f"Authorization: Bearer {token}\r\n" if token else ""
    return f"{head}Content-Length: {len(data)}\r\n\r\n{data}"


def sign_in(host: str, port: int, code: str) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"http://{host}:{port}/api/signin", json.dumps({"code": code}).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


@pytest.fixture
def wide(daemon: Any) -> Any:
    """A real daemon that listens on every address, with a token."""
    daemon.stop()
    return daemon.start(POSTINO_WEB_HOST="0.0.0.0", POSTINO_API_TOKEN=TOKEN, POSTINO_BEHIND_PROXY="1")


def code_of(daemon: Any) -> str:
    with Client(Path(daemon.home.socket)) as client:
        return str(client.signin_code()["code"])


@as_root
def test_another_user_of_this_machine_is_refused_and_told_why(daemon: Any) -> None:
    port = daemon.port

    said = as_stranger("127.0.0.1", port, f"GET /api/agents HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n")

    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403")
    assert json.loads(body)["code"] == "forbidden"
    assert "another user" in json.loads(body)["error"]


LISTEN = """
import os, socket, sys
os.setgid(65534); os.setuid(65534)
line = socket.socket(socket.AF_INET6)
line.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
line.bind(("::1", int(sys.argv[1])))
line.listen()
print("listens", flush=True)
sys.stdin.read()
"""


@as_root
def test_a_port_of_which_another_user_holds_one_address_of_localhost_is_taken() -> None:
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        port = probe.getsockname()[1]
    argv = [sys.executable, "-c", LISTEN, str(port)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/") as stranger:
        assert stranger.stdout is not None
        assert stranger.stdout.readline() == b"listens\n"

        sockets = bind_tcp("127.0.0.1", port)

    addresses = [each.getsockname()[:2] for each in sockets]
    for each in sockets:
        each.close()
    assert port not in {number for _, number in addresses}
    assert {host for host, _ in addresses} == {"127.0.0.1", "::1"}
    attacked("Another user's process: listens on ::1 before the daemon starts", 1)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_every_address_of_localhost_is_held(host: str) -> None:
    sockets = bind_tcp(host, 0)
    addresses = [each.getsockname()[:2] for each in sockets]
    for each in sockets:
        each.close()

    assert {host for host, _ in addresses} == {"127.0.0.1", "::1"}
    assert len({port for _, port in addresses}) == 1


def test_a_loopback_host_is_not_listened_on_beyond_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in (own_address(), "127.0.0.1")]
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: found
    )  # a hosts file that gives localhost to the network

    sockets = bind_tcp("localhost", 0)
    addresses = {each.getsockname()[0] for each in sockets}
    for each in sockets:
        each.close()

    assert addresses == {"127.0.0.1", "::1"}


def connection_from_a_reset_ones_port(port: int) -> socket.socket:
    """Let another user send a POST and reset it; return a connection of ours from the same source port."""
    request = posted("/api/messages", "127.0.0.1", port, {"to": "bob", "body": "from a stranger"})
    argv = [sys.executable, "-c", RESET, str(port), "0", request]
    for _ in range(20):
        source = int(subprocess.run(argv, capture_output=True, check=True, cwd="/", timeout=20).stdout)
        with contextlib.suppress(OSError):  # another program of this machine has been given the port meanwhile
            return socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.1", source))
    raise AssertionError("no source port could be used again")


@as_root
def test_a_reset_connection_is_not_taken_for_the_owners_that_has_its_port_now(daemon: Any) -> None:
    port = daemon.port
    os.kill(daemon.pid, signal.SIGSTOP)  # both connections wait in the kernel: the daemon accepts the dead one second
    try:
        owners = connection_from_a_reset_ones_port(port)
    finally:
        os.kill(daemon.pid, signal.SIGCONT)

    with owners:
        owners.sendall(posted("/api/messages", "127.0.0.1", port, {"to": "bob", "body": "mine"}).encode())
        assert b" 200 " in owners.recv(65536)
    with Client(Path(daemon.home.socket)) as client:
        assert [each["body"] for each in client.peek("bob")["items"]] == ["mine"]
    attacked("Another user's process: a reset connection whose port the owner's has next", 1)


@as_root
@pytest.mark.timing("the owner waits at most 250 ms in a flood of resets; with a table scan it was seconds")
def test_a_flood_of_resets_does_not_delay_the_owner(daemon: Any) -> None:
    request = posted("/api/messages", "127.0.0.1", daemon.port, {"to": "bob", "body": "flood"})
    argv = [sys.executable, "-c", RESET, str(daemon.port), "4", request]
    waits: list[float] = []
    with (
        subprocess.Popen(argv, stdout=subprocess.PIPE, cwd="/") as flood,
        Client(Path(daemon.home.socket)) as client,
    ):
        while flood.poll() is None:
            began = time.monotonic()
            client.check("bob")
            waits.append(time.monotonic() - began)
            time.sleep(0.02)
        assert flood.stdout is not None
        resets = len(flood.stdout.readlines())

    assert resets > 4 * 50
    assert sorted(waits)[-1 - len(waits) // 50] < 0.25  # one in 50 may meet a busy machine
    with Client(Path(daemon.home.socket)) as client:
        assert client.peek("bob")["total"] == 0
    attacked("Another user's process: POST requests that are reset at once", 200)


@as_root
def test_another_user_cannot_take_up_the_connections(daemon: Any) -> None:
    port = daemon.port
    argv = [sys.executable, "-c", HOLD, str(port), str(MOST_TCP + 50)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/") as stranger:
        assert stranger.stdout is not None
        assert stranger.stdout.readline() == b"open\n"

        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=5) as answer:
            assert answer.status == 200
    attacked("Another user's process: connections held open", MOST_TCP + 50)


@as_root
@pytest.mark.parametrize("source", ["", "127.0.0.1"])
def test_a_stolen_code_gives_another_user_nothing_and_is_not_spent(wide: Any, source: str) -> None:
    host, port, code = own_address(), wide.port, code_of(wide)

    said = as_stranger(host, port, posted("/api/signin", host, port, {"code": code}), source)

    assert b"403" in said.split(b"\r\n")[0]
    assert TOKEN.encode() not in said
    status, signed_in = sign_in(host, port, code)
    assert (status, signed_in["token"]) == (200, TOKEN)


@as_root
def test_another_user_gets_nothing_by_any_address_even_with_the_token(wide: Any) -> None:
    host, port = own_address(), wide.port

    said = as_stranger(host, port, posted("/api/messages", host, port, {"to": "bob", "body": "x"}, TOKEN))

    assert b"another user" in said


def test_a_code_is_good_once_on_each_address_of_this_machine(wide: Any) -> None:
    for host in ("127.0.0.1", own_address()):
        code = code_of(wide)
        assert sign_in(host, wide.port, code)[0] == 200
        assert sign_in(host, wide.port, code)[0] == 403
