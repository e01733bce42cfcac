"""Export and import: a mailroom made from the export of another answers as that one does."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from postino.broker import Broker, Hello
from postino.errors import BadField, Importing, KeyReused, NameTaken, NotEmpty, PostinoError
from postino.model import BroadcastDraft, Draft, Sender
from postino.store.keys import PER_AGENT, SHARED

Open = Callable[..., Awaitable[Broker]]
Lines = list[dict[str, Any]]
CI = Sender(name="ci", via="http")
ALICE = Sender(name="alice", via="mcp", verified=True)
BODIES = ['{"a": "\\u0000"}', "naïve ✉ 漢字", "line\nline\r\n\ttab", " ", '"\\' * 50, "x" * 32_768, "🎉" * 32_768]
NAMES = ("alice", "robert", "bob", "texts", "cleared", "nobody")
IDS = (*(f"m{number}" for number in range(12)), "same", "after")


@pytest.fixture
async def first(open_broker: Open) -> Broker:
    """A mailroom that holds everything that one can hold."""
    broker = await open_broker(max_deliveries=3)
    await fill(broker)
    return broker


@pytest.fixture
async def second(open_broker: Open) -> Broker:
    """An empty mailroom."""
    return await open_broker(max_deliveries=3, key_prefix=f"t{secrets.token_hex(6)}:")


async def send(broker: Broker, id: str, to: str = "bob", sender: Sender = CI, **more: str) -> bool:
    sent = await broker.mail.send(Draft(id=id, to=to, **({"body": f"body of {id}"} | more)), sender)
    return sent.created


async def fill(broker: Broker) -> None:
    await broker.sessions.join(Hello(session="s-a", generation=1, name="alice", claude_session_id="c-1"))
    for number in range(12):
        await send(broker, f"m{number}", sender=CI if number % 2 else ALICE, thread="t1", reply_to="earlier")
    for _ in range(2):  # m0 and m1 die
        await broker.mail.read("bob", "s-b", limit=2)
        await broker.mail.nack("bob", "s-b", ["m0", "m1"])
    await broker.mail.read("bob", "s-b", limit=2)
    await broker.mail.nack("bob", "s-b", ["m0", "m1"])
    await broker.dead.requeue("bob", ["m1"])
    await broker.mail.read("bob", "s-b", limit=5)  # m2 to m6
    await broker.mail.ack("bob", "s-b", ["m2"])
    await broker.mail.nack("bob", "s-b", ["m3"], 600_000)
    await broker.mail.nack("bob", "s-b", ["m4"])
    await broker.mail.undo_read("bob", "s-b", ["m5"])
    for number, body in enumerate(BODIES):
        await send(broker, f"body{number}", to="texts", body=body)
    for to in ("texts", "bob"):
        await send(broker, "same", to=to)
    await send(broker, "gone", to="cleared")
    await broker.mail.clear("cleared")
    await broker.agents.rename("bob", "robert")
    await send(broker, "after", to="bob")
    for number in range(5):
        await broker.broadcasts.broadcast(BroadcastDraft(id=f"b{number}", body=f"hear {number}"), CI)
        if number == 1:
            await broker.broadcasts.clear()
    await broker.broadcasts.read("robert", 1)
    await broker.broadcasts.read("alice", 10)


async def test_an_agent_that_looked_when_no_broadcast_was_stored_is_exported(broker: Broker, second: Broker) -> None:
    await broker.broadcasts.broadcast(BroadcastDraft(id="b1", body="x"), CI)
    await broker.broadcasts.clear()
    await broker.broadcasts.read("bob", 10)
    lines = await raw(broker)

    await imported(second, lines)

    assert comparable(await raw(second)) == comparable(lines)
    await second.broadcasts.broadcast(BroadcastDraft(id="b2", body="x"), CI)
    batch = await second.broadcasts.read("bob", 10)
    assert ([each.seq for each in batch.items], batch.missed) == ([2], 0)


async def raw(broker: Broker) -> list[bytes]:
    return b"".join([part async for part in broker.transfer.export()]).splitlines(keepends=True)


def comparable(lines: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Return the lines in their order without the head, and those of ids, which a hash has in any order."""
    ids = [each for each in lines if each.startswith(b'{"type":"id"')]
    return [each for each in lines[1:] if each not in ids], sorted(ids)


async def exported(broker: Broker) -> Lines:
    return [json.loads(line) for line in await raw(broker)]


