"""Sending: accepted once, refused loudly, never lost."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Iterable

import pytest
from structlog.testing import capture_logs

from postino.broker import Broker
from postino.broker.nearest import NameIndex
from postino.broker.reach import reach
from postino.errors import InboxFull, KeyReused
from postino.model import Draft, Sender
from postino.several import ManyDraft
from postino.values import MAX_RECIPIENTS

CI = Sender(name="ci", via="http")


def draft(id: str, to: str = "bob", body: str = "hello", **more: str) -> Draft:
    return Draft(id=id, to=to, body=body, **more)


async def test_a_message_waits_for_an_agent_nobody_has_seen(broker: Broker) -> None:
    sent = await broker.mail.send(draft("m1"), CI)

    assert (sent.created, sent.known, sent.seq, sent.durability) == (True, False, 1, "fsync")
    assert (await broker.agents.check("bob")).unread_messages == 1


async def test_an_unknown_recipient_is_answered_with_the_nearest_names(broker: Broker) -> None:
    await broker.agents.heartbeat("reviewer")

    assert (await broker.mail.send(draft("m1", to="reviwer"), CI)).names == ["reviewer"]


async def test_the_answer_says_when_the_recipient_will_know(broker: Broker) -> None:
    await broker.agents.heartbeat("bob")
    online = await broker.mail.send(draft("m1"), CI)
    await broker.agents.offline("bob")
    offline, again = await broker.mail.send(draft("m2"), CI), await broker.mail.send(draft("m1"), CI)

    assert (online.online, online.reach) == (True, "online: gets it with its next read")
    broker.agents.activity = lambda name: "busy"
    assert (await broker.mail.send(draft("m1"), CI)).activity == "unknown"  # it is offline
    await broker.agents.heartbeat("bob")
    assert (await broker.mail.send(draft("m1"), CI)).activity == "busy"
    await broker.agents.offline("bob")
    assert offline.last_seen is not None
    for sent in (offline, again):
        assert (sent.online, sent.reach) == (False, "offline for less than a minute: will be told at its next start")


@pytest.mark.parametrize("damage", ['{"since":1,"seen":7,', '{"seen":"x","sessions":7}', '{"seen":{}}', "[]"])
async def test_a_damaged_record_of_the_recipient_refuses_no_message(broker: Broker, damage: str) -> None:
    await broker._store.call("HSET", broker._store.keys.shared("agents"), "bob", damage)

    assert (await broker.mail.send(draft("m1"), CI)).created


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(59.9, "less than a minute"), (60, "1 minute"), (301, "5 minutes"), (7200, "2 hours"), (86_400 * 3, "3 days")],
)
def test_how_long_a_recipient_has_been_away_is_told_in_its_largest_unit(seconds: float, words: str) -> None:
    assert reach("unknown", online=False, away_s=seconds, wakes=True) == (
        f"offline for {words}: will be told at its next start"
    )


def test_an_idle_recipient_is_not_said_to_be_woken_where_nobody_is() -> None:
    assert "next prompt" in reach("idle", online=True, away_s=0, wakes=False)


def test_a_name_is_found_among_any_number_of_others_by_comparing_it_with_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    compare = difflib.get_close_matches

    def counted(word: str, names: Iterable[str], most: int) -> list[str]:
        compared.append(len(list(names)))
        return compare(word, names, most)  # type: ignore[type-var]

    monkeypatch.setattr(difflib, "get_close_matches", counted)
    few = NameIndex([*(f"agent-{number:08x}" for number in range(100)), "Reviewer"])
    many = NameIndex([*(f"agent-{number * 7919:08x}" for number in range(10_000)), "Reviewer", "builder", "x"])

    assert few.near("reviwer") == many.near("reviwer") == ["Reviewer"]
    assert many.near("biulder") == ["builder"]
    assert many.near(f"agent-{5000 * 7919:08x}"[:-1])[0] == f"agent-{5000 * 7919:08x}"
    assert many.near("Reviewer") == []
    assert max(compared) <= 200


async def test_names_that_cannot_be_read_are_logged_once_in_a_while(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postino.broker.limited_log.EVERY_S", 1000.0)
    await broker._store.call("SET", broker._store.keys.shared("cursors"), "of another program")
    with capture_logs() as logged:
        for number in range(5):
            assert await broker.mail.nearest(f"typo-{number}") == []
    assert [each["to"] for each in logged if each["event"] == "nearest_failed"] == ["typo-0"]


async def test_many_names_are_read_seldom_and_not_waited_for(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postino.broker.nearest.MANY", 0)
    await broker.agents.heartbeat("reviewer")
    nearest = broker.agents._nearest
    assert await nearest.of("reviwer") == ["reviewer"]
    nearest._took_s = 0.1  # as with 20,000 names
    await broker.agents.heartbeat("builder")

    assert await nearest.of("biulder") == []
    nearest._read_at -= 5.1
    assert await nearest.of("builde") == []
    assert nearest._reading is not None
    await nearest._reading
    assert await nearest.of("builde") == ["builder"]


async def test_no_send_waits_while_another_one_reads_the_names(broker: Broker) -> None:
    """Else the sends to unknown names go one by one: a quarter of the throughput was lost to that."""
    await broker.agents.heartbeat("reviewer")
    await broker.agents.nearest("reviwer")

    async with broker.agents._nearest._lock, asyncio.timeout(0.5):
        assert await broker.agents.nearest("reviwer") == ["reviewer"]


async def test_a_sender_to_many_unknown_names_waits_for_all_nearest_ones_together(broker: Broker) -> None:
    """One after the other they took 15 s when Valkey did not answer any more."""
    names = [f"nobody-{number}" for number in range(MAX_RECIPIENTS)]

    async with broker.agents._nearest._lock, asyncio.timeout(5):
        sent = await broker.groups.send_many(ManyDraft(to=names, draft=draft("m1")), CI)

    assert [(each.known, each.names) for each in sent.recipients] == [(False, [])] * MAX_RECIPIENTS


async def test_the_same_id_and_content_is_stored_once(broker: Broker) -> None:
    first = await broker.mail.send(draft("m1", thread="t", reply_to="r"), CI)
    second = await broker.mail.send(draft("m1", thread="t", reply_to="r"), CI)

    assert (first.created, second.created) == (True, False)
    assert first.seq == second.seq
    assert (await broker.mail.peek("bob", 50, 0))[1] == 1


@pytest.mark.parametrize("change", [{"body": "other"}, {"thread": "t"}, {"reply_to": "r"}])
async def test_the_same_id_with_other_content_is_refused_and_changes_nothing(
    broker: Broker, change: dict[str, str]
) -> None:
    await broker.mail.send(draft("m1"), CI)

    with pytest.raises(KeyReused):
        await broker.mail.send(draft("m1", **change), CI)
    with pytest.raises(KeyReused):
        await broker.mail.send(draft("m1"), Sender(name="other", via="http"))

    messages, total = await broker.mail.peek("bob", 50, 0)
    assert total == 1
    assert messages[0].body == "hello"


async def test_the_same_id_may_go_to_two_recipients(broker: Broker) -> None:
    await broker.mail.send(draft("m1", to="alice"), CI)

    assert (await broker.mail.send(draft("m1", to="bob"), CI)).created


async def test_fifty_senders_of_one_id_store_one_message(broker: Broker) -> None:
    sent = await asyncio.gather(*(broker.mail.send(draft("m1"), CI) for _ in range(50)))

    assert sum(each.created for each in sent) == 1
    assert (await broker.mail.peek("bob", 50, 0))[1] == 1


async def test_an_id_is_remembered_after_its_message_was_acknowledged(broker: Broker) -> None:
    await broker.mail.send(draft("m1"), CI)
    await broker.mail.read("bob", "s1", ack_now=True)

    assert not (await broker.mail.send(draft("m1"), CI)).created
    assert (await broker.agents.check("bob")).unread_messages == 0


async def test_a_full_inbox_refuses_and_keeps_what_it_has(open_broker) -> None:
    broker = await open_broker(max_inbox=3)
    for number in range(3):
        await broker.mail.send(draft(f"m{number}"), CI)

    with pytest.raises(InboxFull):
        await broker.mail.send(draft("m3"), CI)

    assert [each.id for each in (await broker.mail.peek("bob", 50, 0))[0]] == ["m0", "m1", "m2"]


async def test_a_leased_message_still_fills_the_inbox_and_an_acknowledged_one_does_not(open_broker) -> None:
    broker = await open_broker(max_inbox=1)
    await broker.mail.send(draft("m0"), CI)
    await broker.mail.read("bob", "s1")
    with pytest.raises(InboxFull):
        await broker.mail.send(draft("m1"), CI)

    await broker.mail.ack("bob", "s1", ["m0"])

    assert (await broker.mail.send(draft("m1"), CI)).created


async def test_numbers_have_no_gap_and_follow_the_order_of_sending(broker: Broker) -> None:
    sent = [await broker.mail.send(draft(f"m{number}"), CI) for number in range(20)]

    assert [each.seq for each in sent] == list(range(1, 21))
    assert [each.seq for each in (await broker.mail.read("bob", "s1", limit=50)).items] == list(range(1, 21))


async def test_everything_a_sender_said_arrives_unchanged(broker: Broker) -> None:
    body = 'ünïcödé 😀 "quotes" \\ \t\r\n <b>&amp;</b> ' + "x" * 32_000
    await broker.mail.send(
        draft("m1", body=body, thread="t-1", reply_to="m0"), Sender(name="a", via="mcp", verified=True)
    )

    got = (await broker.mail.read("bob", "s1")).items[0]

    assert (got.body, got.thread, got.reply_to, got.from_, got.via, got.verified) == (
        body,
        "t-1",
        "m0",
        "a",
        "mcp",
        True,
    )
    assert (got.delivery, got.redelivered) == (1, False)


async def test_an_id_is_remembered_after_its_recipient_was_forgotten(broker: Broker) -> None:
    await broker.mail.send(draft("m1"), CI)
    await broker.mail.read("bob", "s1", ack_now=True)
    await broker.agents.forget("bob")

    assert not (await broker.mail.send(draft("m1"), CI)).created
    assert (await broker.mail.state("bob", "m1")).state == "acked"


async def test_what_is_sent_to_a_forgotten_name_does_not_end_with_what_is_remembered_of_it(broker: Broker) -> None:
    await broker.mail.send(draft("m1"), CI)
    await broker.mail.read("bob", "s1", ack_now=True)
    await broker.agents.forget("bob")
    assert await broker._store.call("PTTL", broker._store.keys.of("index", "bob")) > 0

    await broker.mail.send(draft("m2"), CI)

    assert await broker._store.call("PTTL", broker._store.keys.of("index", "bob")) == -1
