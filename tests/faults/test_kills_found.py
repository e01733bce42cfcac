"""What the checker of the kills must find: readers and senders broken on purpose, and histories spoilt by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from postino.broker import Broker
from postino.config import Settings
from tests.faults.kills import Got, History, InProcess, Traffic, body_of, progress

pytestmark = pytest.mark.timeout(60)


async def test_a_reader_that_acknowledges_and_forgets_is_found_as_loss(open_broker) -> None:
    broker = await open_broker(message_lease=1)

    async def faults(accepted: Callable[[], int]) -> None:
        await progress(accepted, 100)

    history = await Traffic(InProcess(broker), drops=0.2).run(faults)

    assert set(history.judge()) >= {"lost"}
    assert history.judge()["lost"]["middle"]


async def test_a_retry_under_another_id_is_found_as_stored_twice(settings: Settings, proxy) -> None:
    between = await proxy()
    broker = await Broker.open(replace(settings, valkey_url=between.url, message_lease=1))

    async def faults(accepted: Callable[[], int]) -> None:
        for _ in range(3):
            await progress(accepted, 10)
            losses, between.lose = between.losses, b"w0:"
            while between.losses == losses:  # noqa: ASYNC110 - the proxy counts, it does not call
                await asyncio.sleep(0)
            between.lose = None

    try:
        careless = await Traffic(InProcess(broker), new_id_per_try=True).run(faults)
    finally:
        await broker.close()

    assert "stored twice" in careless.judge()


def real(count: int = 6) -> History:
    """A sound history by hand: one writer, each message delivered once, the second one twice."""
    history = History()
    for number in range(count):
        body = body_of("w0", number)
        history.tried["bob", "w0"].append(body)
        history.accepted["bob", body] = number + 1
        history.got.append(Got("r", "bob", body, number + 1, 1, False))
    history.got.append(Got("r", "bob", body_of("w0", 1), 2, 2, True))
    return history


def spoil(history: History, how: str) -> None:
    first, second = history.got[2], history.got[3]
    if how == "lost":
        history.got = [each for each in history.got if each is not first]
    elif how == "phantom":
        history.got.append(Got("r", "bob", body_of("w9", 1), 99, 1, False))
    elif how == "altered":
        history.got[2] = Got("r", "bob", first.body[:-1] + "!", first.seq, 1, False)
    elif how == "stored twice":
        history.got.append(Got("r", "bob", first.body, 77, 2, True))
    elif how == "one number for two":
        history.got[2] = Got("r", "bob", first.body, second.seq, 1, False)
    elif how == "order":
        history.got[2], history.got[3] = second, first
    else:
        history.got.append(Got("r2", "bob", first.body, first.seq, 2, False))


def test_a_sound_history_passes() -> None:
    assert real().judge() == {}


@pytest.mark.parametrize(
    "how", ["lost", "phantom", "altered", "stored twice", "one number for two", "order", "unlabelled repeats"]
)
def test_each_broken_promise_is_found_by_its_name(how: str) -> None:
    history = real()
    spoil(history, how)

    assert how in history.judge()


def test_an_unknown_outcome_is_no_loss_and_no_phantom() -> None:
    history = real()
    never, happened = body_of("w0", 6), body_of("w0", 7)
    history.tried["bob", "w0"] += [never, happened]
    history.got.append(Got("r", "bob", happened, 7, 1, False))

    assert history.judge() == {}


def test_a_dead_letter_is_not_lost() -> None:
    history = real()
    spoil(history, "lost")
    history.dead.add(("bob", body_of("w0", 2)))

    assert history.judge() == {}
