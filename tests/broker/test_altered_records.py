"""An altered record of the index costs its own message at most: nothing else is refused, and no mail is lost."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from postino.broker import Broker
from postino.broker.history_filter import Search
from postino.errors import KeyReused, UnknownMessage
from postino.model import BroadcastDraft, Draft, Sender
from postino.several import ManyDraft
from postino.store.store import WrongAgent
from tests.broker.mailrooms import exported

CI = Sender(name="ci", via="http")
WORDS = 15


def _words(text: str) -> list[str]:
    words = text.split(" ")
    return [*words, *[""] * (WORDS - len(words))]


def _at(place: int, value: str) -> Callable[[str], str]:
    """Replace one word of a record."""
    return lambda text: " ".join([*_words(text)[:place], value, *_words(text)[place + 1 :]]).rstrip(" ")


ALTERATIONS: dict[str, Callable[[str], str]] = {
    "empty": lambda _: "",
    "text": lambda _: "X" * 40,
    "JSON that ends": lambda _: '{"s":"1-0"',
    "JSON of another kind": lambda _: "{}",
    "JSON with other values": lambda _: '{"s":7,"st":true,"q":"x","t":null}',
    "binary": lambda text: "\x00\x01\x7f\ufffd" + text[4:],
    "too many words": lambda text: text + " x" * 20,
    **{f"cut at {length}": lambda text, length=length: text[:length] for length in (1, 13, 16, 40, 60, 85)},
    "no place": _at(0, ""),
    "place of another kind": _at(0, "x-1"),
    "place too large": _at(0, "9" * 25 + "-0"),
    "another place": _at(0, "1-1"),
    "no number": _at(2, ""),
    "number of another kind": _at(2, "x"),
    "no state": _at(3, ""),
    "state of another kind": _at(3, "qveued"),
    "time of another kind": _at(4, "17x"),
    "time too large": _at(4, "9" * 20),
    "deliveries": _at(6, "x"),
    "lease": _at(8, "1.7e+12x"),
    "end": _at(9, "x"),
    "notified": _at(12, "x"),
    "deaths": _at(13, "x"),
    "requeued": _at(14, "x"),
}
each_alteration = pytest.mark.parametrize("change", ALTERATIONS.values(), ids=ALTERATIONS)


async def alter(broker: Broker, id: str, change: Callable[[str], str], agent: str = "bob") -> None:
    """Alter the record of a message, as a disk or a person at the command line of the store may."""
    key, call = broker._store.keys.of("index", agent), broker._store.call
    await call("HSET", key, id, change(await call("HGET", key, id)))


async def three(broker: Broker) -> None:
    """Let bob have the messages m0, m1 and m2 from ci."""
    await broker.mail.read("ci", "c-ci", limit=1)  # only who has read is sent notices
    for number in range(3):
        await broker.mail.send(Draft(id=f"m{number}", to="bob", body=f"hello {number}", thread="t"), CI)


async def ids_read(broker: Broker, **more) -> list[str]:
    """Read as bob."""
    return [each.id for each in (await broker.mail.read("bob", "c-1", limit=10, **more)).lease.items]


async def looked_at(broker: Broker) -> None:
    """Look at all that tells of bob's mail."""
    assert [each.id for each in (await broker.mail.peek("bob", 10, 0))[0]] in (["m0", "m1", "m2"], [])
    assert {each.id for each in (await broker.history.search(Search(agent="bob"))).items} == {"m0", "m1", "m2"}
    assert {each.id for each in (await broker.history.search(Search(q="m1"))).items} <= {"m1", "dead:m1"}
    await broker.agents.page(10, 0)
    await broker.agents.check("bob")
    for id in ("m0", "m2"):
        assert (await broker.mail.state("bob", id)).id == id
    await exported(broker)


@each_alteration
@pytest.mark.parametrize("ack_now", [False, True])
async def test_a_message_that_waits_is_read_and_acknowledged(
    broker: Broker, change: Callable[[str], str], ack_now: bool
) -> None:
    await three(broker)
    await alter(broker, "m1", change)

    await looked_at(broker)
    assert (await broker.mail.state("bob", "m1")).state == "queued"
    assert await ids_read(broker, ack_now=ack_now) == ["m0", "m1", "m2"]
    if not ack_now:
        assert (await broker.mail.state("bob", "m1")).state == "leased"
        assert (await broker.mail.ack("bob", "c-1", ["m0", "m1", "m2"])).rejected == []
    assert (await broker.mail.state("bob", "m1")).state == "acked"
    assert (await broker.mail.peek("bob", 10, 0))[1] == 0
    await looked_at(broker)