async def imported(broker: Broker, lines: list[Any], **how: bool) -> Any:
    async def feed() -> AsyncIterator[bytes]:
        for line in lines:
            yield line if isinstance(line, bytes) else json.dumps(line).encode()

    return await broker.transfer.import_(feed(), **how)


async def answers(broker: Broker) -> dict[str, Any]:
    """What every face answers from."""
    found: dict[str, Any] = {}
    for name in NAMES:
        found[f"peek {name}"] = await broker.mail.peek(name, 200, 0)
        found[f"dead {name}"] = await broker.dead.page(name, 200, 0)
        found[f"check {name}"] = await broker.agents.check(name)
        spoken = await broker.history.search(agent=name, limit=200)
        found[f"history of {name}"] = [each.entry for each in spoken.items]
        found[f"unseen {name}"] = await broker.broadcasts.read(name, 10, move=False)
    found["states"] = [await broker.mail.state("robert", id) for id in IDS]
    found["cleared"] = await broker.mail.state("cleared", "gone")
    found["broadcasts"] = await broker.broadcasts.page(200, 0)
    found["history"] = await broker.history.search(limit=200)
    agents, _ = await broker.agents.page(200, 0)
    found["agents"] = [(each.name, each.message_count, each.dead, each.aliases, each.last_seen) for each in agents]
    return found


async def keys(broker: Broker) -> dict[str, Any]:
    """Every hash and sorted set with what it holds, of what an export carries."""
    call, names = broker._store.call, broker._store.keys
    found = {}
    for agent in (*NAMES, "all"):
        for kind in PER_AGENT:
            found[names.of(kind, agent).partition("}")[2]] = names.of(kind, agent)
    for kind in set(SHARED) - {"events", "presence", "meta", "sessions"}:
        found[kind] = names.shared(kind)
    values = {}
    for name, key in found.items():
        kind = await call("TYPE", key)
        if kind == "hash":
            flat = await call("HGETALL", key)
            values[name] = dict(zip(flat[::2], flat[1::2], strict=True))
        elif kind == "stream":
            values[name] = await call("XRANGE", key, "-", "+")
    return values


async def test_an_imported_mailroom_answers_as_the_exported_one(first: Broker, second: Broker) -> None:
    lines = await raw(first)
    done = await imported(second, lines)
    await first.mail.nack("robert", "s-b", ["m6"])  # leased in the first: exported as queued
    await first.sessions.leave("s-a", 1)  # who is online is not exported

    mine, theirs = await answers(first), await answers(second)
    assert done.stored == sum(done.counts.values()) - 1
    for about in mine:
        if about == "states":
            assert [untimed(each) for each in mine[about]] == [untimed(each) for each in theirs[about]]
        elif about == "history":
            assert [(each.entry, each.body, each.state) for each in mine[about].items] == [
                (each.entry, each.body, each.state) for each in theirs[about].items
            ]
        elif about == "agents":
            assert [each[:-1] for each in mine[about]] == [each[:-1] for each in theirs[about]]
        else:
            assert mine[about] == theirs[about], about


def untimed(state: Any) -> Any:
    return (state.id, state.seq, state.state, state.deliveries, state.reason, state.timestamp, state.settled_at)


def decoded(values: dict[str, str]) -> dict[str, Any]:
    return {key: json.loads(value) if value.startswith("{") else value for key, value in values.items()}


async def test_what_is_stored_is_the_same_to_the_byte(first: Broker, second: Broker) -> None:
    await first.mail.nack("robert", "s-b", ["m6"])
    await first.sessions.leave("s-a", 1)
    await imported(second, await raw(first))

    mine, theirs = await keys(first), await keys(second)
    for name in mine:
        if name.startswith(":index:") or name == "agents":
            left, right = decoded(mine[name]), decoded(theirs[name])
            for record in (*left.values(), *right.values()):
                if isinstance(record, dict):
                    record.setdefault("n", 0)  # never delivered: absent and 0 mean the same
            assert left == right, name
        else:
            assert mine[name] == theirs.get(name, []), name  # a stream that was emptied is left out


async def test_a_second_export_equals_the_first(first: Broker, second: Broker) -> None:
    lines = await raw(first)
    await imported(second, lines)

    assert comparable(await raw(second)) == comparable(lines)


