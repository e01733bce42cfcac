"""A message that was altered on disk is never given out as good: it becomes a dead letter, and its sender is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from postino.broker import Broker
from postino.broker.history_filter import Search
from postino.config import Settings
from postino.model import BroadcastDraft, Draft, Sender
from postino.paths import Home
from postino.store.valkey.embedded import EmbeddedValkey
from tests.broker.mailrooms import closing, exported, imported, older
from tests.waiting import eventually

CI = Sender(name="ci", via="http")


def change(file: Path, old: bytes, new: bytes) -> None:
    """Change bytes of a stopped store's file, once, in the inbox entry that comes first."""
    content = file.read_bytes()
    assert len(old) == len(new) and old in content
    file.write_bytes(content.replace(old, new, 1))


def change_all(file: Path, old: bytes, new: bytes) -> None:
    """Change bytes of a stopped store's file in the inbox and in the history; those that all messages have, in all."""
    content = file.read_bytes()
    assert len(old) == len(new) and content.count(old) > 1
    file.write_bytes(content.replace(old, new))


@pytest.fixture
def thread() -> str | None:
    """The thread of the messages: without one, and without more, a message is stored in a shorter form."""
    return "money"


@pytest.fixture
async def stopped(home: Home, thread: str | None) -> AsyncIterator[Path]:
    """The last file of a stopped store with three messages from ci for bob."""
    broker = await Broker.open(Settings(home=home))
    await broker.mail.read("ci", "c-ci", limit=1)  # only who has read is sent notices
    for number in range(3):
        draft = Draft(id=f"m{number}", to="bob", body=f"pay {number}00 euros", thread=thread)
        await broker.mail.send(draft, CI)
    await broker.close()
    await EmbeddedValkey(home).stop()
    (file,) = (home.data / "appendonlydir").glob("*.incr.aof")
    yield file


@pytest.mark.parametrize(
    ("thread", "old", "new"),
    [
        ("money", b"pay 100 euros", b"pay 900 euros"),
        ("money", b"pay 100 euros", b"pay 100 eur\xffs"),
        ("money", b" m1 ci - 13 [", b" m1 cj - 13 ["),
        ("money", b"\r\n2 1", b"\r\nx 1"),
        ("money", b'null,"pay 1', b'null "pay 1'),
        (None, b"pay 100 euros", b"pay 900 euros"),
        (None, b"pay 100 euros", b"pay 100 eur\xffs"),
        (None, b" m1 ci -h - ", b" m1 cj -h - "),
        (None, b" m1 ci -h - ", b" m1 ci -x - "),
        (None, b"\r\n2 1", b"\r\nx 1"),
    ],
    ids=[
        *("a digit", "no UTF-8", "the sender", "the number", "the JSON"),
        *("a digit of a body", "no UTF-8 in it", "its sender", "how it was sent", "its number"),
    ],
)
@pytest.mark.parametrize("ack_now", [False, True])
async def test_an_altered_message_goes_to_the_dead_letters(
    home: Home, stopped: Path, old: bytes, new: bytes, ack_now: bool
) -> None:
    change(stopped, old, new)
    async with closing(Broker.open(Settings(home=home))) as broker:
        batch = await broker.mail.read("bob", "c-1", limit=10, ack_now=ack_now)

        assert [each.body for each in batch.lease.items] == ["pay 000 euros", "pay 200 euros"]
        assert batch.died == 1
        (letter,) = (await broker.dead.part("bob", 10)).items
        assert (letter.id, letter.reason) == ("m1", "altered")
        state = await broker.mail.state("bob", "m1")
        assert (state.state, state.reason) == ("dead", "altered")
        assert (await broker.mail.peek("bob", 10, 0))[1] == (0 if ack_now else 2)
        if new.startswith(b"pay"):
            await broker.housekeeping.send_notices()
            (notice,) = (await broker.mail.read("ci", "c-ci", limit=5)).lease.items
            assert (notice.from_, notice.reply_to) == ("system", "m1")
            assert "altered on disk" in notice.body