@each_alteration
async def test_a_leased_message_is_acknowledged(broker: Broker, change: Callable[[str], str]) -> None:
    await three(broker)
    await ids_read(broker)
    await alter(broker, "m1", change)

    await looked_at(broker)
    assert (await broker.mail.state("bob", "m1")).deliveries in (0, 1)
    assert (await broker.mail.extend("bob", "c-1", ["m0", "m1", "m2"])).rejected == []
    assert (await broker.mail.ack("bob", "c-2", ["m1"])).acknowledged == []
    assert (await broker.mail.ack("bob", "c-1", ["m0", "m1", "m2"])).rejected == []
    assert (await broker.mail.peek("bob", 10, 0))[1] == 0


@each_alteration
async def test_a_leased_message_is_returned_and_read_again(broker: Broker, change: Callable[[str], str]) -> None:
    await three(broker)
    await ids_read(broker)
    await alter(broker, "m1", change)

    returned = await broker.mail.nack("bob", "c-1", ["m0", "m1", "m2"])

    assert (returned.acknowledged, returned.rejected) == (["m0", "m1", "m2"], [])
    again = (await broker.mail.read("bob", "c-1", limit=10)).lease.items
    assert [(each.id, each.redelivered) for each in again] == [("m0", True), ("m1", True), ("m2", True)]


@each_alteration
async def test_a_message_dies_of_its_last_delivery_and_is_requeued(
    broker: Broker, change: Callable[[str], str]
) -> None:
    await three(broker)
    await ids_read(broker)
    await alter(broker, "m1", change)
    for _ in range(4):
        await broker.mail.nack("bob", "c-1", ["m0", "m1", "m2"])
        await ids_read(broker)
    await alter(broker, "m1", change)

    assert (await broker.mail.nack("bob", "c-1", ["m0", "m1", "m2"])).dead == ["m0", "m1", "m2"]
    await alter(broker, "m1", change)
    assert (await broker.mail.state("bob", "m1")).state == "dead"
    await looked_at(broker)
    await broker.housekeeping.send_notices()
    assert len((await broker.mail.read("ci", "c-ci", limit=5)).lease.items) == 3
    assert await broker.dead.requeue("bob", ["m1"]) == ["m1"]
    assert await broker.dead.requeue("bob", None) == ["m0", "m2"]
    again = (await broker.mail.read("bob", "c-1", limit=10)).lease.items
    assert [(each.id, each.redelivered) for each in again] == [("m1", True), ("m0", True), ("m2", True)]


@each_alteration
async def test_housekeeping_goes_on_and_mends_the_record(broker: Broker, change: Callable[[str], str]) -> None:
    await three(broker)
    await alter(broker, "m1", change)

    swept = await broker.mail.sweep("bob", 1000)

    assert swept.unread == 3
    assert (await broker.mail.state("bob", "m1")).state == "queued"
    sent = await broker.mail.send(Draft(id="m1", to="bob", body="hello 1", thread="t"), CI)
    assert not sent.created
    assert await ids_read(broker) == ["m0", "m1", "m2"]


@each_alteration
@pytest.mark.parametrize("swept", [False, True])
async def test_an_id_is_accepted_once(broker: Broker, change: Callable[[str], str], swept: bool) -> None:
    await three(broker)
    await alter(broker, "m1", change)
    if swept:
        await broker.mail.sweep("bob", 1000)

    again = await broker.mail.send(Draft(id="m1", to="bob", body="hello 1", thread="t"), CI)
    with pytest.raises(KeyReused):
        await broker.mail.send(Draft(id="m1", to="bob", body="other"), CI)
    with pytest.raises(KeyReused):
        await broker.groups.send_many(ManyDraft(to=["bob", "ann"], draft=Draft(id="m1", to="bob", body="other")), CI)

    assert (again.seq, again.created) == (2, False)
    assert (await broker.mail.peek("bob", 10, 0))[1] == 3


@each_alteration
async def test_a_person_opens_the_message(broker: Broker, change: Callable[[str], str]) -> None:
    await broker.people.register("bob")
    await three(broker)
    await alter(broker, "m1", change)

    seen = await broker.people.seen("bob", ["m0", "m1", "m2"])

    assert seen.seen == ["m0", "m1", "m2"]
    assert {each.id for each in (await broker.people.inbox("bob", 10)).items} == {"m0", "m1", "m2"}
    assert (await broker.people.done("bob", ["m0", "m1", "m2"])).unknown == []


