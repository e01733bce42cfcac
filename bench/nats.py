"""NATS JetStream beside a bare XADD and a send: one message stored at a time per caller, each acknowledged.

Without `nats-server` on PATH there is nothing to compare.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.load import Measured, drive, merged
from bench.table import Rows

PROGRAM = "nats-server"
AT_ONCE = (1, 32)
ROUNDS = 5
BODY = b"x" * 200
FSYNC_FROM = (2, 10)  # the version that can write each message to disk before it answers
PATIENCE_S = 10.0  # for the server to answer


def missing() -> str | None:
    """Return why this cannot be measured here, or None."""
    return None if shutil.which(PROGRAM) else f"{PROGRAM} is not installed, so NATS JetStream is not compared"


def run(seconds: float) -> Rows:
    """Return publishes per second into a stream on disk, as the server does it by default, and fsynced where it can."""
    said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout
    version = said.rpartition("v")[2].strip()
    numbers = tuple(int(part) for part in version.split(".")[:2])
    kinds = {"not fsynced": ""} | ({"every write fsynced": "sync_interval: always"} if numbers >= FSYNC_FROM else {})
    rows: Rows = []
    for kind, option in kinds.items():
        with _server(option) as port:
            for at_once in AT_ONCE:
                found = merged([_publish(port, at_once, seconds / ROUNDS) for _ in range(ROUNDS)])
                rows.append(
                    {
                        "what": f"NATS JetStream {version}, {kind}",
                        "at once": at_once,
                        "per second": round(found.per_second),
                        "p50 ms": round(found.percentile_ms(50), 2),
                        "p99 ms": round(found.percentile_ms(99), 2),
                    }
                )
    return rows


def _publish(port: int, at_once: int, seconds: float) -> Measured:
    return drive(lambda: _Publisher(port), itertools.repeat(BODY), _stored, at_once, seconds)


def _stored(data: bytes) -> bool:
    """Return whether `data` is a whole acknowledgement of JetStream; raise if it is an error."""
    if not data.endswith(b"\r\n") or data.count(b"\r\n") < 2:
        return False
    if b'"seq"' not in data:
        raise RuntimeError(f"unexpected response: {data[:300]!r}")
    return True


class _Publisher(socket.socket):
    """A connection on which each text that is sent is published, and answered at an inbox of its own."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.connect(("127.0.0.1", port))
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._inbox = f"inbox.{self.getsockname()[1]}".encode()
        super().sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB %b 1\r\nPING\r\n' % self._inbox)
        received = b""
        while not received.endswith(b"PONG\r\n"):
            received += self.recv(65_536)

    def sendall(self, body: bytes, flags: int = 0) -> None:  # type: ignore[override]
        """Publish `body` to the stream."""
        super().sendall(b"PUB bench %b %d\r\n%b\r\n" % (self._inbox, len(body), body))

    def ask(self, subject: str, request: object) -> bytes:
        """Return the answer to a request."""
        body = json.dumps(request).encode()
        super().sendall(b"PUB %b %b %d\r\n%b\r\n" % (subject.encode(), self._inbox, len(body), body))
        received = b""
        while received.count(b"\r\n") < 2:
            received += self.recv(65_536)
        return received


@contextlib.contextmanager
def _server(option: str) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory(prefix="po") as folder:
        config = Path(folder, "nats.conf")
        config.write_text(f'jetstream {{\n  store_dir: "{folder}/data"\n  {option}\n}}\n')
        command = [PROGRAM, "-a", "127.0.0.1", "-p", str(port), "-c", str(config)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with contextlib.closing(_opened(port)) as first:
                stream = {"name": "BENCH", "subjects": ["bench"], "storage": "file", "num_replicas": 1}
                said = first.ask("$JS.API.STREAM.CREATE.BENCH", stream | {"retention": "limits"})
            if b'"error"' in said:
                raise RuntimeError(f"no stream: {said!r}")
            yield port
        finally:
            process.terminate()
            process.wait()


def _opened(port: int) -> _Publisher:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return _Publisher(port)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
