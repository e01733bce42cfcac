"""Data of an older format is taken over at the start, in one step, and means the same afterwards."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from postino.broker import Broker, Hello
from postino.broker.history_filter import Search
from postino.config import Settings
from postino.errors import KeyReused, WrongStore
from postino.model import Draft, Sender, digest
from postino.paths import Home
from postino.store.migrate import migrate
from postino.store.pipeline import Pipeline
from tests.broker.mailrooms import closing

CI = Sender(name="ci", via="http")
GROUP = "agents"


def fields(id: str, seq: int, now: int) -> dict[str, Any]:
    """A message as format 1 had it, from ci."""
    return {
        "id": id, "seq": seq, "from": "ci", "verified": "1", "via": "mcp", "body": f"body of {id} é", "t": now,
        "thread": "t", "reply_to": "",
    }  # fmt: skip


def record(id: str, entry: str, seq: int, now: int, **more: Any) -> str:
    content = digest("ci", f"body of {id} é", "t", None)
    return json.dumps({"s": entry, "d": content, "q": seq, "t": now, "f": "ci", "st": "queued"} | more)


@pytest.fixture
def old(serve: Any) -> Any:
    """A store with what a daemon of format 1 has written: m1 acknowledged, m2 leased, m3 new, d1 dead, b1 broadcast."""
    server = serve()
    now = int(float(server.ask("TIME")[0])) * 1000
    server.ask("HSET", "{po}:meta", "id", "0123456789abcdef", "format", "1", "indexed_after", f"{now}-9")
    server.ask("HSET", "{po}:agents", "bob", f'{{"since":{now},"seen":{now},"reads":true,"aliases":["rob"]}}')
    server.ask("HSET", "{po}:agents", "rob", f"@bob {now}", "ci", f'{{"since":{now},"seen":{now},"reads":true}}')
    for at, id in enumerate(("m1", "m2", "m3"), 1):
        flat = [each for pair in fields(id, at, now).items() for each in pair]
        entry = server.ask("XADD", "{po}:inbox:bob", f"{now}-{at}", *flat)
        server.ask("XADD", "{po}:history", f"{now}-{at}", "kind", "message", *flat, "to", "bob")
        server.ask("ZADD", "{po}:order:bob", now + 86_400_000, id)
        server.ask("HSET", "{po}:index:bob", id, record(id, entry, at, now), "#seq", at)
    server.ask("XGROUP", "CREATE", "{po}:inbox:bob", GROUP, "0")
    server.ask("XREADGROUP", "GROUP", GROUP, "c-1", "COUNT", 2, "STREAMS", "{po}:inbox:bob", ">")
    server.ask("XACK", "{po}:inbox:bob", GROUP, f"{now}-1")
    server.ask("XDEL", "{po}:inbox:bob", f"{now}-1")
    server.ask("ZADD", "{po}:leases:bob", now + 100_000, f"{now}-2")
    leased = {"r": "c-1", "n": 1, "l": now}
    server.ask("HSET", "{po}:index:bob", "m1", record("m1", f"{now}-1", 1, now, st="acked", e=now, **leased))
    server.ask("HSET", "{po}:index:bob", "m2", record("m2", f"{now}-2", 2, now, st="leased", **leased))
    letter = {"reason": "max_deliveries", "deliveries": 5, "died": now} | fields("d1", 4, now)
    flat = [each for pair in letter.items() for each in pair]
    entry = server.ask("XADD", "{po}:dead:bob", f"{now}-9", *flat)
    server.ask("HSET", "{po}:index:bob", "d1", record("d1", entry, 4, now, st="dead", n=5, x=1), "#seq", 4)
    said = fields("b1", 1, now)
    flat = [each for name in ("id", "seq", "from", "verified", "via", "body", "t") for each in (name, said[name])]
    entry = server.ask("XADD", "{po}:broadcasts", f"{now}-0", *flat)
    content = digest("ci", said["body"], None, None)
    known = {"s": entry, "d": content, "q": 1, "t": now, "f": "ci", "st": "acked"}
    server.ask("HSET", "{po}:index:all", "b1", json.dumps(known))
    server.ask("ZADD", "{po}:order:all", now, "b1")
    server.ask("HSET", "{po}:feed", "last", 1)
    return server


async def opened(home: Home, server: Any) -> Broker:
    return await Broker.open(Settings(home=home, valkey_url=server.url))


async def test_mail_of_format_1_means_the_same_afterwards(home: Home, old: Any) -> None:
    async with closing(opened(home, old)) as broker:
        history = (await broker.history.search(Search(agent="rob"))).items
        assert [(each.id, each.state, each.thread, each.verified) for each in history] == [
            ("m3", "queued", "t", True), ("m2", "leased", "t", True), ("m1", "acked", "t", True)
        ]  # fmt: skip
        assert [each.body for each in (await broker.broadcasts.read("bob", 10)).items] == ["body of b1 é"]
        assert (await broker.agents.check("bob")).unread_messages == 1
        again = Draft(id="m1", to="rob", body="body of m1 é", thread="t")
        assert not (await broker.mail.send(again, CI)).created
        with pytest.raises(KeyReused):
            await broker.mail.send(Draft(id="m3", to="bob", body="other"), CI)
        assert (await broker.mail.send(Draft(id="m5", to="bob", body="new"), CI)).seq == 5
        (letter,) = (await broker.dead.part("bob", 10)).items
        assert (letter.id, letter.reason) == ("d1", "max_deliveries")
        assert await broker.dead.requeue("bob", None) == ["d1"]

        assert (await broker.mail.ack("bob", "c-1", ["m2", "m3"])).acknowledged == ["m2"]
        given = (await broker.mail.read("bob", "c-2")).lease.items
        assert [(each.id, each.seq, each.body, each.redelivered, each.altered) for each in given] == [
            ("m3", 3, "body of m3 é", False, given[0].altered), ("m5", 5, "new", False, given[0].altered),
            ("d1", 4, "body of d1 é", True, given[0].altered),
        ]  # fmt: skip
        assert (await broker.mail.ack("bob", "c-2", ["m3", "m5", "d1"])).rejected == []
        assert (await broker.mail.state("bob", "d1")).state == "acked"
        lines = b"".join([part async for part in broker.transfer.export()])
        assert b'"damaged"' not in lines and lines.count(b'"type":"history"') == 4


async def test_a_daemon_of_format_1_finds_nothing_and_stores_nothing(home: Home, old: Any, monkeypatch) -> None:
    await (await opened(home, old)).close()

    left = [key for key in old.ask("KEYS", "*") if ":order" in key or ":inbox:" in key or ":dead:" in key]
    assert left == []
    assert old.ask("EXISTS", "{po}:broadcasts") == 0
    assert old.ask("HEXISTS", "{po}:meta", "import") == 1, "what the scripts of format 1 refuse to store mail for"
    monkeypatch.setattr("postino.store.identity.FORMAT", 1)
    with pytest.raises(WrongStore, match="has format 4, which a newer postino wrote: update this one"):
        await opened(home, old)


async def test_data_from_before_stores_had_ids_is_taken_over(home: Home, old: Any) -> None:
    old.ask("DEL", "{po}:meta")

    async with closing(opened(home, old)) as broker:
        assert [each.id for each in (await broker.mail.peek("bob", 10, 0))[0]] == ["m2", "m3"]
    assert old.ask("HGET", "{po}:meta", "format") == "4"


@pytest.mark.parametrize("joined", [False, True])
async def test_the_ids_of_a_name_that_was_forgotten_stay_once_it_is_used_again(
    home: Home, old: Any, joined: bool
) -> None:
    old.ask("HSET", "{po}:index:eve", "e1", record("e1", "1-1", 1, 1, st="acked"), "#seq", 1)
    old.ask("PEXPIRE", "{po}:index:eve", 86_400_000)
    async with closing(opened(home, old)) as broker:
        if joined:
            await broker.sessions.join(Hello(session="s-1", generation=1, name="eve"))
        assert (await broker.mail.send(Draft(id="e2", to="eve", body="new"), CI)).seq == 2
        assert old.ask("PTTL", "{po}:index:eve") == -1, "mail would lose its record, and no reader could acknowledge it"


@pytest.mark.parametrize("leaves", ["", "ci", "rob"])
async def test_names_that_come_in_between_are_taken_over_too(home: Home, old: Any, monkeypatch, leaves: str) -> None:
    taken, calls = Pipeline.call, list[Any]()

    async def call(pipeline: Pipeline, *command: Any, **more: Any) -> Any:
        reply = await taken(pipeline, *command, **more)
        if command[0] == "HGETALL" and not calls:  # a daemon of format 1 accepts mail for a new name
            calls.append(command)
            old.ask("HDEL", "{po}:agents", leaves)  # the number of names may be the same as before
            old.ask("HSET", "{po}:agents", "eve", '{"since":1,"seen":0}')
            old.ask("XADD", "{po}:inbox:eve", "*", *[each for pair in fields("e1", 1, 1).items() for each in pair])
        return reply

    monkeypatch.setattr(Pipeline, "call", call)
    async with closing(opened(home, old)) as broker:
        assert calls
        assert [each.id for each in (await broker.mail.peek("eve", 10, 0))[0]] == ["e1"]


async def test_a_rename_back_in_between_is_taken_over_too(home: Home, old: Any, monkeypatch) -> None:
    taken, calls = Pipeline.call, list[Any]()

    async def call(pipeline: Pipeline, *command: Any, **more: Any) -> Any:
        reply = await taken(pipeline, *command, **more)
        if command[0] == "HGETALL" and not calls:
            calls.append(command)
            old.ask("HSET", "{po}:agents", "rob", old.ask("HGET", "{po}:agents", "bob"), "bob", "@rob 1")
            old.ask("RENAME", "{po}:inbox:bob", "{po}:inbox:rob")
        return reply

    monkeypatch.setattr(Pipeline, "call", call)
    async with closing(opened(home, old)) as broker:
        assert [each.id for each in (await broker.mail.peek("bob", 10, 0))[0]] == ["m2", "m3"]


async def test_an_import_that_was_under_way_still_is(home: Home, old: Any) -> None:
    old.ask("HSET", "{po}:meta", "import", "some-export")

    async with closing(opened(home, old)) as broker:
        assert await broker.transfer._table.is_importing()
        assert await broker.transfer.abandon()
        assert (await broker.mail.send(Draft(id="m6", to="bob", body="new"), CI)).created
        await migrate(broker._store.writes, broker._store.keys, broker._store.scripts["migrate"])
        assert old.ask("XLEN", "{po}:inbox4:bob") == 3, "a second time nothing is changed"


@pytest.fixture
def of_format_3(serve: Any) -> Any:
    """A store as a daemon of format 3 left it a moment ago: commands that fill it; @N@ is N ms after a minute ago.

    bob, once rob, has m1 acknowledged by c-1, m2 leased to it, r1 requeued, m3 and n1 new, d1 dead; eve has n1, and
    ann, a person, p1 opened and p2 new. bob has seen the first of the broadcasts b1 and b2.
    """
    server = serve()
    begun = int(float(server.ask("TIME")[0]) * 1000) - 60_000
    text = (Path(__file__).parent / "format_3.json").read_text()
    for command in json.loads(re.sub(r"@([0-9]+)@", lambda found: str(begun + int(found[1])), text)):
        server.ask(*command)
    return server


async def test_mail_of_format_3_means_the_same_afterwards(home: Home, of_format_3: Any) -> None:
    async with closing(opened(home, of_format_3)) as broker:
        history = (await broker.history.search(Search(agent="rob"))).items
        assert [(each.id, each.kind, each.to, each.state, each.via) for each in history] == [
            ("n1", "message", "bob, eve", "queued", "mcp"), ("m3", "message", "bob", "queued", "mcp"),
            ("r1", "message", "bob", "queued", "mcp"), ("d1", "message", "bob", "dead", "http"),
            ("m2", "message", "bob", "leased", "http"), ("m1", "message", "bob", "acked", "http"),
        ]  # fmt: skip
        found = (await broker.history.search(limit=20)).items
        assert [(each.id, each.to) for each in found if each.kind == "broadcast"] == [("b2", "all"), ("b1", "all")]
        assert {each.altered for each in [*found, *history]} == {msgspec.UNSET}
        assert [each.body for each in (await broker.broadcasts.read("bob", 10)).items] == ["said last"]
        body = 'body of m1 é\n"2"'
        assert not (await broker.mail.send(Draft(id="m1", to="rob", body=body), CI)).created
        with pytest.raises(KeyReused):
            await broker.mail.send(Draft(id="m1", to="bob", body=body, thread="t"), CI)
        assert (await broker.mail.send(Draft(id="m7", to="bob", body=body), CI)).seq == 7
        assert await broker.dead.requeue("bob", None) == ["d1"]

        assert (await broker.mail.ack("bob", "c-1", ["m2", "m1", "m3"])).acknowledged == ["m2", "m1"]
        given = (await broker.mail.read("bob", "c-2")).lease.items
        assert [(each.id, each.seq, each.redelivered, each.thread, each.reply_to) for each in given] == [
            ("r1", 4, True, None, None), ("m3", 5, False, "t", "q1"), ("n1", 6, False, None, None),
            ("m7", 7, False, None, None), ("d1", 3, True, None, None),
        ]  # fmt: skip
        assert [given[1].choices, given[2].sent_to, given[3].body] == [["yes", "no"], ["bob", "eve"], body]
        assert (await broker.mail.ack("bob", "c-2", [each.id for each in given])).rejected == []
        assert [each.id for each in (await broker.mail.peek("eve", 10, 0))[0]] == ["n1"]
        inbox = (await broker.people.inbox("ann", 10)).items
        assert [(each.id, each.opened_by, each.body[:10]) for each in inbox] == [
            ("p2", None, "body of p2"), ("p1", "ann", "body of p1")
        ]  # fmt: skip
        lines = b"".join([part async for part in broker.transfer.export()])
        assert b'"damaged"' not in lines and lines.count(b'"type":"history"') == 12


async def test_a_daemon_of_format_3_finds_nothing_and_stores_nothing(home: Home, of_format_3: Any, monkeypatch) -> None:
    await (await opened(home, of_format_3)).close()

    assert [key for key in of_format_3.ask("KEYS", "*") if re.search("(inbox|dead|broadcasts)2", key)] == []
    assert of_format_3.ask("HEXISTS", "{po}:meta", "imports3") == 1, "what its scripts refuse to store mail for"
    monkeypatch.setattr("postino.store.identity.FORMAT", 3)
    with pytest.raises(WrongStore, match="has format 4, which a newer postino wrote: update this one"):
        await opened(home, of_format_3)


async def test_data_of_format_3_that_has_lost_its_id_is_taken_over(home: Home, of_format_3: Any) -> None:
    of_format_3.ask("DEL", "{po}:meta")

    async with closing(opened(home, of_format_3)) as broker:
        assert [each.id for each in (await broker.mail.peek("bob", 10, 0))[0]] == ["m2", "r1", "m3", "n1"]


@pytest.mark.parametrize("import_", [False, True])
async def test_only_an_import_of_format_3_that_was_under_way_still_is(
    home: Home, of_format_3: Any, import_: bool
) -> None:
    of_format_3.ask("HSET", "{po}:meta", "imports", "format 3")  # of format 2 before
    if import_:
        of_format_3.ask("HSET", "{po}:meta", "imports3", "some-export")

    async with closing(opened(home, of_format_3)) as broker:
        assert await broker.transfer.abandon() == import_
        assert (await broker.mail.send(Draft(id="m7", to="bob", body="new"), CI)).created


@pytest.fixture
def of_format_2(of_format_3: Any) -> Any:
    """A store as a daemon of format 2 left it: of its events the first told that n1 was sent to eve."""
    server = of_format_3
    server.ask("DEL", "{po}:events3")
    for id, kind in (("n1", "msg_send"), ("m0", "msg_nack")):
        said = {"type": kind, "id": id, "to": "eve", "seq": 1} | ({"ids": f'["{id}"]'} if kind == "msg_nack" else {})
        server.ask("XADD", "{po}:events", "*", *[each for pair in said.items() for each in pair])
    server.ask("HSET", "{po}:meta", "format", 2)
    return server


async def test_events_of_format_2_are_resumed_where_their_reader_was(home: Home, of_format_2: Any) -> None:
    first = of_format_2.ask("XRANGE", "{po}:events", "-", "+")[0][0]
    async with closing(opened(home, of_format_2)) as broker:
        await broker.mail.send(Draft(id="n2", to="eve", body="new"), CI)
        told, gap = await broker.events.replay(first, 10)
        assert [(each.type, each.data.get("id"), each.data["seq"]) for each in told] == [
            ("msg_nack", "m0", 1), ("msg_send", "n2", 2)
        ]  # fmt: skip
        assert (told[0].data["ids"], gap) == (["m0"], False)
        assert [each.id for each in (await broker.mail.read("eve", "s-1")).lease.items] == ["n1", "n2"]


async def test_a_daemon_of_format_2_stores_nothing_that_nobody_would_be_told_of(home: Home, of_format_2: Any) -> None:
    await (await opened(home, of_format_2)).close()

    assert of_format_2.ask("HEXISTS", "{po}:meta", "imports") == 1, "what its scripts refuse to store mail for"
    assert of_format_2.ask("EXISTS", "{po}:events") == 0
    assert of_format_2.ask("HGET", "{po}:meta", "format") == "4"


async def test_an_import_of_format_2_that_was_under_way_still_is(home: Home, of_format_2: Any) -> None:
    of_format_2.ask("HSET", "{po}:meta", "imports", "some-export")

    async with closing(opened(home, of_format_2)) as broker:
        assert await broker.transfer.abandon()
        assert (await broker.mail.send(Draft(id="n2", to="eve", body="new"), CI)).created


async def test_what_is_sent_after_a_newer_daemon_has_taken_over_the_data_is_told_so(broker: Broker) -> None:
    await broker._store.call("HSET", broker._store.keys.shared("meta"), "imports4", "format 5")

    with pytest.raises(WrongStore, match="the data has format 5, which a newer postino wrote: update this one"):
        await broker.mail.send(Draft(id="m1", to="bob", body="new"), CI)
