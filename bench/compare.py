"""Two running servers that speak the original's REST API, call by call in turn: `python -m bench compare URL URL`.

It writes to both: to agents of its own, whose inboxes it clears at the end, and one broadcast per call of that row.
A server that does not know a call, or refuses it, has no figure in its row.
"""

from __future__ import annotations

import http.client
import itertools
import json
import secrets
from collections.abc import Iterator
from urllib.parse import urlsplit

from bench.load import Measured, dial_tcp, drive, http_complete, merged
from bench.table import Rows

ROUNDS = 5
BODY = "x" * 200
MANY = 32
FEW = 300  # calls of one round: an inbox holds 1,000 by default
CALLS = ("health", "send", f"send, {MANY} at once", "check", "peek", "read", "agents", "stats", "broadcast")


class Server:
    """One server, by the URL of its root; calls carry what the original's clients send."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"{url}: give the address of a server as http://HOST:PORT")
        self.host, self.port = parts.hostname, parts.port or 80
        self.prefix = parts.path.rstrip("/")
        self.agent = f"bench-{secrets.token_hex(4)}"
        self._run = secrets.token_hex(4)
        self._numbers = itertools.count()

    def requests(self, call: str) -> Iterator[bytes]:
        """Yield requests of one kind without end."""
        name = self.agent
        gets = {"health": "health", "check": f"check/{name}", "peek": f"messages/{name}", "agents": "agents"}
        gets["stats"] = "stats"
        while True:
            if call in gets:
                yield self._request("GET", gets[call])
            elif call == "read":
                yield self._request("POST", f"messages/{name}/read", {"limit": 1, "ack": "now"})
            elif call == "broadcast":
                yield self._request("POST", "broadcasts", {"from": "bench", "body": BODY})
            else:
                yield self._request("POST", "messages", {"to": name, "from": "bench", "body": BODY})

    def _request(self, method: str, path: str, body: object = None) -> bytes:
        data = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {self.prefix}/api/{path} HTTP/1.1", f"Host: {self.host}:{self.port}"]
        if method == "POST":
            lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
            lines.append(f"Idempotency-Key: {self._run}-{next(self._numbers)}")
        return "\r\n".join([*lines, "", ""]).encode() + data

    def measure(self, call: str, seconds: float) -> Measured | None:
        """Return how a call went for `seconds`, or for FEW calls; None if the server refuses it."""
        try:
            if call.startswith("send") or call == "read":
                self.clear()
            if call == "read":
                self._drive("send", MANY, 10.0)
            return self._drive(call, MANY if call.endswith("at once") else 1, seconds)
        except (RuntimeError, ValueError):
            return None

    def _drive(self, call: str, at_once: int, seconds: float) -> Measured:
        some = itertools.islice(self.requests(call), FEW)
        return drive(lambda: dial_tcp(self.host, self.port), some, http_complete, at_once, seconds)

    def clear(self) -> None:
        """Delete what was sent."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=10)
        connection.request("DELETE", f"{self.prefix}/api/messages/{self.agent}")
        connection.getresponse().read()
        connection.close()


def run(seconds: float, urls: list[str]) -> Rows:
    """Return a row per call: the rate and p50 of both servers, and the ratio of their rates."""
    servers = [Server(url) for url in urls]
    rows: Rows = []
    try:
        for call in CALLS:
            taken: list[list[Measured | None]] = [[] for _ in servers]
            for _ in range(ROUNDS):
                for server, found in zip(servers, taken, strict=True):
                    found.append(server.measure(call, seconds / ROUNDS))
            first, second = (_merged(found) for found in taken)
            rows.append(
                {
                    "what": call,
                    "first, per second": first and round(first.per_second),
                    "second, per second": second and round(second.per_second),
                    "first, p50 ms": first and round(first.percentile_ms(50), 2),
                    "second, p50 ms": second and round(second.percentile_ms(50), 2),
                    "first of second": first and second and round(first.per_second / second.per_second, 2),
                }
            )
    finally:
        for server in servers:
            server.clear()
    return rows


def _merged(rounds: list[Measured | None]) -> Measured | None:
    known = [each for each in rounds if each is not None]
    return merged(known) if known else None
