"""Another user of this machine gets nothing: not by any of its addresses, not by a code seen among the arguments."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from postino.client import Client
from postino.rest.connection import MOST_TCP

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
    return daemon.start(POSTINO_WEB_HOST="0.0.0.0", POSTINO_API_TOKEN=TOKEN)


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


@as_root
def test_another_user_cannot_take_up_the_connections(daemon: Any) -> None:
    port = daemon.port
    argv = [sys.executable, "-c", HOLD, str(port), str(MOST_TCP + 50)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/") as stranger:
        assert stranger.stdout is not None
        assert stranger.stdout.readline() == b"open\n"

        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=5) as answer:
            assert answer.status == 200


@as_root
@pytest.mark.parametrize("source", ["", "127.0.0.1"])
def test_a_stolen_code_gives_another_user_nothing_and_is_not_spent(wide: Any, source: str) -> None:
    host, port, code = own_address(), wide.port, code_of(wide)

    said = as_stranger(host, port, posted("/api/signin", host, port, {"code": code}), source)

    assert b"403" in said.split(b"\r\n")[0]
    assert TOKEN.encode() not in said
    assert sign_in(host, port, code) == (200, {"ok": True, "token": TOKEN})


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