async def test_reading_goes_on_where_it_was_in_order_and_labels_repeats(first: Broker, second: Broker) -> None:
    await imported(second, await raw(first))

    items = (await second.mail.read("robert", "s-z", limit=50)).items

    assert [each.id for each in items] == [*(f"m{number}" for number in (4, 5, 6, 7, 8, 9, 10, 11, 1)), "same", "after"]
    assert [each.id for each in items if each.redelivered] == ["m4", "m6", "m1"]  # m5 was undone, m3 is delayed
    assert {each.id: each.delivery for each in items if each.redelivered} == {"m4": 2, "m6": 2, "m1": 1}
    assert (await second.mail.ack("robert", "s-z", [each.id for each in items])).rejected == []


async def test_a_retry_of_an_id_is_recognised_and_numbers_go_on(first: Broker, second: Broker) -> None:
    await imported(second, await raw(first))

    for id in ("m0", "m2", "m7"):  # dead, acknowledged, waiting
        with pytest.raises(KeyReused):
            await send(second, id, body="other", thread="t1", reply_to="earlier")
        sender = CI if int(id[1:]) % 2 else ALICE
        assert not await send(second, id, sender=sender, thread="t1", reply_to="earlier")
    assert not await send(second, "gone", to="cleared")
    again = await second.broadcasts.broadcast(BroadcastDraft(id="b0", body="hear 0"), CI)
    assert (again.created, again.seq) == (False, 1)
    new = await second.mail.send(Draft(id="new", to="robert", body="x"), CI)
    other = await first.mail.send(Draft(id="new", to="robert", body="x"), CI)
    assert new.seq == other.seq
    assert (await second.broadcasts.broadcast(BroadcastDraft(id="b9", body="x"), CI)).seq == 6


async def test_time_to_live_counts_from_the_original_time(first: Broker, open_broker: Open) -> None:
    lines = await exported(first)
    for line in lines:
        if line.get("type") == "message" and line["to"] == "texts":
            line["entry"] = f"{int(line['entry'].partition('-')[0]) - 86_000_000}-0"
            if line["id"] == "same":
                line["entry"] = line["entry"].replace("-0", "-1000")
    second = await open_broker(key_prefix=f"t{secrets.token_hex(6)}:", msg_ttl=80_000)

    lines = [line for line in lines if line.get("type") != "message" or line["id"] in ("body0", "after")]
    lines[-1]["counts"]["message"] = 2
    await imported(second, lines)

    assert (await second.agents.check("texts")).unread_messages == 0
    assert (await second.agents.check("robert")).unread_messages == 1


async def test_what_has_expired_is_still_a_dead_letter_whose_sender_is_to_be_told(
    open_broker: Open, second: Broker
) -> None:
    broker = await open_broker()
    for each in (broker, second):
        await each.housekeeping.close()  # it would send the notice
    old, now = int((await second._store.now_ms()) - 90_000_000), "2026-11-29T21:00:00.000Z"
    content = {"from": "ci", "via": "http", "body": "x", "timestamp": now, "remembered": {}}
    mail = [{"type": "message", "to": "bob", "entry": f"{old}-{n}", "id": f"m{n}", "seq": n, **content} for n in (1, 2)]
    agents = [{"type": "agent", "name": "ci", "reads": True, "last_seen": now}, {"type": "agent", "name": "bob"}]
    header = {"postino": "0", "format": 1, "export": "old", "exported": now}
    await imported(broker, [header, *agents, *mail, {"type": "end", "counts": {"agent": 2, "message": 2}}])
    assert (await broker.agents.check("bob")).unread_messages == 0
    mine = await broker.mail.state("bob", "m1")
    assert (mine.state, mine.reason) == ("expired", "ttl")

    lines = await raw(broker)
    await imported(second, lines)

    letters = (await second.dead.page("bob", 10, 0))[0]
    assert [(each.id, each.reason) for each in letters] == [("m1", "expired"), ("m2", "expired")]
    assert await second.mail.state("bob", "m1") == mine
    assert comparable(await raw(second)) == comparable(lines)
    flat = await second._store.call("HGETALL", second._store.keys.shared("notices"))
    assert dict(zip(flat[::2], flat[1::2], strict=True)) == {"bob m1": "ci expired", "bob m2": "ci expired"}


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
    await store.call("HSET", store.keys.shared("agents"), "damaged", "{")
    with pytest.raises(msgspec.DecodeError):
        await imported(second, lines)
    assert await send(second, "m2")
    await store.call("DEL", store.keys.shared("history"))
    await store.call("HDEL", store.keys.shared("agents"), "damaged")

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
    dead = {each.id for each in (await second.dead.page("bob", 200, 0))[0]}
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