async def test_one_whose_id_is_lost_goes_there_under_its_place_and_holds_up_nobody(home: Home, stopped: Path) -> None:
    change(stopped, b" m1 ci - 13 [", b" m1_ci_-_13_[")
    async with closing(Broker.open(Settings(home=home))) as broker:
        batch = await broker.mail.read("bob", "c-1", limit=10)

        assert [each.id for each in batch.lease.items] == ["m0", "m2"]
        assert batch.died == 1
        (letter,) = (await broker.dead.part("bob", 10)).items
        assert (letter.reason, letter.altered) == ("altered", True)
        assert await broker.dead.requeue("bob", None) == [letter.id]


@pytest.mark.parametrize("ack_now", [False, True])
async def test_reads_of_one_session_at_once_move_it_once(home: Home, stopped: Path, ack_now: bool) -> None:
    change(stopped, b"pay 100", b"pay 900")
    async with closing(Broker.open(Settings(home=home))) as broker:
        await broker.mail.read("ci", "c-ci", limit=1)  # so that there is a connection
        reads = (broker.mail.read("bob", "c-1", resume=True, ack_now=ack_now and each == 1) for each in range(3))
        found = await asyncio.gather(*reads)

        assert sum(each.died for each in found) == 1
        assert [each.id for each in (await broker.dead.part("bob", 10)).items] == ["m1"]
        await broker.housekeeping.send_notices()
        assert [each.id for each in (await broker.mail.read("ci", "c-ci", limit=5)).lease.items] == ["dead:m1"]


async def test_a_late_move_leaves_one_that_was_requeued(home: Home, stopped: Path, proxy) -> None:
    change(stopped, b"pay 100", b"pay 900")
    async with closing(Broker.open(Settings(home=home))) as broker:
        (place,) = [entry for entry, fields in await broker.mail.after("bob", "0-0", 10) if fields["id"] == "m1"]
        flat = dict(await broker._store.query("XRANGE", broker._store.keys.of("inbox", "bob"), place, place))[place]
        await broker.mail.read("bob", "c-1", limit=10)
        assert await broker.dead.requeue("bob", None) == ["m1"]

        assert not await broker.mail._bury("bob", place, flat)

        assert (await broker.dead.part("bob", 10)).total == 0
        assert (await broker.mail.peek("bob", 10, 0))[1] == 3


async def test_it_is_not_given_out_after_a_requeue_either(home: Home, stopped: Path) -> None:
    change(stopped, b"pay 100", b"pay 900")
    async with closing(Broker.open(Settings(home=home))) as broker:
        await broker.mail.read("bob", "c-1", limit=10, ack_now=True)
        assert await broker.dead.requeue("bob", None) == ["m1"]

        assert (await broker.mail.read("bob", "c-1", limit=10)).lease.items == []
        assert (await broker.dead.part("bob", 10)).total == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"pay 100", b"pay 900"),
        (b'null,"pay 1', b'null "pay 1'),
        (b"\r\n2 1", b"\r\nx 1"),
        (b'"money",', b'"honey",'),
    ],
    ids=["a digit", "the JSON", "the number", "the thread"],
)
async def test_what_lists_it_marks_it(home: Home, stopped: Path, old: bytes, new: bytes) -> None:
    change_all(stopped, old, new)
    async with closing(Broker.open(Settings(home=home))) as broker:
        listed, _ = await broker.mail.peek("bob", 10, 0)
        past = (await broker.history.search(Search(agent="bob"))).items
        for items in (listed, [each for each in past if each.to == "bob"]):
            assert len(items) == 3
            marked = [each for each in items if each.altered is True]
            assert "m1" in [each.id for each in marked] and (len(marked) == 1 or b"money" in old)
            assert all("altered" not in msgspec.to_builtins(each) for each in items if each not in marked)
        await broker.mail.read("bob", "c-1", limit=10)
        letters = (await broker.dead.part("bob", 10)).items
        assert ("m1", True) in [(each.id, each.altered) for each in letters]


