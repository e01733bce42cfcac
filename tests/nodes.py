"""Servers that copy each other: a primary with replicas, the Sentinels beside it, a cluster; all from one program."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from postino.store.valkey.process import program
from tests.homes import scratch
from tests.waiting import until

DURABLE = ("--save", "", "--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")
#: docs/deployment.md says why: a replica that comes back confirms after 0.15 s; by default of Valkey 9 after a second
COPIES = (
    *("--repl-diskless-sync", "no", "--repl-diskless-load", "swapdb", "--hz", "50"),
    *("--repl-backlog-size", "64mb", "--repl-timeout", "5"),
)
DOWN_AFTER_MS = 3000  # at 1000 Sentinels take a primary for down that they have just promoted
#: until a Sentinel has answers of a new primary it counts from the promotion, and it dials once a second at most
STEADY_MS = 2000
CLI = shutil.which("valkey-cli") or shutil.which("redis-cli")  # for the script below; without it failovers take longer
FORMER_PRIMARY = Path(__file__).parents[1] / "docs" / "former_primary.sh"
NAME = "mail"
SLOT = 5392  # of {po}


def free_port() -> int:
    """Return a port that nobody listens on, and below those that the system gives out by itself.

    No other process of the tests gets it while this one runs: its UDP port, which nobody needs, is held until then.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket(type=socket.SOCK_DGRAM) as held, socket.socket() as probe, contextlib.suppress(OSError):
            held.bind(("127.0.0.1", port))
            probe.bind(("127.0.0.1", port))
            held.detach()  # stays open
            return port


