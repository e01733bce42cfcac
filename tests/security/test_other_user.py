"""Another user of this machine, as real processes: on every route, on the unix socket, and with a home of theirs."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from postino.paths import Home
from postino.rest.routes import ROUTES
from tests.attacks import attacked, no_failure_in
from tests.daemons import Daemon, environment, scratch_daemon
from tests.homes import scratch
from tests.relays import HELLO

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")

STRANGER = 1001
SCRIPT = Path(__file__).resolve().parents[2] / "plugin/scripts/hook.sh"
SECRET = "a-body-that-no-stranger-may-read"
CALLS = """
import encodings.idna, json, os, socket, sys
os.setgroups([]); os.setgid(1001); os.setuid(1001)
said = []
for place, request in json.load(sys.stdin):
    try:
        if isinstance(place, str):
            line = socket.socket(socket.AF_UNIX)
            line.connect(place)
        else:
            line = socket.create_connection(place)
        line.settimeout(20)
        answer = b""
        try:
            line.sendall(request.encode())
            while part := line.recv(65536):
                answer += part
        except ConnectionError:
            pass  # refused before everything was sent
        said.append(answer.decode())
    except PermissionError:
        said.append("no permission")
json.dump(said, sys.stdout)
"""


@pytest.fixture(scope="module")
def served() -> Iterator[Daemon]:
    """A daemon of root's, with mail."""
    with scratch_daemon() as started:
        started.posted("messages", {"to": "bob", "body": SECRET, "id": "m1"})
        yield started
        no_failure_in(started.home.log)


def as_stranger(calls: list[tuple[Any, str]]) -> list[str]:
    """Make calls in a process of another user; return what each was answered."""
    done = subprocess.run(
        [sys.executable, "-c", CALLS],
        input=json.dumps(calls).encode(),
        capture_output=True,
        check=True,
        cwd="/",
        timeout=90,
    )
    answers: list[str] = json.loads(done.stdout)
    return answers


def requests(host: str) -> Iterator[str]:
    """Yield a request for every route."""
    for route in ROUTES:
        path = route.path.replace("{path:.+}", "main.js").format(
            agent="bob", id="m1", event="Stop", group="team", thread="m1"
        )
        data = '{"to": "bob", "body": "from a stranger", "name": "eve", "ids": ["m1"], "consumer": "c-1"}'
        body = f"Content-Type: {route.accepts}\r\nContent-Length: {len(data)}\r\n\r\n{data}"
        rest = body if route.method == "POST" else "\r\n"
        yield f"{route.method} {path} HTTP/1.1\r\nHost: {host}\r\n{rest}"


def mail(served: Daemon) -> list[str]:
    return [each["body"] for each in served.asked("messages/bob")["items"]]


def test_no_route_on_any_address_is_open_to_another_user(served: Daemon) -> None:
    places = [(host, served.port) for host in ("127.0.0.1", "::1")]
    calls = [(place, each) for place in places for each in requests(f"localhost:{served.port}")]

    answers = as_stranger(calls)

    assert {each.split("\r\n")[0] for each in answers} <= {"HTTP/1.1 403 Forbidden", ""}
    assert SECRET not in "".join(answers)
    assert mail(served) == [SECRET]
    attacked("Another user's process: TCP, every route, both addresses of localhost", len(calls))


def test_the_unix_socket_is_closed_to_another_user_even_if_its_modes_are_wide(served: Daemon) -> None:
    said = [*requests("localhost"), HELLO.decode()]
    path = str(served.home.socket)
    kept_out = as_stranger([(path, each) for each in said])
    try:
        served.home.root.chmod(0o755)
        served.home.socket.chmod(0o666)
        refused = as_stranger([(path, each) for each in said])
    finally:
        served.home.socket.chmod(0o600)
        served.home.root.chmod(0o700)

    assert set(kept_out) == {"no permission"}
    assert set(refused) == {""}
    assert mail(served) == [SECRET]
    attacked("Another user's process: the unix socket, with its modes and with wide ones", 2 * len(said))


def test_nothing_is_handed_to_a_home_of_another_user() -> None:
    folder = scratch()
    env = environment(Home(folder), POSTINO_AGENT_NAME="bob")
    commands = [["send", "bob", SECRET], ["read", "bob"], ["check", "bob"], ["history"], ["agents"], ["dead", "bob"]]
    commands += [["broadcast", SECRET], ["broadcasts", "bob"], ["clear", "bob", "--yes"], ["rename", "bob", "eve"]]
    commands += [["watch"], ["up"], ["open"], ["mcp"]]
    try:
        with socket.socket(socket.AF_UNIX) as theirs:
            theirs.bind(str(folder / "daemon.sock"))
            theirs.listen()
            theirs.setblocking(False)
            os.chown(folder / "daemon.sock", STRANGER, STRANGER)
            os.chown(folder, STRANGER, STRANGER)
            for command in commands:
                done = subprocess.run(
                    [sys.executable, "-m", "postino", *command],
                    env=env,
                    cwd="/",
                    input=b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}\n',
                    capture_output=True,
                    timeout=60,
                    check=False,
                )
                assert done.returncode or b"error" in done.stdout, (command, done)
                with pytest.raises(BlockingIOError):
                    theirs.accept()
            hooks_call_nobody(env, theirs)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    attacked("A home that another user owns: commands, relay and hook", len(commands) + 3)


def test_a_hook_hands_nothing_to_a_socket_of_another_user_in_an_own_home() -> None:
    folder = scratch()
    env = environment(Home(folder), POSTINO_AGENT_NAME="bob")
    try:
        with socket.socket(socket.AF_UNIX) as theirs:
            theirs.bind(str(folder / "daemon.sock"))
            theirs.listen()
            theirs.setblocking(False)
            os.chown(folder / "daemon.sock", STRANGER, STRANGER)
            hooks_call_nobody(env, theirs)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def hooks_call_nobody(env: dict[str, str], theirs: socket.socket) -> None:
    """Run hooks, which say nothing and do not call the socket of another user."""
    for event in ("SessionStart", "UserPromptSubmit", "Stop"):
        hook = ["sh", str(SCRIPT), event]
        done = subprocess.run(hook, env=env, input=SECRET.encode(), capture_output=True, check=True)
        assert (done.stdout, done.stderr) == (b"", b"")
        with pytest.raises(BlockingIOError):
            theirs.accept()
