"""Stores without a broker."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from postino.store.store import Store
from tests.store.sends import Open


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
