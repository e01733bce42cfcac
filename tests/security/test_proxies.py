"""nginx and Caddy before the daemon, as docs/proxy.md sets them up: the owner gets through, others do not."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.attacks import attacked, no_failure_in
from tests.daemons import Daemon, daemon_of
from tests.homes import scratch, scratch_home
from tests.waiting import until

GUIDE = Path(__file__).resolve().parents[2] / "docs/proxy.md"
HOST, TOKEN = "mail.example", "a-token-of-this-test"
WITH_TOKEN = f"Authorization: Bearer {TOKEN}"
PROXY_UID = 33  # www-data
PATIENCE_S = 30.0
ATTACKS: list[tuple[int, list[str]]] = [
    (401, []),
    (401, ["Authorization: Bearer wrong"]),
    (401, ["Cookie: token=x"]),
    (403, [WITH_TOKEN, "Origin: https://evil.example"]),
    (403, [WITH_TOKEN, "Origin: http://mail.example:1"]),
    (403, [WITH_TOKEN, "Sec-Fetch-Site: cross-site"]),
    (421, [WITH_TOKEN, "Host: evil.example"]),
    (421, [WITH_TOKEN, "Host: 127.0.0.1"]),
    (421, [WITH_TOKEN, "Host: mail.example.evil.example"]),
]
HEADERS = ["X-Forwarded-Host: mail.example", "X-Real-IP: 127.0.0.1", "X-Forwarded-For: 127.0.0.1", "Forwarded: for=::1"]


@dataclass
class Proxy:
    """A proxy that runs, and curl as a client of it that takes it for https://mail.example."""

    name: str
    port: int
    certificate: Path

    def curl(self, path: str, *options: str) -> list[str]:
        way = ["--connect-to", f"{HOST}:443:127.0.0.1:{self.port}", "--cacert", str(self.certificate), "--http1.1"]
        return ["curl", "-q", "-sS", "--noproxy", "*", "-m", str(PATIENCE_S), *way, *options, f"https://{HOST}{path}"]

    def ask(self, path: str, *options: str, headers: list[str]) -> tuple[int, str]:
        """Return the status and the body of an answer."""
        given = [part for each in headers for part in ("-H", each)]
        done = subprocess.run(
            self.curl(path, *given, *options, "-w", "\n%{http_code}"), capture_output=True, text=True, check=True
        )
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder with a certificate, which the user of the proxy may read."""
    made = scratch()
    made.chmod(0o755)
    subject = ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(made / "key.pem")]
    command = ["openssl", "req", "-x509", "-days", "2", *key, "-out", str(made / "certificate.pem"), *subject]
    subprocess.run(command, check=True, capture_output=True)
    for each in made.iterdir():
        each.chmod(0o644)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def served() -> Iterator[Daemon]:
    """A daemon that is set up as docs/proxy.md says."""
    with scratch_home() as home, daemon_of(home) as started:
        started.stop()
        uid = str(PROXY_UID if os.getuid() == 0 else os.getuid())
        yield started.start(POSTINO_ALLOWED_HOSTS=HOST, POSTINO_API_TOKEN=TOKEN, POSTINO_PROXY_UID=uid)


def example(language: str, daemon: Daemon, folder: Path, port: int) -> str:
    """Return the configuration in the guide, with other ports and files."""
    found = re.search(rf"```{language}\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert found
    text = found[1].replace("127.0.0.1:3333", f"127.0.0.1:{daemon.port}").replace("listen 443", f"listen {port}")
    text = text.replace(f"/etc/ssl/{HOST}.pem", f"{folder}/certificate.pem")
    text = text.replace(f"/etc/ssl/{HOST}.key", f"{folder}/key.pem")
    return text.replace(f"{HOST} {{", f"{HOST}:{port} {{")


@contextlib.contextmanager
def nginx(daemon: Daemon, folder: Path) -> Iterator[Proxy]:
    port = free_port()
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder}/{kind}; " for kind in kinds)
    user = "user www-data; " if os.getuid() == 0 else ""
    text = f"{user}daemon off; pid {folder}/pid; error_log stderr; events {{}}\nhttp {{ access_log off; {paths}\n"
    (folder / "nginx.conf").write_text(f"{text}{example('nginx', daemon, folder, port)}}}\n")
    with running(["nginx", "-c", f"{folder}/nginx.conf", "-e", "stderr"], port):
        yield Proxy("nginx", port, folder / "certificate.pem")


@contextlib.contextmanager
def caddy(daemon: Daemon, folder: Path) -> Iterator[Proxy]:
    port = free_port()
    options = "{\n    admin off\n    auto_https disable_redirects\n}\n"
    (folder / "Caddyfile").write_text(options + example("caddyfile", daemon, folder, port))
    home = folder / "caddy"
    home.mkdir(exist_ok=True)
    home.chmod(0o777)
    user = {"user": PROXY_UID, "group": PROXY_UID, "extra_groups": []} if os.getuid() == 0 else {}
    command = ["caddy", "run", "--config", f"{folder}/Caddyfile", "--adapter", "caddyfile"]
    with running(command, port, env={"PATH": os.environ["PATH"], "HOME": str(home)}, **user):
        yield Proxy("caddy", port, folder / "certificate.pem")


@contextlib.contextmanager
def running(command: list[str], port: int, **options: object) -> Iterator[None]:
    """Run a proxy until it listens, and end it afterwards."""
    program = shutil.which(command[0], path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip(f"there is no {command[0]} on this machine (apt install {command[0]})")
    with subprocess.Popen([program, *command[1:]], cwd="/", stderr=subprocess.DEVNULL, **options) as process:  # type: ignore[call-overload]
        try:
            until(lambda: listens(port), f"{command[0]} listens", PATIENCE_S)
            yield
        finally:
            process.terminate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_an_event_stream_asks_proxies_not_to_buffer_it(served: Daemon) -> None:
    command = ["curl", "-sS", "--unix-socket", str(served.home.socket), "-I", "http://localhost/api/events"]
    head = subprocess.run(command, capture_output=True, check=True, text=True).stdout

    assert "x-accel-buffering: no" in head.lower()


PROXIES: list[Callable[[Daemon, Path], contextlib.AbstractContextManager[Proxy]]] = [nginx, caddy]


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_client_with_the_token_gets_through_and_events_come_at_once(served, folder, proxy) -> None:
    with proxy(served, folder) as way:
        ours = [WITH_TOKEN, f"Origin: https://{HOST}", "Content-Type: application/json"]
        message = json.dumps({"to": "bob", "body": "through", "id": way.name})
        with subprocess.Popen(way.curl("/api/events", "-N", "-H", WITH_TOKEN), stdout=subprocess.PIPE) as stream:
            assert stream.stdout is not None
            assert b"id:" in stream.stdout.readline()  # of the event `connected`, long before any buffer is full
            status, body = way.ask("/api/messages", "-d", message, headers=ours)
            assert (status, json.loads(body)["id"]) == (200, way.name)
            lines = iter(stream.stdout.readline, b"")
            assert any(b'"msg_send"' in line and way.name.encode() in line for line in lines)
            stream.terminate()
        status, body = way.ask("/api/messages/bob", headers=[WITH_TOKEN])
        assert status == 200 and "through" in body
        assert way.ask("/", headers=[])[0] == 200


def test_others_get_nothing_through_a_proxy(served: Daemon, folder: Path) -> None:
    served.posted("messages", {"to": "carol", "body": "secret-body"})
    tried = 0
    for proxy in PROXIES:
        with proxy(served, folder) as way:
            for wanted, headers in ATTACKS:
                for more in ([], *([each] for each in HEADERS)):
                    status, body = way.ask("/api/messages/carol", headers=[*headers, *more])
                    tried += 1
                    assert "secret-body" not in body
                    # Caddy itself answers a name that it does not serve, with nothing
                    assert status == wanted or (way.name == "caddy" and wanted == 421 and body == ""), (headers, body)
    no_failure_in(served.home.log)
    attacked("Calls through nginx and Caddy: no token, foreign Host or Origin, forged forwarding headers", tried)