@dataclass
class Node:
    """One server process; it keeps its port and its folder when it is killed and started again."""

    options: tuple[str, ...] = ()
    executable: str = ""
    config: str = ""  # the text of a configuration file, which Sentinels and clusters write themselves
    port: int = field(default_factory=free_port)
    folder: Path = field(default_factory=scratch)
    env: dict[str, str] = field(default_factory=dict)  # beside that of this process
    process: subprocess.Popen[bytes] | None = None
    first: tuple[str, ...] = ()  # further options of its first start only

    def start(self) -> Node:
        """Start it, also again on its data; return when it listens."""
        more, self.first = self.first, ()
        file = self.folder / "node.conf"
        if not file.exists():
            file.write_text(f"port {self.port}\ndir {self.folder}\n{self.config}")  # the last of two lines counts
        with (self.folder / "log").open("ab") as log:
            command = [self.executable or str(program()), str(file), *self.options, *more]
            environment = {**os.environ, **self.env}
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        until(self.listens, f"{self.port} listens")
        return self

    def listens(self) -> bool:
        """Tell whether it takes connections."""
        with socket.socket() as dialled:
            return dialled.connect_ex(("127.0.0.1", self.port)) == 0

    def ask(self, *command: str | int) -> Any:
        """Run one command once; return its reply. redis-py alone would try a dead server again for seconds."""
        retry = Retry(NoBackoff(), 0)
        with Redis(port=self.port, decode_responses=True, socket_timeout=5, protocol=2, retry=retry) as client:
            return client.execute_command(*command)

    def role(self) -> str:
        """Return `master` or `slave`; `` while it does not say."""
        with contextlib.suppress(RedisError, OSError):
            return str(self.ask("ROLE")[0])
        return ""

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def remove(self) -> None:
        """Kill it and remove what it wrote."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def synced(primary: Node, replicas: int) -> bool:
    """Tell whether so many replicas confirm what they get from a primary."""
    with contextlib.suppress(RedisError, OSError):
        role = primary.ask("ROLE")
        return role[0] == "master" and sum(int(each[2]) > 0 for each in role[2]) >= replicas
    return False


@contextlib.contextmanager
def copies(replicas: int, *options: str, executable: str = "") -> Iterator[list[Node]]:
    """Give a primary and its replicas, connected."""
    nodes = [Node((*DURABLE, *COPIES, *options), executable) for _ in range(replicas + 1)]
    try:
        for each in nodes:
            each.first = () if each is nodes[0] else ("--replicaof", "127.0.0.1", str(nodes[0].port))
            each.start()
        until(lambda: synced(nodes[0], replicas), "the replicas are connected")
        yield nodes
    finally:
        for each in nodes:
            each.remove()


@dataclass
class Watched:
    """A primary, its replicas and three Sentinels."""

    nodes: list[Node]
    sentinels: list[Node]

    @property
    def url(self) -> str:
        """The address by which postino finds the primary."""
        return f"redis+sentinel://{','.join(f'127.0.0.1:{each.port}' for each in self.sentinels)}/{NAME}"

    def primary(self) -> Node:
        """Return the node that most Sentinels name now."""
        named = [int(each.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1]) for each in self.sentinels]
        port = max(named, key=named.count)
        return next(each for each in self.nodes if each.port == port)

    def converted(self) -> int:
        """Return how often a Sentinel has made a former primary a replica, because nothing else had."""
        return sum((each.folder / "log").read_text().count("+convert-to-slave") for each in self.sentinels)

    def settled(self) -> bool:
        """Tell whether all Sentinels name one primary, which has answered them and has all other nodes as replicas.

        They have known it for STEADY_MS: how soon they take a newer one for down is chance.
        """
        with contextlib.suppress(RedisError, OSError):
            said = [dict(_pairs(each.ask("SENTINEL", "MASTER", NAME))) for each in self.sentinels]
            known = all(int(each["num-slaves"]) == len(self.nodes) - 1 for each in said)
            answered = all(int(each["last-ping-sent"]) == 0 for each in said)  # else the ms since one without answer
            steady = all(int(each["role-reported-time"]) > STEADY_MS for each in said)
            one = len({int(each["port"]) for each in said}) == 1
            return one and known and answered and steady and synced(self.primary(), len(self.nodes) - 1)
        return False


def _pairs(reply: Any) -> Any:
    return reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)


@contextlib.contextmanager
def watched(replicas: int, *options: str) -> Iterator[Watched]:
    """Give a primary with replicas under three Sentinels that agree."""
    with copies(replicas, *options) as nodes:
        text = (
            f"sentinel monitor {NAME} 127.0.0.1 {nodes[0].port} 2\n"
            f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}\nsentinel failover-timeout {NAME} 10000\n"
        )
        if CLI is not None:
            text += f"sentinel client-reconfig-script {NAME} {FORMER_PRIMARY}\n"
        sentinels = [Node(("--sentinel",), config=text) for _ in range(3)]
        try:
            for each in sentinels:
                each.env = {"VALKEY_CLI": str(CLI), "SENTINEL_CLI": f"{CLI} -p {each.port}"}
                each.start()
            made = Watched(nodes, sentinels)
            until(made.settled, "the Sentinels know all", poll_s=0.1)
            until(lambda: all(_others(each) == 2 for each in sentinels), "the Sentinels know each other")
            yield made
        finally:
            for each in sentinels:
                each.remove()


def _others(sentinel: Node) -> int:
    return int(dict(_pairs(sentinel.ask("SENTINEL", "MASTER", NAME)))["num-other-sentinels"])


@dataclass
class Cluster:
    """Nodes of a cluster, its first primaries first."""

    nodes: list[Node]

    @property
    def url(self) -> str:
        """The address by which postino finds the owner of its slot."""
        return f"redis+cluster://{','.join(f'127.0.0.1:{each.port}' for each in self.nodes)}"

    def owner(self, slot: int = SLOT) -> Node:
        """Return the node that most nodes say owns a slot."""
        said = []
        for each in self.nodes:
            with contextlib.suppress(RedisError, OSError):
                said += [entry[2][1] for entry in each.ask("CLUSTER", "SLOTS") if entry[0] <= slot <= entry[1]]
        port = max(said, key=said.count)
        return next(each for each in self.nodes if each.port == port)

    def replicas(self, node: Node) -> list[Node]:
        """Return the replicas of a primary."""
        ports = [int(each[1]) for each in node.ask("ROLE")[2]]
        return [each for each in self.nodes if each.port in ports]


@contextlib.contextmanager
def cluster(primaries: int = 3, replicas: int = 1) -> Iterator[Cluster]:
    """Give a cluster of which every node says that it is ok and every primary has its replicas."""
    options = (*DURABLE, *COPIES, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
    buses = [free_port() for _ in range(primaries * (1 + replicas))]
    nodes = [Node((*options, "--cluster-port", str(bus))) for bus in buses]
    try:
        for each in nodes:
            each.start()
        _join(nodes, buses, primaries)
        made = Cluster(nodes)
        until(lambda: all(synced(each, replicas) for each in nodes[:primaries]), "the replicas are connected")
        until(
            lambda: all("cluster_state:ok" in str(each.ask("CLUSTER", "INFO")) for each in nodes), "the cluster is ok"
        )
        yield made
    finally:
        for each in nodes:
            each.remove()


def _join(nodes: list[Node], buses: list[int], primaries: int) -> None:
    """Let the nodes meet, give the first ones the slots, and the others each one of those to copy."""
    for at, each in enumerate(nodes[:primaries]):
        each.ask("CLUSTER", "ADDSLOTSRANGE", at * 16384 // primaries, (at + 1) * 16384 // primaries - 1)
        each.ask("CLUSTER", "SET-CONFIG-EPOCH", at + 1)
    for each, bus in zip(nodes[1:], buses[1:], strict=True):
        nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", each.port, bus)
    until(
        lambda: all(str(each.ask("CLUSTER", "NODES")).count("connected") == len(nodes) for each in nodes),
        "nodes have met",
    )
    for at, each in enumerate(nodes[primaries:]):
        owner = nodes[at % primaries].ask("CLUSTER", "MYID")
        until(lambda each=each, owner=owner: owner in str(each.ask("CLUSTER", "NODES")), "the primary is known")
        each.ask("CLUSTER", "REPLICATE", owner)