async def test_an_altered_broadcast_is_marked_in_the_list_and_read_without_its_body(home: Home) -> None:
    broker = await Broker.open(Settings(home=home))
    for number in range(3):
        await broker.broadcasts.broadcast(BroadcastDraft(id=f"b{number}", body=f"deploy {number}00"), CI)
    await broker.close()
    await EmbeddedValkey(home).stop()
    (file,) = (home.data / "appendonlydir").glob("*.incr.aof")
    file.write_bytes(file.read_bytes().replace(b"deploy 100", b"deploy 900"))
    async with closing(Broker.open(Settings(home=home))) as broker:
        items, _ = await broker.broadcasts.page(10, 0)
        assert [(each.body, each.altered is True) for each in items] == [
            ("deploy 000", False), ("deploy 900", True), ("deploy 200", False)
        ]  # fmt: skip
        past = (await broker.history.search()).items
        assert [each.id for each in past if each.altered is True] == ["b1"]
        unseen = (await broker.broadcasts.read("bob", 10)).items
        assert [(each.id, each.body, each.altered is True) for each in unseen] == [
            ("b0", "deploy 000", False), ("b1", "", True), ("b2", "deploy 200", False)
        ]  # fmt: skip


async def test_what_was_stored_without_a_digest_is_shown_as_it_is(broker: Broker) -> None:
    await broker.mail.send(Draft(id="m1", to="bob", body="old"), CI)
    await broker.broadcasts.broadcast(BroadcastDraft(id="b1", body="old"), CI)
    for agent, id in (("bob", "m1"), ("all", "b1")):
        key = broker._store.keys.of("index", agent)
        words = (await broker._store.call("HGET", key, id)).split(" ")
        await broker._store.call("HSET", key, id, " ".join([words[0], "", *words[2:]]))

    listed = [
        *(await broker.mail.peek("bob", 10, 0))[0],
        *(await broker.broadcasts.page(10, 0))[0],
        *(await broker.broadcasts.read("bob", 10)).items,
        *(await broker.history.search()).items,
        *(await broker.mail.read("bob", "c-1", limit=10)).items,
    ]
    assert [(each.body, each.altered) for each in listed] == [("old", msgspec.UNSET)] * 6


async def test_a_read_answers_although_the_altered_message_cannot_be_moved(home: Home, stopped: Path, proxy) -> None:
    change(stopped, b"pay 100", b"pay 900")
    between = await proxy(f"unix://{await EmbeddedValkey(home).start()}")
    async with closing(Broker.open(Settings(home=home, valkey_url=between.url, message_lease=1))) as broker:
        between.cut_before = broker._store.scripts["bury"].sha.encode()
        batch = await broker.mail.read("bob", "c-1", limit=10)
        between.cut_before = None

        assert ([each.id for each in batch.lease.items], batch.died, between.losses) == (["m0", "m2"], 0, 1)

        async def buried() -> bool:
            again = await broker.mail.read("bob", "c-1", limit=10)
            assert "m1" not in [each.id for each in again.lease.items]
            return again.died == 1

        await eventually(buried, "its lease has ended")
        (letter,) = (await broker.dead.part("bob", 10)).items
        assert (letter.id, letter.reason) == ("m1", "altered")


@pytest.mark.parametrize("damaged", ["1-0 x", "garbage", "x 1", "1 1", " ", "-1 -1", "1-0 " + "9" * 30])
async def test_an_altered_cursor_costs_its_agent_a_repeat_and_others_nothing(
    broker: Broker, second: Broker, damaged: str
) -> None:
    for name in ("ann", "bob"):
        await broker.agents.heartbeat(name)
    for id in ("b1", "b2"):
        await broker.broadcasts.broadcast(BroadcastDraft(id=id, body="x"), CI)
    for name in ("ann", "bob"):
        await broker.broadcasts.read(name, 10)
    keys = broker._store.keys
    await broker._store.call("HSET", keys.shared("cursors"), "bob", damaged)
    await broker._store.call("DEL", keys.shared("changes"))  # as a daemon that starts, this one reads all names again

    assert [each.name for each in (await broker.agents.page(10, 0))[0]] == ["ann", "bob"]
    assert [each.seen_by for each in (await broker.broadcasts.page(10, 0))[0]] == [["ann"], ["ann"]]
    lines = await exported(broker)
    assert [line["entry"] for line in lines if line.get("type") == "damaged"] == ["bob"]
    assert [line["name"] for line in lines if line.get("type") == "agent"] == ["ann", "bob"]
    assert (await imported(second, lines)).counts["damaged"] == 1
    assert (await broker.agents.check("bob")).unseen_broadcasts == 2
    assert [each.id for each in (await broker.broadcasts.read("bob", 10)).items] == ["b1", "b2"]
    assert (await broker.broadcasts.read("bob", 10)).items == []
    assert not [line for line in await exported(broker) if line.get("type") == "damaged"]


