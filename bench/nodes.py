"""Servers that copy each other, from the program that postino ships: a primary with replicas, or a cluster."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from redis import Redis, RedisError

from postino.store.valkey.process import program

DURABLE = ("--save", "", "--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")
PATIENCE_S = 30.0


def ask(port: int, *command: str | int) -> Any:
    """Run one command on the server at a port."""
    with Redis(port=port, decode_responses=True, protocol=2) as client:
        return client.execute_command(*command)


@contextlib.contextmanager
def replicated(replicas: int, folder: str = "/tmp") -> Iterator[int]:
    """Yield the port of a primary whose replicas confirm what they get; their data is in `folder`."""
    with _servers(replicas + 1, "--repl-diskless-sync-delay", "0", within=folder) as ports:
        for port in ports[1:]:
            ask(port, "REPLICAOF", "127.0.0.1", ports[0])
        _until(lambda: sum(int(each[2]) > 0 for each in ask(ports[0], "ROLE")[2]) == replicas)
        yield ports[0]


@contextlib.contextmanager
def cluster(primaries: int) -> Iterator[list[int]]:
    """Yield the ports of a cluster of primaries that share the slots equally."""
    with _servers(primaries, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf") as ports:
        for at, port in enumerate(ports):
            ask(port, "CLUSTER", "ADDSLOTSRANGE", at * 16384 // primaries, (at + 1) * 16384 // primaries - 1)
            ask(port, "CLUSTER", "SET-CONFIG-EPOCH", at + 1)
        for port in ports[1:]:
            ask(ports[0], "CLUSTER", "MEET", "127.0.0.1", port, _bus(port))
        _until(lambda: all("cluster_state:ok" in str(ask(port, "CLUSTER", "INFO")) for port in ports))
        _until(lambda: all(str(ask(port, "CLUSTER", "NODES")).count("\n") == primaries for port in ports))
        yield ports


def _bus(port: int) -> int:
    return int(str(ask(port, "CONFIG", "GET", "cluster-port")[1]))


@contextlib.contextmanager
def _servers(count: int, *options: str, within: str = "/tmp") -> Iterator[list[int]]:
    folder, running = Path(tempfile.mkdtemp(prefix="po", dir=within)), []
    ports = _free_ports(2 * count)
    try:
        for port, bus in zip(ports[:count], ports[count:], strict=True):
            place = folder / str(port)
            place.mkdir()
            extra = ("--cluster-port", str(bus)) if "--cluster-enabled" in options else ()
            command = [str(program()), "--port", str(port), "--dir", str(place), *DURABLE, *options, *extra]
            running.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
        for port in ports[:count]:
            _until(lambda port=port: ask(port, "PING"))  # type: ignore[misc]
        yield ports[:count]
    finally:
        for each in running:
            each.kill()
            each.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in probes:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in probes]


def _until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with contextlib.suppress(RedisError, OSError):
            if condition():
                return
        time.sleep(0.05)
    raise TimeoutError("the servers are not ready")
