"""What a web page of another site can make a browser send, on every route: refused, nothing read, nothing changed."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Iterator
from typing import Any

import redis

from postino.rest.route import Route
from postino.rest.routes import ROUTES
from tests.attacks import attacked, no_failure_in
from tests.daemons import Daemon

SECRET = "the-body-that-no-page-may-read"
HOSTS = ["{ours}", "evil.example", "localhost.evil.example:{port}", "0.0.0.0:{port}"]
ORIGINS = [None, "http://{ours}", "http://evil.example", "null", "http://localhost:3000"]
SITES = [None, "same-origin", "cross-site", "same-site"]
BODIES: dict[str, Any] = {
    "/api/messages": {"to": "bob", "body": "planted", "from": "eve"},
    "/api/messages/{agent}/ack": {"ids": ["m1"], "consumer": "c-1"},
    "/api/messages/{agent}/nack": {"ids": ["m1"], "consumer": "c-1"},
    "/api/messages/{agent}/extend": {"ids": ["m1"], "consumer": "c-1"},
    "/api/messages/{agent}/read": {"consumer": "c-1", "ack": "now"},
    "/api/broadcasts": {"body": "planted"},
    "/api/broadcasts/{agent}/seen": {"id": "b1"},
    "/api/agents/{agent}/rename": {"name": "mallory"},
    "/api/signin": {"code": "0" * 32},
}
#: what a page cannot add without a preflight, sent by it all the same
FORBIDDEN_HEADERS = {"/api/messages/{agent}": {"X-Postino-From": "eve"}}
#: routes that change the store when our own page calls them with these bodies: the attacks would have an effect
EFFECTIVE = {
    "POST /api/messages",
    "POST /api/messages/{agent}",
    "DELETE /api/messages/{agent}",
    "POST /api/messages/{agent}/read",
    "POST /api/broadcasts",
    "DELETE /api/broadcasts",
    "POST /api/broadcasts/{agent}/read",
    "POST /api/agents/{agent}/heartbeat",
    "POST /api/agents/{agent}/rename",
}


def contents(daemon: Daemon) -> dict[bytes, bytes]:
    """Return every key of the store with its value."""
    with redis.Redis(unix_socket_path=str(daemon.home.valkey_socket)) as client:
        return {key: client.dump(key) for key in client.scan_iter(count=1000)}


def seed(daemon: Daemon) -> None:
    for number in range(3):
        daemon.posted("messages", {"to": "bob", "body": SECRET, "id": f"m{number}", "from": "ann"})
    daemon.posted("messages/bob/read", {"consumer": "c-1", "limit": 2})
    daemon.posted("broadcasts", {"body": SECRET, "id": "b1"})


def path_of(route: Route) -> str:
    return route.path.replace("{path:.+}", "main.js").format(
        agent="bob", id="m1", event="Stop", group="team", thread="m1"
    )


def asked(port: int, route: Route, headers: dict[str, str | None]) -> tuple[int, bytes]:
    """Send one request on a connection of its own, as a refused caller has to; return the status and the answer."""
    body = json.dumps(BODIES.get(route.path, {})).encode() if route.method == "POST" else b""
    typed = {"Content-Type": route.accepts, "Content-Length": str(len(body))} if body else {}
    fields = FORBIDDEN_HEADERS.get(route.path, {}) | typed | headers if body else headers
    head = "".join(f"{name}: {text}\r\n" for name, text in fields.items() if text is not None)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        line.sendall(f"{route.method} {path_of(route)} HTTP/1.1\r\n{head}\r\n".encode() + body)
        answer = b""
        while part := line.recv(1 << 16):
            answer += part
    return int(answer.split(b" ", 2)[1]), answer


def combinations(port: int) -> Iterator[dict[str, str | None]]:
    """Yield the headers of web pages of other origins, and of addresses that were rebound to this machine."""
    ours = f"127.0.0.1:{port}"
    for host, origin, site in itertools.product(HOSTS, ORIGINS, SITES):
        if host == "{ours}" and origin in (None, "http://{ours}") and site in (None, "same-origin"):
            continue  # our own page, and programs that are no browser
        yield {
            "Host": host.format(ours=ours, port=port),
            "Origin": None if origin is None else origin.format(ours=ours),
            "Sec-Fetch-Site": site,
        }


def test_no_header_of_a_foreign_page_is_let_in_on_any_route(served: Daemon) -> None:
    seed(served)
    before = contents(served)
    count = 0
    for headers in combinations(served.port):
        for route in ROUTES:
            status, answer = asked(served.port, route, headers)
            count += 1
            assert status in (403, 421), (route.path, headers, answer)
            assert SECRET.encode() not in answer and b"access-control" not in answer.lower()
    assert contents(served) == before

    changed = set()
    ours = {"Host": f"127.0.0.1:{served.port}", "Origin": f"http://127.0.0.1:{served.port}", "Connection": "close"}
    for route in sorted(ROUTES, key=lambda each: each.method == "DELETE"):
        if "events" not in route.path:
            status, _ = asked(served.port, route, ours | {"Sec-Fetch-Site": "same-origin"})
            assert status != 421, route
            now = contents(served)
            if now != before:
                changed.add(f"{route.method} {route.path}")
            before = now
    assert changed >= EFFECTIVE, EFFECTIVE - changed
    no_failure_in(served.home.log)
    attacked("Host, Origin and Sec-Fetch-Site of foreign pages on every route, the store compared", count)
