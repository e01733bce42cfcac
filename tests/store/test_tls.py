"""TLS to the store: an authority of one's own, a client certificate, and what is said when either is missing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from postino.errors import StoreAway
from postino.store.store import Store
from tests.certificates import certificates
from tests.nodes import DURABLE, NAME, Node, free_port
from tests.waiting import eventually

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(
        shutil.which("redis-server") is None or shutil.which("openssl") is None,
        reason="no redis-server or no openssl on this machine; the shipped server has no TLS",
    ),
]


@dataclass
class Secured:
    """A primary and a Sentinel that speak TLS only and demand a certificate of each client."""

    folder: Path
    primary: Node
    sentinel: Node

    def options(self, *names: str) -> str:
        """Return a query with the named certificates."""
        files = {"ssl_ca_certs": "ca.pem", "ssl_certfile": "client.pem", "ssl_keyfile": "client.key"}
        return "?" + "&".join(f"{name}={quote(str(self.folder / files[name]), safe='')}" for name in names)


ALL = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Both servers, on certificates of an authority of their own."""
    folder = tmp_path_factory.mktemp("tls")
    certificates(folder)
    files = f"tls-cert-file {folder}/server.pem\ntls-key-file {folder}/server.key\ntls-ca-cert-file {folder}/ca.pem\n"
    port = free_port()
    primary = Node(DURABLE, "redis-server", f"{files}tls-port {port}\ntls-replication yes\nport 0\n", port)
    watch = f"sentinel monitor {NAME} 127.0.0.1 {port} 1\n"
    second = free_port()
    sentinel = Node(
        ("--sentinel",), "redis-server", f"{files}tls-port {second}\ntls-replication yes\nport 0\n{watch}", second
    )
    try:
        yield Secured(folder, primary.start(), sentinel.start())
    finally:
        primary.remove()
        sentinel.remove()


async def connect(url: str) -> None:
    store = Store(url, "po:")
    store.open()
    try:
        await store.connect(patience_s=20)
        await store.try_write()
    finally:
        await store.close()


async def test_an_authority_and_a_certificate_of_ones_own_are_enough(secured: Secured) -> None:
    await connect(f"valkeys://127.0.0.1:{secured.primary.port}{secured.options(*ALL)}")
    await connect(f"rediss://localhost:{secured.primary.port}/0{secured.options(*ALL)}")


async def test_the_sentinels_are_asked_over_tls_too(secured: Secured) -> None:
    url = f"rediss+sentinel://127.0.0.1:{secured.sentinel.port}/{NAME}{secured.options(*ALL)}"
    await eventually(lambda: connects(url), "the Sentinel answers in time")


async def connects(url: str) -> bool:
    """Connect, and tell whether the Sentinel answered within the half second that it is given."""
    try:
        await connect(url)
    except StoreAway as refused:
        if "does not answer" not in refused.message:
            raise
        return False
    return True


@pytest.mark.parametrize(
    ("scheme", "names", "said"),
    [
        ("rediss", ("ssl_certfile", "ssl_keyfile"), "certificate verify failed"),
        ("rediss", ("ssl_ca_certs",), r"certificate required|closed|reset|EOF"),
        ("redis", (), r"closed|reset|EOF"),
    ],
    ids=["no authority", "no certificate", "no TLS"],
)
async def test_what_is_missing_is_refused_and_said(
    secured: Secured, scheme: str, names: tuple[str, ...], said: str
) -> None:
    query = secured.options(*names) if names else ""
    with pytest.raises(StoreAway, match=f"does not serve: .*({said})") as refused:
        await connect(f"{scheme}://:pw-s3cret@127.0.0.1:{secured.primary.port}{query}")

    assert "s3cret" not in refused.value.message
    assert refused.value.detail["outcome"] == "none"
