"""TLS of the TCP listener, and the daemon that other machines may reach."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from postino.client import Client
from postino.config import load
from postino.daemon import tls
from postino.errors import BadField, Unauthorized
from tests.daemons import Daemon, daemon_of
from tests.homes import scratch_home

PATIENCE_S = 20
EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2", "-subj", "/CN=localhost")
NAMES = ("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The settings of a self-signed certificate."""
    folder = tmp_path_factory.mktemp("tls")
    made = {"POSTINO_TLS_CERT": str(folder / "cert.pem"), "POSTINO_TLS_KEY": str(folder / "key.pem")}
    keys = ("-nodes", "-keyout", made["POSTINO_TLS_KEY"], "-out", made["POSTINO_TLS_CERT"])
    subprocess.run(["openssl", "req", "-x509", *EC, *NAMES, *keys], check=True, capture_output=True)
    encrypted = ["openssl", "ec", "-aes128", "-passout", "pass:x", "-in", made["POSTINO_TLS_KEY"]]
    subprocess.run([*encrypted, "-out", str(folder / "encrypted.pem")], check=True, capture_output=True)
    other = ("-nodes", "-keyout", str(folder / "other.pem"), "-out", os.devnull)
    subprocess.run(["openssl", "req", "-x509", *EC, *other], check=True, capture_output=True)
    return made


