"""The end of the terminal inbox while Valkey is away, against a socket that says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from postino.errors import PostinoError
from postino.tui.mailroom import InboxClient, Mailroom
from tests.unit.badly import Badly, says
from tests.waiting import eventually

AWAY = {"ok": False, "code": "store_away", "error": "away", "retryable": True, "outcome": "none"}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Badly]:
    badly = Badly(tmp_path / "socket")
    yield badly
    badly.close()


@pytest.fixture
def mailroom(daemon: Badly, monkeypatch: pytest.MonkeyPatch) -> Mailroom:
    """A mailroom whose client tries longer than any test takes."""
    monkeypatch.setattr("postino.client_calls.PAUSES", (0.01, 0.01))
    monkeypatch.setattr("postino.client_calls.FAILOVER", 100.0)
    return Mailroom(lambda headers: InboxClient(daemon.path, seconds=100, headers=headers))


async def under_way(daemon: Badly, mailroom: Mailroom, ask: Callable[[InboxClient], Any]) -> asyncio.Task[Any]:
    """Begin a call that is answered with `store_away`, and return it when it has been tried again."""
    calling = asyncio.create_task(mailroom.call(ask))
    await eventually(lambda: len(daemon.requests) > 3, "it is tried again")
    return calling


async def test_a_look_is_not_tried_again(daemon: Badly, mailroom: Mailroom) -> None:
    daemon.script = [says(AWAY, 503)] * 100_000
    looking = await under_way(daemon, mailroom, lambda client: client.newest_threads())

    async with asyncio.timeout(50):
        await mailroom.close()

    with pytest.raises(PostinoError):
        await looking


async def test_a_message_that_is_being_sent_is_still_tried(daemon: Badly, mailroom: Mailroom) -> None:
    daemon.script = [says(AWAY, 503)] * 100_000
    sending = await under_way(daemon, mailroom, lambda client: client.send("bob", "hello"))

    closing = asyncio.create_task(mailroom.close())
    tried = len(daemon.requests)
    await eventually(lambda: len(daemon.requests) > tried + 3, "it is tried again")
    daemon.script[:] = [says({"ok": True, "id": "x"})] * 2
    await closing

    assert (await sending)["id"] == "x"
