"""An import that meets something: sessions, names, mail, an interruption, another import, damage."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest

from postino.broker import Broker, Hello
from postino.errors import BadField, Importing, NameTaken, NotEmpty, PostinoError
from postino.model import BroadcastDraft, Draft
from postino.store.lines import OpenLine
from tests.broker.mailrooms import BODIES, CI, IDS, Open, comparable, exported, imported, raw, send


async def test_a_session_that_came_first_keeps_its_name_or_takes_the_new_one(first: Broker, second: Broker) -> None:
    for session, name in (("s-1", "bob"), ("s-2", "alice")):
        await second.sessions.join(Hello(session=session, generation=1, name=name))

    await imported(second, await raw(first))

    assert await second.sessions.agent_of("s-1") == "robert"
    assert await second.sessions.agent_of("s-2") == "alice"
    assert await second.agents.online() == ["alice", "robert"]
    assert (await second.agents.one("bob")).aliases == ["bob"]


async def test_a_name_taken_meanwhile_is_refused(first: Broker, second: Broker) -> None:
    await second.sessions.join(Hello(session="s-1", generation=1, name="texts"))
    await second.agents.rename("texts", "words")

    with pytest.raises(NameTaken, match="texts is a former name of words"):
        await imported(second, await raw(first))


async def test_an_import_needs_an_empty_mailroom(first: Broker, second: Broker, open_broker: Open) -> None:
    lines = await raw(first)
    with pytest.raises(NotEmpty):
        await imported(first, lines)
    await second.broadcasts.broadcast(BroadcastDraft(id="b", body="x"), CI)
    with pytest.raises(NotEmpty):
        await imported(second, lines)
    third = await open_broker(key_prefix=f"t{secrets.token_hex(6)}:")
    await send(third, "m")
    await third._store.call("DEL", third._store.keys.shared("history"))  # it gives way before mail does
    with pytest.raises(NotEmpty):
        await imported(third, lines)
    assert await send(third, "m2")


async def test_a_failed_look_reserves_nothing(first: Broker, second: Broker) -> None:
    lines, store = await raw(first), second._store
    await send(second, "m")
    await store.call("DEL", store.keys.shared("history"))
    await store.call("SET", store.keys.shared("cursors"), "of another program")
    with pytest.raises(PostinoError, match="WRONGTYPE"):
        await imported(second, lines)
    assert await send(second, "m2")
    await store.call("DEL", store.keys.shared("history"), store.keys.shared("cursors"))

    with pytest.raises(NotEmpty):
        await imported(second, lines)


async def test_nothing_else_is_stored_until_an_import_is_finished(first: Broker, second: Broker) -> None:
    lines = await raw(first)
    with pytest.raises(BadField, match=r"line 30: the file ends here"):
        await imported(second, lines[:30])

    for call in (
        send(second, "new"),
        second.broadcasts.broadcast(BroadcastDraft(id="new", body="x"), CI),
        second.dead.requeue("robert", ["m0"]),
    ):
        with pytest.raises(Importing, match="has not finished; repeat it, or end it with"):
            await call
    with pytest.raises(Importing):
        await imported(second, await raw(first))  # another export
    with pytest.raises(Importing):
        await raw(second)
    await imported(second, lines)

    assert await send(second, "new")
    assert (await raw(second))[-1] != lines[-1]


async def test_an_interrupted_import_can_be_abandoned(first: Broker, second: Broker) -> None:
    with pytest.raises(BadField):
        await imported(second, (await raw(first))[:30])

    assert await second.transfer.abandon()

    assert await send(second, "new")
    assert not await second.transfer.abandon()


@pytest.mark.parametrize("stop", [2, 4, 9, 14, 20, 30, 40])
async def test_an_interrupted_import_is_continued_without_loss_or_double(
    first: Broker, second: Broker, stop: int
) -> None:
    lines = await raw(first)
    with pytest.raises(BadField):
        await imported(second, lines[:stop])
    for agent in ("robert", "texts"):  # what is there can be read meanwhile
        for item in (await second.mail.read(agent, "s-z", limit=1)).items:
            await second.mail.ack(agent, "s-z", [item.id])

    await imported(second, lines)

    got = [each.id for each in (await second.mail.read("robert", "s-z", limit=50)).items]
    acked = [id for id in IDS if (await second.mail.state("robert", id)).state == "acked" and id != "m2"]
    assert sorted(got + acked) == sorted([*(f"m{number}" for number in (1, 4, 5, 6, 7, 8, 9, 10, 11)), "same", "after"])
    assert [each.body for each in (await second.mail.peek("texts", 200, 0))[0]][-1] == "body of same"


async def test_a_check_stores_nothing(first: Broker, second: Broker) -> None:
    done = await imported(second, await raw(first), check=True)

    assert (done.stored, done.counts["message"]) == (0, 12 + len(BODIES) + 1)
    assert (await second.agents.page(1, 0), await send(second, "new")) == (([], 0), True)


async def test_mail_that_moves_during_an_export_is_in_it_once(open_broker: Open, second: Broker) -> None:
    broker = await open_broker(max_deliveries=1)
    for number in range(300):
        await send(broker, f"m{number}")

    async def kill(*numbers: int) -> None:
        await broker.mail.read("bob", "s", limit=200)
        dead = await broker.mail.nack("bob", "s", [f"m{number}" for number in numbers])
        assert dead.dead == [f"m{number}" for number in numbers]

    await kill(*range(120))
    parts: list[bytes] = []
    moved = set()
    async for part in broker.transfer.export():
        parts.append(part)
        if b'"dead"' in part and "dead" not in moved:  # the first 100 dead letters are exported
            moved.add("dead")
            await broker.dead.requeue("bob", ["m50", "m110"])
        elif b'"message"' in part and "message" not in moved:  # the first 100 messages are exported
            moved.add("message")
            await kill(150, 250)
            await broker.dead.requeue("bob", ["m115"])
            await send(broker, "new")

    await imported(second, b"".join(parts).splitlines())

    waiting: set[str] = set()
    while items := (await second.mail.peek("bob", 200, len(waiting)))[0]:
        assert not waiting & {each.id for each in items}
        waiting |= {each.id for each in items}
    dead = {each.id for each in (await second.dead.part("bob", 200)).items}
    assert waiting | dead == {*(f"m{number}" for number in range(300)), "new"}
    assert not waiting & dead
    assert (await second.mail.send(Draft(id="next", to="bob", body="x"), CI)).seq == 302


async def test_what_was_altered_in_the_store_is_left_out_and_told(first: Broker, second: Broker) -> None:
    store = first._store
    entry = await store.call(
        "XADD", store.keys.of("inbox", "texts"), "*", "id", "bad", "seq", 99, "from", "ci", "verified", "", "via",
        "http", "body", "a\x01b", "t", 1, "thread", "", "reply_to", "",
    )  # fmt: skip

    lines = await exported(first)

    damaged = [line for line in lines if line.get("type") == "damaged"]
    assert [line["entry"] for line in damaged] == [entry]
    assert "U+0001" in damaged[0]["why"]
    assert (await imported(second, lines)).counts["damaged"] == 1


async def test_a_damaged_record_of_an_id_is_left_out_and_told(first: Broker, second: Broker) -> None:
    await first._store.call("HSET", first._store.keys.of("index", "robert"), "broken", "{")

    lines = await exported(first)

    assert [line["entry"] for line in lines if line.get("type") == "damaged"] == ["broken"]
    assert (await imported(second, lines)).counts["damaged"] == 1


async def test_an_imported_delay_outlasts_a_step_back_of_the_clock(first: Broker, second: Broker) -> None:
    await imported(second, await raw(first))
    later = await second._store.now_ms() + 60_000
    await second._store.call("XADD", second._store.keys.shared("events"), f"{later}-0", "type", "x")  # before the step

    given = [each.id for each in (await second.mail.read("robert", "s-1", limit=200)).items]

    assert "m4" in given
    assert "m3" not in given  # m3 has 600 s to wait


async def test_two_imports_of_one_file_at_once_store_it_once(first: Broker, second: Broker) -> None:
    lines = await raw(first)
    done = await asyncio.gather(*(imported(second, lines) for _ in range(2)), return_exceptions=True)

    assert all(not isinstance(each, Exception) or isinstance(each, PostinoError) for each in done)
    assert comparable(await raw(second)) == comparable(lines)


async def test_what_a_person_has_opened_follows_a_rename_during_the_import(
    open_broker: Open, second: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = await open_broker()
    await source.people.register("ann")
    await send(source, "m1", to="ann")
    await source.people.seen("ann", ["m1"])
    whole = second.transfer._table.add

    async def renamed_before(lines: Any) -> int:
        if isinstance(lines[0], OpenLine):
            await second.agents.rename("ann", "anna")
        return await whole(lines)

    monkeypatch.setattr(second.transfer._table, "add", renamed_before)
    await imported(second, await raw(source))

    assert [each.id for each in (await second.people.inbox("anna", 10)).items] == ["m1"]
    assert await second._store.query("EXISTS", second._store.keys.of("open", "ann")) == 0
