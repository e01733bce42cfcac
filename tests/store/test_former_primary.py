"""docs/former_primary.sh where servers want a password, and TLS too: a Sentinel runs it after a failover."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.certificates import certificates
from tests.nodes import CLI, COPIES, DURABLE, FORMER_PRIMARY, NAME, Node, free_port
from tests.waiting import until

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(CLI is None, reason="no valkey-cli or redis-cli on this machine, which the script needs"),
]
NO_TLS = shutil.which("redis-server") is None or shutil.which("openssl") is None
SECRET = "pw-s3cret"
#: what Valkey's documentation gives the user of Sentinels, which the script is, too
RIGHTS = (
    "&* -@all +multi +slaveof +replicaof +ping +exec +subscribe +publish +config|rewrite +role +info "
    "+client|setname +client|kill +script|kill"
)


@dataclass
class Guarded:
    """Two servers and a Sentinel; `cli` is what the script calls them with."""

    first: Node
    second: Node
    sentinel: Node
    cli: str

    def role(self, node: Node) -> str:
        """Return what the role of a server is, as the script asks it; empty while it does not say."""
        command = [*self.cli.split(), "-p", str(node.port), "role"]
        done = subprocess.run(command, env=self.sentinel.env, capture_output=True, text=True, check=False)
        return done.stdout.partition("\n")[0]

    def logged(self) -> str:
        """Return the Sentinel's log."""
        return (self.sentinel.folder / "log").read_text()


def listening(folder: Path, tls: bool) -> tuple[int, str]:
    """Return a free port and the lines of a configuration by which a server listens there."""
    port = free_port()
    if not tls:
        return port, f"port {port}\n"
    files = "".join(f"tls-{kind}-file {folder}/{name}\n" for kind, name in zip(KINDS, FILES, strict=True))
    return port, f"port 0\ntls-port {port}\ntls-replication yes\n{files}"


KINDS, FILES = ("cert", "key", "ca-cert"), ("server.pem", "server.key", "ca.pem")


@pytest.fixture(
    params=[False, pytest.param(True, marks=pytest.mark.skipif(NO_TLS, reason="no redis-server or no openssl: TLS"))],
    ids=["password", "TLS and password"],
)
def guarded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Guarded]:
    """Servers that want a user and a password; with TLS their Sentinel wants them, too."""
    tls, cli = request.param, f"{CLI} --user sentinel --no-auth-warning"
    if tls:
        certificates(tmp_path)
        cli += f" --tls --cacert {tmp_path}/ca.pem --cert {tmp_path}/client.pem --key {tmp_path}/client.key"
    executable = "redis-server" if tls else ""
    users = f"user default on >{SECRET} ~* &* +@all\nuser sentinel on >{SECRET} {RIGHTS}\nmasterauth {SECRET}\n"
    options = DURABLE if tls else (*DURABLE, *COPIES)
    nodes = []
    for _ in range(2):
        port, lines = listening(tmp_path, tls)
        nodes.append(Node(options, executable, lines + users, port))
    nodes[1].first = ("--replicaof", "127.0.0.1", str(nodes[0].port))
    port, lines = listening(tmp_path, tls)
    lines += (
        f"sentinel monitor {NAME} 127.0.0.1 {nodes[0].port} 1\nsentinel down-after-milliseconds {NAME} 1000\n"
        f"sentinel auth-user {NAME} sentinel\nsentinel auth-pass {NAME} {SECRET}\n"
        f"sentinel client-reconfig-script {NAME} {FORMER_PRIMARY}\n"
    )
    env = {"VALKEY_CLI": cli, "REDISCLI_AUTH": SECRET, "SENTINEL_CLI": f"{cli} -p {port}"}
    if tls:
        lines += f"user default off\nuser sentinel on >{SECRET} ~* &* +@all\n"
    else:
        env["SENTINEL_CLI"] = f"env -u REDISCLI_AUTH {CLI} -p {port}"
    made = Guarded(*nodes, Node(("--sentinel",), executable, lines, port, env=env), cli)
    try:
        for each in (*nodes, made.sentinel):
            each.start()
        until(lambda: "+slave " in made.logged(), "the Sentinel knows the replica")
        yield made
    finally:
        for each in (*nodes, made.sentinel):
            each.remove()


def test_the_script_makes_a_guarded_former_primary_a_replica(guarded: Guarded) -> None:
    assert (guarded.role(guarded.first), guarded.role(guarded.second)) == ("master", "slave")

    guarded.first.kill()
    until(lambda: "+switch-master" in guarded.logged(), "the other one is promoted")
    guarded.first.start()
    until(lambda: guarded.role(guarded.first) == "slave", "the script has done it")

    assert guarded.role(guarded.second) == "master"
    assert "+convert-to-slave" not in guarded.logged()  # Sentinel itself would have done it, 8 s later or more
    settings, line = guarded.first.folder / "node.conf", f"replicaof 127.0.0.1 {guarded.second.port}"
    until(lambda: line in settings.read_text(), "it stays one when it is started again")
