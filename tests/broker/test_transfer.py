"""Export and import: a mailroom made from the export of another answers as that one does."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest

from postino.broker import Broker
from postino.broker.history_filter import Search
from postino.errors import KeyReused
from postino.model import BroadcastDraft, Draft
from postino.store.entries import of_history
from postino.store.keys import PER_AGENT, SHARED
from tests.broker.mailrooms import ALICE, CI, IDS, LETTERS, Open, comparable, exported, imported, raw, send

NAMES = ("alice", "robert", "bob", "texts", "cleared", "nobody")


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


async def answers(broker: Broker) -> dict[str, Any]:
    """What every face answers from."""
    found: dict[str, Any] = {}
    for name in NAMES:
        found[f"peek {name}"] = await broker.mail.peek(name, 200, 0)
        found[f"dead {name}"] = await broker.dead.part(name, 200)
        found[f"check {name}"] = await broker.agents.check(name)
        spoken = await broker.history.search(Search(agent=name), limit=200)
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
    for kind in set(SHARED) - {"events", "departures", "changes", "presence", "meta", "sessions", "notifier"}:
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
        elif name == "history":  # an entry that was imported has the form of before format 4, and is no event
            assert all(len(fields) >= 6 for _, fields in theirs[name])
            assert [(id, of_history(fields)) for id, fields in mine[name]] == [
                (id, of_history(fields)) for id, fields in theirs[name]
            ]
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
            await send(second, id, body="other", **LETTERS)
        sender = CI if int(id[1:]) % 2 else ALICE
        assert not await send(second, id, sender=sender, **LETTERS)
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

    letters = (await second.dead.part("bob", 10)).items
    assert [(each.id, each.reason) for each in letters] == [("m1", "expired"), ("m2", "expired")]
    assert await second.mail.state("bob", "m1") == mine
    assert comparable(await raw(second)) == comparable(lines)
    flat = await second._store.call("HGETALL", second._store.keys.shared("notices"))
    assert dict(zip(flat[::2], flat[1::2], strict=True)) == {"bob m1": "ci expired", "bob m2": "ci expired"}


async def test_notes_with_spaces_leave_every_record_readable(first: Broker, second: Broker) -> None:
    lines = await exported(first)
    for line in lines:
        if "reason" in line and line["type"] != "notice":
            line["reason"] = "by my hand"
        if "remembered" in line:
            line["remembered"] |= {"reader": "a reader", "notified": "by a bell"}

    await imported(second, lines)

    (letter,) = (await second.dead.part("robert", 10)).items
    assert (letter.id, letter.reason) == ("m0", "by my hand")
    assert (await second.mail.state("robert", "m2")).state == "acked"
    assert len((await second.mail.read("robert", "s-c", limit=20)).lease.items) > 5
    assert await second.dead.requeue("robert", None) == ["m0"]
