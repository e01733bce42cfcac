"""A hostile page in a real Chromium, from other ports, addresses and rebound names: it reads and changes nothing."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.attacks import attacked
from tests.browser.conftest import FLAGS, Chromium, Served

PAGE = (Path(__file__).parent / "hostile.html").read_bytes()
SECRET = "a-body-that-no-page-may-read"
NAME = "evil.example"  # and every name below it: the attacker's DNS answers with this machine's address
RULES = f"--host-resolver-rules=MAP {NAME} 127.0.0.1, MAP *.{NAME} 127.0.0.1"
PATIENCE_MS = 90_000


class Hostile(http.server.BaseHTTPRequestHandler):
    """Serves the hostile page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_: object) -> None:
        pass


class OnIPv6(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


@contextlib.contextmanager
def hostile_sites() -> Iterator[list[str]]:
    """Serve the hostile page on two addresses; yield its origins."""
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hostile), OnIPv6(("::1", 0), Hostile)]
    threads = [threading.Thread(target=each.serve_forever, daemon=True) for each in servers]
    for each in threads:
        each.start()
    first, second = (each.server_address[1] for each in servers)
    yield [f"http://localhost:{first}", f"http://[::1]:{second}", f"http://sub.{NAME}:{first}"]
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


def contents(served: Served) -> dict[bytes, bytes]:
    """Return every key of the store with its value."""
    with redis.Redis(unix_socket_path=str(served.home.valkey_socket)) as client:
        return {key: client.dump(key) for key in client.scan_iter(count=1000)}


@pytest.fixture(scope="module")
def served(run_daemon: Callable[..., Any]) -> Iterator[Served]:
    """A daemon of this file's own: no other test's traces are swept from its store meanwhile."""
    with run_daemon() as started:
        yield started


@pytest.fixture
def attacker(chromium: Chromium) -> Iterator[Any]:
    """A browser for which the attacker's names mean this machine."""
    with chromium.in_use():
        browser = chromium.playwright.chromium.launch(executable_path=chromium.path, args=[*FLAGS, RULES])
        yield browser
        browser.close()


@pytest.mark.timeout(300)
def test_a_hostile_page_reads_and_changes_nothing(attacker: Any, served: Served) -> None:
    served.send("bob", SECRET)
    served.call("POST", "broadcasts", {"body": SECRET, "from": "tester"})
    before = contents(served)
    port = served.url.rpartition(":")[2]
    localhost, first, second = (f"http://{name}:{port}" for name in ("localhost", "127.0.0.1", "[::1]"))
    results: list[str] = []
    with hostile_sites() as sites:
        for site, daemons in zip(sites, ([localhost, second], [first], [localhost]), strict=True):
            results += attack(attacker, site, daemons)
    rebound = attacker.new_page()  # the attacker's name means the daemon now: its own script calls its own origin
    rebound.set_default_timeout(PATIENCE_MS)
    rebound.goto(f"http://{NAME}:{port}/api/agents")
    rebound.set_content(PAGE.decode())
    results += rebound.evaluate("attack([location.origin])")
    rebound.close()

    assert not [each for each in results if SECRET in each]
    assert {each for each in results if each and "bad_host" not in each and "forbidden" not in each} == set()
    assert contents(served) == before
    attacked(
        "A hostile page in Chromium: fetch, forms, frames, scripts, EventSource, WebSocket, rebound names", len(results)
    )


def attack(browser: Any, site: str, daemons: list[str]) -> list[str]:
    """Open the hostile page of a site and let it try everything; return what each attempt could read."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(site)
    results: list[str] = page.evaluate("(daemons) => attack(daemons)", daemons)
    page.close()
    return results


def test_the_same_attempts_from_our_own_page_would_read_and_change(attacker: Any, served: Served) -> None:
    served.send("bob", SECRET)
    before = contents(served)
    page = attacker.new_page()
    page.goto(served.url)

    read = page.evaluate("fetch('/api/messages/bob').then((answer) => answer.text())")
    options = {"method": "POST", "headers": {"Content-Type": "application/json"}, "body": '{"to":"bob","body":"x"}'}
    page.evaluate("(options) => fetch('/api/messages', options).then((answer) => answer.text())", options)

    assert SECRET in read
    assert contents(served) != before
    page.close()
