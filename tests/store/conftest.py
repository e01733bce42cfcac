"""Stores on servers of a test's choice, and two servers of which one is the other's replica."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator

import pytest

from postino.store.store import Store
from tests.nodes import Node, copies, synced
from tests.store.sends import Open
from tests.waiting import until


@pytest.fixture
async def store_at() -> AsyncIterator[Open]:
    """Open stores on servers of the test's choice."""
    opened: list[Store] = []

    async def one(url: str, prefix: str = "t:") -> Store:
        opened.append(Store(url, prefix))
        opened[-1].open()
        return opened[-1]

    yield one
    for each in opened:
        await each.close()


@pytest.fixture(scope="module")
def shared_pair() -> Iterator[list[Node]]:
    """A primary and one replica, which start once."""
    with copies(1) as nodes:
        yield nodes


@pytest.fixture
def pair(shared_pair: list[Node]) -> Iterator[list[Node]]:
    """A primary and one replica, empty, that are connected when a test begins."""
    until(lambda: synced(shared_pair[0], 1), "the replica is connected")
    shared_pair[0].ask("FLUSHALL")
    yield shared_pair
    for each in shared_pair:
        each.signal(signal.SIGCONT)