@each_alteration
async def test_a_broadcast_is_read_seen_and_accepted_once(broker: Broker, change: Callable[[str], str]) -> None:
    for id in ("b0", "b1", "b2"):
        await broker.broadcasts.broadcast(BroadcastDraft(id=id, body="hear"), CI)
    await alter(broker, "b1", change, "all")

    items, _ = await broker.broadcasts.page(10, 0)
    assert [(each.id, each.altered) for each in items] == [(id, msgspec.UNSET) for id in ("b0", "b1", "b2")]
    sent = await broker.broadcasts.broadcast(BroadcastDraft(id="b1", body="hear"), CI)
    assert (sent.seq, sent.created) == (2, False)
    await alter(broker, "b1", change, "all")
    try:
        await broker.broadcasts.seen("bob", "b1")
    except UnknownMessage as error:
        assert "altered" in error.message
    assert "b2" in [each.id for each in (await broker.broadcasts.read("bob", 10)).items]


async def test_a_message_whose_id_the_disk_made_that_of_another_is_buried_without_the_other(broker: Broker) -> None:
    await three(broker)
    key, call = broker._store.keys.of("inbox", "bob"), broker._store.call
    entries = await call("XRANGE", key, "-", "+")
    await call("DEL", key)
    for id, (_, message) in entries:
        await call("XADD", key, id, "m", message.replace(" m1 ", " m2 "))

    assert await ids_read(broker) == ["m0", "m2"]
    letters = (await broker.dead.part("bob", 10)).items
    assert [(each.id, each.reason, each.body) for each in letters] == [("m2", "altered", "hello 1")]
    assert (await broker.mail.ack("bob", "c-1", ["m0", "m2"])).rejected == []
    assert (await broker.mail.state("bob", "m2")).state == "acked"


async def test_what_is_lost_of_an_ended_message_is_said(broker: Broker) -> None:
    await three(broker)
    await ids_read(broker, ack_now=True)
    await alter(broker, "m1", lambda _: "X")

    with pytest.raises(UnknownMessage):
        await broker.mail.state("bob", "m1")
    assert (await broker.mail.ack("bob", "c-1", ["m0", "m1", "m2"])).rejected == ["m1"]
    with pytest.raises(KeyReused, match="not known any more"):
        await broker.mail.send(Draft(id="m1", to="bob", body="hello 1", thread="t"), CI)
    assert (await broker.mail.send(Draft(id="m3", to="bob", body="x"), CI)).created


@pytest.mark.parametrize("altered", ["far", "gone", "of another place"])
async def test_a_message_that_an_altered_lease_hides_comes_back(broker: Broker, altered: str) -> None:
    await three(broker)
    await ids_read(broker)
    leases, call = broker._store.keys.of("leases", "bob"), broker._store.call
    place = (await call("XRANGE", broker._store.keys.of("inbox", "bob"), "-", "+"))[1][0]
    if altered == "far":
        await call("ZADD", leases, 9_999_999_999_999, place)
    else:
        await call("ZREM", leases, place)
    if altered == "of another place":
        await call("ZADD", leases, 1, "1-1")
        await ids_read(broker)  # which finds nothing there

    await broker.mail.sweep("bob", 1000)

    again = (await broker.mail.read("bob", "c-2", limit=10)).lease.items
    assert [(each.id, each.redelivered) for each in again] == [("m1", True)]
    assert (await broker.mail.ack("bob", "c-1", ["m0", "m2"])).rejected == []


@pytest.mark.parametrize("altered", ["", "x", "7", '{"agent":7}', "{}", "\x00\ufffd"])
async def test_an_altered_record_of_a_session_costs_that_session_a_new_start(
    broker: Broker, hello, altered: str
) -> None:
    await broker.sessions.join(hello("s-1", name="bob"))
    await broker.sessions.join(hello("s-2", name="bob"))
    await three(broker)
    await broker._store.call("HSET", broker._store.keys.shared("sessions"), "s-1", altered)

    with pytest.raises(WrongAgent):
        await broker.mail.read("bob", "s-1", acting=True)
    assert len((await broker.mail.read("bob", "s-2", limit=10, acting=True)).lease.items) == 3
    await broker.sessions.join(hello("s-1", name="bob"))
    assert (await broker.mail.read("bob", "s-1", acting=True)).lease.items == []
    assert [each.name for each in (await broker.agents.page(10, 0))[0]] == ["bob"]
    await broker.agents.rename("bob", "bobby")
