"""What an altered number of an inbox, or an altered place in it, costs: no message of it, and no other one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from postino.broker import Broker
from postino.errors import KeyReused
from postino.model import BroadcastDraft, Draft, Sender, Via
from postino.several import ManyDraft
from tests.broker.test_altered_records import CI, alter, ids_read, three


@pytest.mark.parametrize("altered", ["", "x", "1.5", "-3", "1e300", "inf", "nan", "9" * 20, "0"])
@pytest.mark.parametrize("several", [False, True])
async def test_numbers_go_on_where_the_last_one_was_altered(broker: Broker, altered: str, several: bool) -> None:
    await three(broker)
    await ids_read(broker, ack_now=True)
    await broker.mail.send(Draft(id="m3", to="bob", body="x"), CI)
    await broker._store.call("HSET", broker._store.keys.of("index", "bob"), "#seq", altered)

    seqs = []
    for id in ("m4", "m5"):
        draft = Draft(id=id, to="bob", body="x")
        if several:
            sent = await broker.groups.send_many(ManyDraft(to=["bob", "ann"], draft=draft), CI)
            seqs.append(sent.recipients[0].seq)
        else:
            seqs.append((await broker.mail.send(draft, CI)).seq)

    assert 4 < seqs[0] < 10 and seqs[1] == seqs[0] + 1
    assert await ids_read(broker) == ["m3", "m4", "m5"]


async def place_of(broker: Broker, number: int) -> str:
    found = await broker._store.call("XRANGE", broker._store.keys.of("inbox", "bob"), "-", "+")
    return str(found[number][0])


async def test_a_record_with_the_place_of_another_message_takes_its_own(broker: Broker) -> None:
    await three(broker)
    other = await place_of(broker, 0)
    await alter(broker, "m1", lambda text: " ".join([other, *text.split(" ")[1:]]))

    _, taken = await broker.mail.take("bob", "c-1", "m1")

    assert taken is not None and taken.body == "hello 1"
    assert await ids_read(broker) == ["m0", "m2"]
    assert (await broker.dead.part("bob", 10)).total == 0


async def test_a_person_opens_the_message_whose_record_has_the_place_of_another_one(broker: Broker) -> None:
    await broker.people.register("bob")
    await three(broker)
    other = await place_of(broker, 0)
    await alter(broker, "m1", lambda text: " ".join([other, *text.split(" ")[1:]]))

    assert (await broker.people.seen("bob", ["m1"])).seen == ["m1"]

    items = (await broker.people.inbox("bob", 10)).items
    assert {each.id: (each.body, bool(each.opened_at)) for each in items} == {
        "m0": ("hello 0", False), "m1": ("hello 1", True), "m2": ("hello 2", False),
    }  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"s": "x"}, {"s": ""}, {"s": "1796091520524x0"}, {"s": "9" * 30 + "-0"}, {"t": -1}, {"t": 10**15},
        {"f": ["m"]}, {"f": []}, {"f": ["m", "x"]}, {"t": "x"},
    ],
)  # fmt: skip
async def test_an_altered_open_message_costs_no_other_one(broker: Broker, change: dict[str, Any]) -> None:
    await broker.people.register("bob")
    await three(broker)
    await broker.people.seen("bob", ["m0", "m1"])
    key, call = broker._store.keys.of("open", "bob"), broker._store.call
    await call("HSET", key, "m1", json.dumps(json.loads(await call("HGET", key, "m1")) | change))

    page = await broker.people.inbox("bob", 10)

    found = {each.id: each.body for each in page.items}
    assert (found["m0"], found["m2"]) == ("hello 0", "hello 2")
    if "f" not in change and change.get("t") != "x":
        assert found["m1"] == "hello 1"
    await broker.people.inbox("bob", 1)
    assert (await broker.people.done("bob", ["m0", "m1"])).done == ["m0", "m1"]
    await broker.mail.send(Draft(id="r1", to="ci", body="x", reply_to="m0"), Sender(name="bob", via="http"))


@pytest.mark.parametrize("to", ["bob", "all"])
async def test_a_repeat_is_known_beside_a_damaged_record_however_it_comes(broker: Broker, to: str) -> None:
    """By another way, or from a daemon that counts the characters of ASCII bodies."""

    async def send(body: str, via: Via) -> bool:
        sender = Sender(name="ci", via=via)
        if to == "all":
            return (await broker.broadcasts.broadcast(BroadcastDraft(id="m1", body=body), sender)).created
        return (await broker.mail.send(Draft(id="m1", to=to, body=body), sender)).created

    assert await send('["http","t",null,"hello"]', "cli")
    await alter(broker, "m1", lambda _: "X", to)

    assert not await send('["http","t",null,"hello"]', "http")
    await alter(broker, "m1", lambda _: "X", to)
    for other in ("hello", '["http","t",null,"hello"] '):
        with pytest.raises(KeyReused):
            await send(other, "cli")
    if to == "bob":
        with pytest.raises(KeyReused):  # which would be stored as just that text
            await broker.mail.send(Draft(id="m1", to=to, body="hello", thread="t"), CI)


async def test_a_repeat_is_known_where_the_number_of_characters_was_stored(broker: Broker) -> None:
    await three(broker)
    sender, draft = Sender(name="ci", via="http"), Draft(id="m4", to="bob", body="hello")
    await broker.mail.send(draft, sender)
    key, call = broker._store.keys.of("inbox", "bob"), broker._store.call
    entries = await call("XRANGE", key, "-", "+")
    await call("DEL", key)
    for id, (_, message) in entries:
        await call("XADD", key, id, "m", message.replace(" - hello", " 5 hello"))
    await alter(broker, "m4", lambda _: "X")

    assert not (await broker.mail.send(draft, sender)).created