async def test_what_is_altered_of_an_agent_or_of_the_numbers_is_left_out_of_an_export_that_goes_on(
    broker: Broker, second: Broker
) -> None:
    await broker.mail.send(Draft(id="m1", to="bob", body="hello"), CI)
    await broker.broadcasts.broadcast(BroadcastDraft(id="b1", body="x"), CI)
    shared, call = broker._store.keys.shared, broker._store.call
    await call("HSET", shared("agents"), "bob", '{"since":99999999999999999}')
    await call("HSET", shared("feed"), "last", "x")

    with capture_logs() as logged:
        lines = await exported(broker)

    assert [line["entry"] for line in lines if line.get("type") == "damaged"] == ["bob", "feed"]
    assert [each["entries"] for each in logged if each["event"] == "export_damaged"] == [2]
    await imported(second, lines)
    assert [each.id for each in (await second.mail.read("bob", "c-bob")).items] == ["m1"]


@pytest.mark.parametrize(
    "damaged",
    [
        '{"since":1,"se',
        "7",
        '{"since":"x"}',
        '{"since":1,"sessions":5}',
        '{"since":1,"aliases":"x"}',
        '{"since":1,"groups":1}',
    ],
)
async def test_an_altered_record_of_an_agent_hides_nobody_and_is_written_anew(broker: Broker, damaged: str) -> None:
    for name in ("ann", "bob"):
        await broker.agents.heartbeat(name)
    keys = broker._store.keys
    await broker._store.call("HSET", keys.shared("agents"), "bob", damaged)
    await broker._store.call("DEL", keys.shared("changes"))  # as a daemon that starts, this one reads all names again

    assert [each.name for each in (await broker.agents.page(10, 0))[0]] == ["ann", "bob"]
    assert (await broker.stats())["agentCount"] == 2
    await broker.mail.send(Draft(id="m1", to="bob", body="hello"), CI)
    assert [each.id for each in (await broker.mail.read("bob", "c-bob")).items] == ["m1"]
    await broker.agents.heartbeat("bob")
    assert (await broker._store.call("HGET", keys.shared("agents"), "bob")).startswith('{"')
    await broker.agents.rename("bob", "bobby")
    assert [each.name for each in (await broker.agents.page(10, 0))[0]] == ["ann", "bobby"]


@pytest.mark.parametrize("damaged", ["X" * 40, "{", "x-1 digest 1 queued 1 ci"])
async def test_an_altered_record_of_a_message_costs_no_other_message_anything(broker: Broker, damaged: str) -> None:
    for id in ("m1", "m2"):
        await broker.mail.send(Draft(id=id, to="bob", body="hello"), CI)
    await broker._store.call("HSET", broker._store.keys.of("index", "bob"), "m1", damaged)

    past = (await broker.history.search(Search(agent="bob"))).items

    assert {each.id: each.state for each in past} == {"m1": "queued", "m2": "queued"}  # m1 by its entry in the inbox
    assert await broker.mail.clear("bob") == 2
    assert await broker.mail.peek("bob", 10, 0) == ([], 0)


@pytest.mark.parametrize(
    "damaged", ['{"since":17960921,5218,"seen":0,"human":true}', '"since":1,"seen":0,"human":true}', '{"human":true']
)
async def test_a_person_whose_record_was_altered_stays_one_as_long_as_it_tells(broker: Broker, damaged: str) -> None:
    await broker.people.register("lea")
    await broker.mail.send(Draft(id="m1", to="lea", body="x"), CI)
    await older(broker, "lea", "m1", 3)
    await broker._store.call("HSET", broker._store.keys.shared("agents"), "lea", damaged)
    await broker._store.call("DEL", broker._store.keys.shared("changes"))  # all names are read again

    await broker.mail.sweep("lea", 1000)

    assert (await broker.mail.state("lea", "m1")).state == "queued"  # an agent's would have expired
    assert (await broker.people.seen("lea", ["m1"])).seen == ["m1"]
    assert [each.id for each in (await broker.people.inbox("lea", 10)).items] == ["m1"]
    await broker.people.register("lea")
    assert await broker.people.names() == ["lea"]
