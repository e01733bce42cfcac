"""A message that was altered on disk is never given out as good: it becomes a dead letter, and its sender is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postino.broker import Broker
from postino.config import Settings
from postino.model import Draft, Sender
from postino.paths import Home
from postino.store.valkey.embedded import EmbeddedValkey
from tests.waiting import eventually

CI = Sender(name="ci", via="http")


def change(file: Path, old: bytes, new: bytes) -> None:
    """Change bytes of a stopped store's file, once, in the inbox entry that comes first."""
    content = file.read_bytes()
    assert len(old) == len(new) and old in content
    file.write_bytes(content.replace(old, new, 1))


@pytest.fixture
async def stopped(home: Home) -> AsyncIterator[Path]:
    """The last file of a stopped store with three messages from ci for bob."""
    broker = await Broker.open(Settings(home=home))
    await broker.mail.read("ci", "c-ci", limit=1)  # only who has read is sent notices
    for number in range(3):
        draft = Draft(id=f"m{number}", to="bob", body=f"pay {number}00 euros", thread="money")
        await broker.mail.send(draft, CI)
    await broker.close()
    await EmbeddedValkey(home).stop()
    (file,) = (home.data / "appendonlydir").glob("*.incr.aof")
    yield file


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"pay 100 euros", b"pay 900 euros"),
        (b"pay 100 euros", b"pay 100 eur\xffs"),
        (b"$2\r\nci\r\n$8\r\nverified\r\n$0\r\n\r\n$3\r\nvia\r\n$4\r\nhttp\r\n$4\r\nbody\r\n$13\r\npay 1",
         b"$2\r\ncj\r\n$8\r\nverified\r\n$0\r\n\r\n$3\r\nvia\r\n$4\r\nhttp\r\n$4\r\nbody\r\n$13\r\npay 1"),
        (b"$4\r\nbody\r\n$13\r\npay 1", b"$4\r\nbodx\r\n$13\r\npay 1"),
    ],
    ids=["a digit", "no UTF-8", "the sender", "a field's name"],
)  # fmt: skip
@pytest.mark.parametrize("ack_now", [False, True])
async def test_an_altered_message_goes_to_the_dead_letters(
    home: Home, stopped: Path, old: bytes, new: bytes, ack_now: bool
) -> None:
    change(stopped, old, new)
    broker = await Broker.open(Settings(home=home))
    try:
        batch = await broker.mail.read("bob", "c-1", limit=10, ack_now=ack_now)

        assert [each.body for each in batch.lease.items] == ["pay 000 euros", "pay 200 euros"]
        assert batch.died == 1
        (letter,), total = await broker.dead.page("bob", 10, 0)
        assert (letter.id, letter.reason, total) == ("m1", "altered", 1)
        state = await broker.mail.state("bob", "m1")
        assert (state.state, state.reason) == ("dead", "altered")
        assert (await broker.mail.peek("bob", 10, 0))[1] == (0 if ack_now else 2)
        if new.startswith(b"pay"):
            await broker.housekeeping.send_notices()
            (notice,) = (await broker.mail.read("ci", "c-ci", limit=5)).lease.items
            assert (notice.from_, notice.reply_to) == ("system", "m1")
            assert "altered on disk" in notice.body
    finally:
        await broker.close()


async def test_it_is_not_given_out_after_a_requeue_either(home: Home, stopped: Path) -> None:
    change(stopped, b"pay 100", b"pay 900")
    broker = await Broker.open(Settings(home=home))
    try:
        await broker.mail.read("bob", "c-1", limit=10, ack_now=True)
        assert await broker.dead.requeue("bob", None) == ["m1"]

        assert (await broker.mail.read("bob", "c-1", limit=10)).lease.items == []
        assert (await broker.dead.page("bob", 10, 0))[1] == 1
    finally:
        await broker.close()


async def test_a_read_answers_although_the_altered_message_cannot_be_moved(home: Home, stopped: Path, proxy) -> None:
    change(stopped, b"pay 100", b"pay 900")
    between = await proxy(f"unix://{await EmbeddedValkey(home).start()}")
    broker = await Broker.open(Settings(home=home, valkey_url=between.url, message_lease=1))
    try:
        between.cut_before = broker._store.scripts["bury"].sha.encode()
        batch = await broker.mail.read("bob", "c-1", limit=10)
        between.cut_before = None

        assert ([each.id for each in batch.lease.items], batch.died, between.losses) == (["m0", "m2"], 0, 1)

        async def buried() -> bool:
            again = await broker.mail.read("bob", "c-1", limit=10)
            assert "m1" not in [each.id for each in again.lease.items]
            return again.died == 1

        await eventually(buried, "its lease has ended")
        (letter,), _ = await broker.dead.page("bob", 10, 0)
        assert (letter.id, letter.reason) == ("m1", "altered")
    finally:
        await broker.close()
