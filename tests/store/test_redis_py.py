"""The private attributes of redis-py that the pipeline uses: exactly two, which the installed release must have."""

from __future__ import annotations

import ast
import asyncio
import gc
import tomllib
from pathlib import Path

import redis
from redis.asyncio.connection import AbstractConnection

import postino
from postino.store.pipeline import _detach_stream
from postino.store.valkey.primary import pool

ROOT = Path(postino.__file__).parent
#: the stream of a connected AbstractConnection; redis-py has no public way to take it over
PRIVATE = {"_reader": asyncio.StreamReader, "_writer": asyncio.StreamWriter}


def private_attributes(source: str) -> set[str]:
    """The private attributes that code uses of other objects than its own."""
    return {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.endswith("__")
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
    }


async def connected(url: str) -> AbstractConnection:
    """A connection as redis-py leaves it after its handshake."""
    connection: AbstractConnection = pool(url, timeout_s=None).make_connection()
    await connection.connect()
    return connection


async def test_redis_py_keeps_its_stream_in_the_two_attributes_that_the_pipeline_takes(valkey: str) -> None:
    connection = await connected(valkey)

    for name, kind in PRIVATE.items():
        assert isinstance(getattr(connection, name, None), kind), (
            f"redis-py {redis.__version__} has no {kind.__name__} in Connection.{name} any more: "
            "change _detach_stream in postino/store/pipeline.py, or exclude this release in pyproject.toml"
        )
    writer = _detach_stream(connection)
    assert writer is not None
    writer.transport.abort()


async def test_a_connection_without_its_stream_is_closed_to_redis_py_and_warns_of_nothing(valkey: str) -> None:
    connection = await connected(valkey)

    writer = _detach_stream(connection)

    assert writer is not None
    assert not connection.is_connected
    assert _detach_stream(connection) is None
    del connection
    gc.collect()  # a ResourceWarning would fail the test
    assert not writer.transport.is_closing()
    writer.transport.abort()


def test_no_other_private_attribute_of_a_library_is_used() -> None:
    files = [*(ROOT / "store").rglob("*.py"), *(ROOT / "broker").rglob("*.py"), ROOT / "locks.py"]

    used = {file.relative_to(ROOT).as_posix(): private_attributes(file.read_text()) for file in files}

    assert {name: found for name, found in used.items() if found} == {"store/pipeline.py": set(PRIVATE)}


def test_a_private_attribute_is_found() -> None:
    assert private_attributes("self._own + connection._lock") == {"_lock"}


def test_the_next_major_release_of_redis_py_is_not_installed_untested() -> None:
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["project"]
    (bound,) = [each for each in project["dependencies"] if each.startswith("redis")]

    assert f"<{int(redis.__version__.split('.')[0]) + 1}" in bound