def postino(daemon: Daemon, *argv: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command line on a daemon's home."""
    command, env = [sys.executable, "-m", "postino", *argv], daemon.env | daemon.extra | settings
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def wide(pair: dict[str, str]) -> Iterator[tuple[Daemon, str]]:
    """A daemon with TLS that listens on every address, and its only token."""
    with scratch_home() as home, daemon_of(home) as daemon:
        token = postino(daemon, "token", "create", "ci", "--role", "agent").stdout.strip()
        daemon.stop()
        yield daemon.start(POSTINO_WEB_HOST="0.0.0.0", **pair), token


def curl(daemon: Daemon, path: str, *options: str, host: str = "localhost") -> tuple[int, str]:
    """Ask with real curl, which checks the certificate; return its exit code and what it printed."""
    command = ["curl", "-s", "-m", "20", "--cacert", daemon.extra["POSTINO_TLS_CERT"], *options]
    done = subprocess.run(
        [*command, f"https://{host}:{daemon.port}{path}"], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


def bearer(token: str) -> tuple[str, str]:
    return "-H", f"Authorization: Bearer {token}"


def test_a_client_that_checks_the_certificate_is_served_with_the_token_only(wide: tuple[Daemon, str]) -> None:
    daemon, token = wide

    code, said = curl(daemon, "/api/agents", *bearer(token))
    assert code == 0
    assert "human" in [each["kind"] for each in json.loads(said)["items"]]
    assert json.loads(curl(daemon, "/api/agents")[1])["code"] == "unauthorized"
    assert json.loads(curl(daemon, "/api/agents", *bearer(f"{token}x"), host="127.0.0.1")[1])["code"] == "unauthorized"
    plain = ["curl", "-s", "-m", "20", f"http://localhost:{daemon.port}/api/health"]
    assert subprocess.run(plain, capture_output=True, check=False).returncode != 0


def test_only_the_https_origin_is_ours(wide: tuple[Daemon, str]) -> None:
    daemon, token = wide
    ours = f"localhost:{daemon.port}"

    for origin, code in (
        (f"https://{ours}", None),
        (f"http://{ours}", "forbidden"),
        ("https://localhost", "forbidden"),
    ):
        said = json.loads(curl(daemon, "/api/agents", *bearer(token), "-H", f"Origin: {origin}")[1])
        assert said.get("code") == code, origin


def test_every_command_names_the_https_address(wide: tuple[Daemon, str]) -> None:
    daemon, _ = wide

    assert f"https://127.0.0.1:{daemon.port}" in postino(daemon, "status").stdout
    assert postino(daemon, "up").stdout.startswith(f"postino is up: https://127.0.0.1:{daemon.port}")
    assert postino(daemon, "open", "--print").stdout.startswith(f"https://localhost:{daemon.port}/")
    assert postino(daemon, "send", "tls-bob", "over the socket").returncode == 0


def test_the_client_speaks_https_and_a_stream_ends_with_its_token(
    wide: tuple[Daemon, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon, _ = wide
    monkeypatch.setenv("SSL_CERT_FILE", daemon.extra["POSTINO_TLS_CERT"])
    token = postino(daemon, "token", "create", "streamer", "--role", "agent").stdout.strip()

    with Client(f"https://localhost:{daemon.port}", token=token) as client, contextlib.ExitStack() as rest:
        assert client.send("tls-ann", "hello")["ok"]
        assert client.check("streamer")["unreadMessages"] == 0
        stream = rest.enter_context(contextlib.closing(client.events()))
        assert next(stream)["type"] == "connected"
        assert postino(daemon, "token", "revoke", "streamer").returncode == 0
        last = next(stream)
        assert (last["type"], "revoked" in last["reason"]) == ("dropped", True)
        with pytest.raises(Unauthorized):
            next(stream)


def test_stalled_handshakes_and_ends_without_goodbye_hinder_nobody(wide: tuple[Daemon, str]) -> None:
    daemon, token = wide
    trusting = ssl.create_default_context(cafile=daemon.extra["POSTINO_TLS_CERT"])

    with contextlib.ExitStack() as stalled:
        for _ in range(100):
            stalled.enter_context(socket.create_connection(("127.0.0.1", daemon.port), PATIENCE_S))
        for _ in range(20):
            plain = socket.create_connection(("127.0.0.1", daemon.port), PATIENCE_S)
            with trusting.wrap_socket(plain, server_hostname="localhost") as line:
                line.sendall(f"GET /api/health HTTP/1.1\r\nHost: localhost:{daemon.port}\r\n".encode())
        assert curl(daemon, "/api/agents", *bearer(token))[0] == 0
        first = stalled.enter_context(socket.create_connection(("127.0.0.1", daemon.port), PATIENCE_S))
        until = time.monotonic() + PATIENCE_S
        assert first.recv(1) == b""  # ended by the daemon
        assert time.monotonic() < until
    assert "Traceback" not in daemon.home.log.read_text()


def test_older_versions_than_1_2_are_refused(pair: dict[str, str]) -> None:
    made = tls.context(load(pair)[0])

    assert made is not None
    assert made.minimum_version == ssl.TLSVersion.TLSv1_2
    assert tls.context(load({})[0]) is None


@pytest.mark.parametrize(
    ("cert", "key", "said"),
    [
        ("absent.pem", "key.pem", "POSTINO_TLS_CERT={cert} cannot be read: No such file or directory"),
        ("cert.pem", "absent.pem", "POSTINO_TLS_KEY={key} cannot be read: No such file or directory"),
        ("cert.pem", "other.pem", "the key is not that of the certificate"),
        ("cert.pem", "encrypted.pem", "POSTINO_TLS_KEY is encrypted"),
        ("key.pem", "key.pem", "POSTINO_TLS_CERT={cert} and POSTINO_TLS_KEY={key}: "),
        ("cert.pem", "empty.pem", "POSTINO_TLS_CERT={cert} and POSTINO_TLS_KEY={key}: "),
    ],
)
def test_files_that_make_no_certificate_and_key_are_named(pair: dict[str, str], cert: str, key: str, said: str) -> None:
    folder = Path(pair["POSTINO_TLS_CERT"]).parent
    (folder / "empty.pem").touch()
    given = {"POSTINO_TLS_CERT": str(folder / cert), "POSTINO_TLS_KEY": str(folder / key)}

    with pytest.raises(BadField) as refused:
        tls.context(load(given)[0])

    assert said.format(cert=given["POSTINO_TLS_CERT"], key=given["POSTINO_TLS_KEY"]) in refused.value.message
    assert refused.value.exit == 2


def test_beyond_loopback_a_daemon_without_token_or_tls_does_not_start(
    wide: tuple[Daemon, str], pair: dict[str, str], home: Any
) -> None:
    for settings, ways in (
        ({}, ("POSTINO_API_TOKEN", "postino token create", "POSTINO_TLS_CERT", "POSTINO_BEHIND_PROXY=1")),
        ({"POSTINO_API_TOKEN": "x"}, ("POSTINO_TLS_CERT", "POSTINO_BEHIND_PROXY=1")),
        (pair, ("POSTINO_API_TOKEN", "postino token create")),
    ):
        fresh = Daemon(home, wide[0].env | {"POSTINO_HOME": str(home.root), "POSTINO_WEB_HOST": "0.0.0.0"})
        done = postino(fresh, "up", **settings)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert [way for way in ways if way not in done.stderr] == []
    assert not home.data.exists()
