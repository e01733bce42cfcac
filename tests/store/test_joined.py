"""Calls that wait together go as one call of their script, and each ends as it would alone: sends, checks, states."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import pytest

from postino.broker import Broker, Hello
from postino.errors import InboxFull, PostinoError, StoreAway, StoreFull
from postino.model import BroadcastDraft, Draft, Sender, Sent
from postino.store.inbox import Inboxes
from postino.store.pipeline import BATCH_FROM, MIN_BATCH, Pipeline
from postino.store.store import Limits, Store, WrongAgent
from postino.store.wire import JOINED_BYTES, MOST_JOINED, Joinable, Joint, encode, encode_words, joined
from tests.servers import Proxy
from tests.store.sends import Open, held_up, refused, send, stored
from tests.waiting import eventually

CI = Sender(name="ci", via="http")
LIMITS = Limits(ttl_ms=60_000, lease_ms=60_000, max_deliveries=5, max_inbox=40)


def calls_of(store: Store, between) -> int:
    """How often the client called the script `send`."""
    return int(between.count(store.scripts["send"].sha))


# what goes as one


def one(joint: Joint, number: int, length: int = 2) -> Joinable:
    keys = encode_words([f"key-{number}"])
    return Joinable(joint, b"head " + keys, keys, encode_words([f"{number}", "x" * length]))


def test_joined_calls_are_one_command_with_the_shared_keys_once() -> None:
    joint = Joint("sha", ["shared", "other"], 1, 2)

    for count in (1, 3, 1):
        keys, arguments = [f"key-{each}" for each in range(count)], []
        for each in range(count):
            arguments += [f"{each}", "xx"]
        whole = encode(("EVALSHA", "sha", 2 + count, "shared", "other", *keys, *arguments))
        assert joint.encode([one(joint, each) for each in range(count)]) == whole


def test_only_neighbours_of_one_script_are_joined_and_the_order_stays() -> None:
    first, second = Joint("a", ["shared"], 1, 2), Joint("b", ["shared"], 1, 2)
    calls = [one(first, 0), one(first, 1), b"PING", one(first, 2), one(second, 3), one(second, 4), b"PING", b"TIME"]

    found = joined(calls)

    assert found == [calls[0:2], b"PING", [calls[3]], calls[4:6], b"PING", b"TIME"]


def test_joined_calls_are_bounded_in_messages_and_bytes() -> None:
    joint = Joint("a", ["shared"], 1, 2)
    small = [one(joint, number) for number in range(2 * MOST_JOINED + 1)]
    large = [one(joint, number, JOINED_BYTES // 2 - 1) for number in range(5)]

    several = [msgspec.structs.replace(small[0], messages=messages) for messages in (10, 10, 10, 40, 1, 1)]

    assert [len(each) for each in joined(small)] == [MOST_JOINED, MOST_JOINED, 1]
    assert [len(each) for each in joined(large)] == [2, 2, 1]
    assert [len(each) for each in joined(several)] == [3, 1, 2]


async def test_sends_that_wait_together_are_one_call_and_one_alone_waits_for_none(proxy, store_at: Open) -> None:
    between = await proxy()
    store = await store_at(between.url, f"t{secrets.token_hex(6)}:")
    await send(store, "alone")
    assert calls_of(store, between) == 1
    under_way = await held_up(store, between, lambda number: send(store, f"sent-{number}"))
    before = calls_of(store, between)

    waiting = [asyncio.create_task(send(store, f"m{number}")) for number in range(MIN_BATCH)]
    between.let_go()
    answers = await asyncio.gather(*under_way, *waiting)

    assert calls_of(store, between) == before + 1
    assert [int(answer.split()[0]) for _, (answer,) in answers] == list(range(2, 2 + BATCH_FROM + MIN_BATCH))  # type: ignore[misc]


@pytest.mark.parametrize("said", [b"*1\r\n+ok\r\n", b"+OK\r\n", b":2\r\n"], ids=["too few", "a word", "a number"])
async def test_a_reply_that_is_not_one_for_each_call_ends_the_connection(tmp_path, said: bytes) -> None:
    over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                simple = data.count(b"\r\nSETINFO\r\n") + data.count(b"\r\nPING\r\n")
                writer.write(b"+OK\r\n" * simple + said * data.count(b"\r\nEVALSHA\r\n"))
        writer.close()
        over.set()

    joint = Joint("sha", ["shared"], 1, 2)
    async with await asyncio.start_unix_server(answer, tmp_path / "s"):
        pipeline = Pipeline(f"unix://{tmp_path}/s")
        pipeline.open(list)
        assert await pipeline.call("PING") == "OK"
        first = pipeline.call("PING")
        calls = [pipeline.send(one(joint, number)) for number in range(2)]

        assert await first == "OK"
        for each in calls:
            refusal = await refused(each)
            assert refusal.detail["outcome"] == "unknown"
            assert "does not speak the Valkey protocol" in refusal.message
        await pipeline.close()
        await over.wait()


# each by itself


async def prepared(broker: Broker) -> Inboxes:
    """Let there be what a send may meet: an alias, a session, a full inbox, damage."""
    store, of = broker._store, broker._store.keys.of
    inboxes = Inboxes(store, LIMITS)
    for name in ("known", "former", "ben"):
        await broker.agents.heartbeat(name)
    await broker.agents.rename("former", "present")
    await broker.sessions.join(Hello(session="s-1", generation=1, name="alice", host="h"))
    await inboxes.send(Draft(id="m0", to="known", body="hello"), CI)
    for number in range(LIMITS.max_inbox):
        await inboxes.send(Draft(id=f"f{number}", to="full", body="hello"), CI)
    await store.call("HSET", of("index", "known"), "hurt", "damaged by a disk")
    await store.call("SET", of("inbox", "wrong"), "no stream")
    await store.call("HSET", store.keys.shared("agents"), "torn", '{"since":')
    return inboxes


def cases() -> list[tuple[Draft, Sender]]:
    """Sends of every outcome, some of them several times."""
    alice, other, lost = (
        Sender(name=name, via="mcp", session=session)
        for name, session in (("alice", "s-1"), ("ben", "s-1"), ("alice", "s-0"))
    )
    found = [(Draft(id=f"n{number}", to="known", body=f"body {number}"), CI) for number in range(4)]
    found += [
        (Draft(id=id, to=to, body=body), CI)
        for id in ("twice", "other")
        for to in ("new", "known", "New-2")
        for body in ("a", "a", "b")
    ]
    found += [
        (Draft(id=id, to=to, body="hello"), CI) for id, to in (("m0", "known"), ("hurt", "known"), ("x", "wrong"))
    ]
    found += [
        (Draft(id=id, to=to, body="hello"), CI) for id in ("x", "y") for to in ("full", "former", "torn", "human")
    ]
    found += [(Draft(id="m0", to="known", body="different"), CI)]
    found += [
        (Draft(id=f"s{number}", to="ben", body="hello"), each) for number, each in enumerate((alice, other, lost))
    ]
    return found


async def outcome(call: Awaitable[object]) -> str:
    try:
        said = repr(await call)
    except WrongAgent as wrong:
        said = f"acts as {wrong.agent}"
    except PostinoError as refusal:
        said = re.sub(" script: .*", "", f"{type(refusal)} {refusal.detail} {refusal.message}", flags=re.DOTALL)
    return plain(said)


def plain(text: str) -> str:
    """A text without times, stream IDs and lines of a script."""
    return re.sub(r"\d{13}(-\d+)?|\d{4}-\d\d-\d\dT[\d:.]+|user_script:\d+", "*", text)


async def contents(store: Store) -> list[str]:
    """Return what is stored of the agents that the cases are about and of what they share, without times."""
    call, of, found = store.call, store.keys.of, []
    for name in ("known", "ben", "new", "New-2", "full", "former", "present", "torn", "human", "ci", "alice"):
        found.append(await call("XRANGE", of("inbox", name), "-", "+"))
        found.append(sorted(plain(each) for each in await call("HGETALL", of("index", name))))
        found.append(await call("EXISTS", of("past", name)))
        found.append(await call("ZRANGE", of("leases", name), 0, -1, "WITHSCORES"))
    # an alias is followed while others are stored
    found.append(sorted(plain(repr(each)) for each in await call("XRANGE", store.keys.shared("history"), "-", "+")))
    found.append(sorted(plain(repr(each)) for each in await call("XRANGE", store.keys.shared("events"), "-", "+")))
    found.append(sorted(plain(each) for each in await call("HGETALL", store.keys.shared("agents"))))
    return [plain(repr(each)) for each in found]


@pytest.mark.parametrize("seed", range(3))
async def test_each_of_joined_sends_ends_and_leaves_what_it_would_alone(proxy, open_broker, seed: int) -> None:
    between = await proxy()
    brokers = [await open_broker(valkey_url=between.url, key_prefix=f"t{secrets.token_hex(6)}:") for _ in range(2)]
    sends = cases()
    random.Random(seed).shuffle(sends)
    together, alone = [await prepared(broker) for broker in brokers]
    before = calls_of(brokers[0]._store, between)

    found = await asyncio.gather(*(outcome(together.send(*each)) for each in sends))

    assert calls_of(brokers[0]._store, between) - before < len(sends) / 3, "they were joined"
    expected = [await outcome(alone.send(*each)) for each in sends]
    for each, one_found, one_expected in zip(sends, found, expected, strict=True):
        assert one_found == one_expected, each
    for word in ("KeyReused", "InboxFull", "acts as ben", "acts as None", "damaged", "WRONGTYPE", "created=False"):
        assert word.replace("ben", "alice") in str(found), word
    assert await contents(brokers[0]._store) == await contents(brokers[1]._store)


async def told_alike(
    broker: Broker, between: Proxy, script: str, calls: Sequence[Callable[[], Awaitable[object]]]
) -> list[str]:
    """Make the calls one after the other and then all at once; return what each is told, which is the same."""
    alone = [await outcome(call()) for call in calls]
    between.sent.clear()
    together = await asyncio.gather(*(outcome(call()) for call in calls))

    assert between.count(broker._store.scripts[script].sha) < len(calls) / 3, "they were joined"
    assert together == alone
    return alone


async def test_each_of_joined_checks_is_told_what_it_would_be_alone(proxy, open_broker) -> None:
    between = await proxy()
    broker: Broker = await open_broker(valkey_url=between.url, key_prefix=f"t{secrets.token_hex(6)}:")
    await prepared(broker)
    await broker.broadcasts.broadcast(BroadcastDraft(id="b1", body="hear"), CI)
    await broker.broadcasts.read("known", 1)
    names = ["known", "former", "full", "wrong", "torn", "human", "nobody", "alice"] * 4
    calls = [(name, session) for session in ("", "", "s-1", "s-0") for name in names]

    alone = await told_alike(
        broker, between, "check", [lambda each=each: broker.agents.check(each[0], session=each[1]) for each in calls]
    )

    for said in ("unread_messages=40, unseen_broadcasts=1", "unseen_broadcasts=0", "agent='present'", "WRONGTYPE"):
        assert said in str(alone), said
    assert {"acts as alice", "acts as None"} < {*alone}


async def test_each_of_joined_looks_at_a_state_is_told_what_it_would_be_alone(proxy, open_broker) -> None:
    between = await proxy()
    broker: Broker = await open_broker(valkey_url=between.url, key_prefix=f"t{secrets.token_hex(6)}:")
    mail = await prepared(broker)
    await mail.send(Draft(id="m1", to="human", body="hello"), CI)
    await broker.mail.read("known", "s-9")
    await broker._store.call("SET", broker._store.keys.of("index", "wrong"), "no hash")
    names = ["known", "former", "present", "full", "wrong", "torn", "human", "nobody"] * 3
    calls = [(name, id) for name in names for id in ("m0", "m1", "none")]

    alone = await told_alike(broker, between, "state", [lambda each=each: mail.state(*each) for each in calls])

    for said in ("state='leased'", "state='queued'", "UnknownMessage", "WRONGTYPE"):
        assert said in str(alone), said


async def test_an_inbox_keeps_the_order_of_joined_sends(store_at: Open, valkey: str) -> None:
    store = await store_at(valkey, f"t{secrets.token_hex(6)}:")

    answers = await asyncio.gather(*(send(store, f"m{number}", f"to-{number % 3}") for number in range(99)))

    assert [int(answer.split()[0]) for _, (answer,) in answers] == [number // 3 + 1 for number in range(99)]  # type: ignore[misc]


# what ends all of them


async def many(store: Store, count: int = 60) -> list[object]:
    """Send at once; return what became of each."""
    sends = (send(store, f"many-{number}") for number in range(count))
    return list(await asyncio.gather(*sends, return_exceptions=True))


def outcomes(found: list[object], kind: type[StoreAway] = StoreAway) -> set[object]:
    assert all(isinstance(each, kind) for each in found), found
    return {each.detail["outcome"] for each in found}  # type: ignore[attr-defined]


async def in_full_memory(store: Store) -> None:
    await store.call("CONFIG", "SET", "maxmemory", "1")


async def on_a_replica(store: Store) -> None:
    await store.call("REPLICAOF", "127.0.0.1", "1")


async def without_a_right(store: Store) -> None:
    await store.call("ACL", "SETUSER", "default", "-hset")


@pytest.mark.parametrize(
    ("trouble", "kind", "said", "left"),
    [
        (in_full_memory, StoreFull, "none", 1),
        (on_a_replica, StoreAway, "none", 1),
        (without_a_right, StoreAway, "unknown", 61),
    ],
    ids=["full", "replica", "right"],
)
async def test_what_refuses_joined_sends_is_told_to_each_of_them(
    serve, store_at: Open, trouble: Callable[[Store], Awaitable[None]], kind: type[StoreAway], said: str, left: int
) -> None:
    server = serve("--maxmemory-policy", "noeviction")
    store = await store_at(server.url)
    await send(store, "m1")
    await trouble(store)

    assert outcomes(await many(store), kind) == {said}

    assert int(server.ask("XLEN", store.keys.of("inbox", "bob"))) == left


async def test_a_lost_reply_of_joined_sends_leaves_each_unknown_and_stored_once(
    proxy, store_at: Open, valkey: str
) -> None:
    between = await proxy()
    prefix = f"t{secrets.token_hex(6)}:"
    store, direct = await store_at(between.url, prefix), await store_at(valkey, prefix)
    await send(store, "m1")
    between.lose = b"many-5\r\n"

    _, *found = await many(store, 1 + MIN_BATCH)  # the first is sent at once, alone

    assert outcomes(found) == {"unknown"}
    between.lose = None

    async def all_stored() -> bool:
        return await stored(direct) == 2 + MIN_BATCH

    await eventually(all_stored, "the server has run what it was sent")
    again = await many(store, 1 + MIN_BATCH)
    assert {answer.split()[1] for _, (answer,) in again} == {"0"}  # type: ignore[misc]
    assert await all_stored()


async def test_of_joined_sends_those_that_were_cancelled_are_left_out(proxy, store_at: Open) -> None:
    between = await proxy()
    store = await store_at(between.url, f"t{secrets.token_hex(6)}:")
    under_way = await held_up(store, between, lambda number: send(store, f"sent-{number}"))
    waiting = [asyncio.create_task(send(store, f"m{number}")) for number in range(MIN_BATCH - 1)]
    await asyncio.sleep(0.01)

    for each in waiting[::2]:
        each.cancel()
    await asyncio.gather(*waiting[::2], return_exceptions=True)
    between.let_go()
    answers = await asyncio.gather(*under_way, *waiting[1::2])

    assert [int(answer.split()[0]) for _, (answer,) in answers] == list(range(1, 1 + len(answers)))  # type: ignore[misc]
    assert await stored(store) == len(answers)


async def test_joined_sends_that_first_end_expired_mail_are_accepted_when_they_are_stored(
    store_at: Open, valkey: str
) -> None:
    store = await store_at(valkey, f"t{secrets.token_hex(6)}:")
    inboxes, names = Inboxes(store, LIMITS), [f"full-{number}" for number in range(MOST_JOINED)]
    for name in names:
        for number in range(LIMITS.max_inbox):
            await store.call("XADD", store.keys.of("inbox", name), f"1-{number}", "m", f"1 1 m{number} ci -h 1 x")

    await asyncio.gather(*(inboxes.send(Draft(id="new", to=name, body="x"), CI) for name in names))

    found = await store.call("XRANGE", store.keys.shared("history"), "-", "+")
    stored = [int(entry.partition("-")[0]) for entry, _ in found]
    accepted = [int(message.split(" ")[1]) for _, (_, message) in found]
    assert len(found) == len(names)
    assert all(before <= time for before, time in zip(stored, accepted[1:], strict=False))  # only Redis 7.0 can differ


async def test_an_inbox_takes_exactly_what_it_may_hold_of_joined_sends(store_at: Open, valkey: str) -> None:
    inboxes = Inboxes(await store_at(valkey, f"t{secrets.token_hex(6)}:"), LIMITS)
    drafts = [Draft(id=f"m{number}", to="bob", body="x") for number in range(2 * LIMITS.max_inbox)]

    found = await asyncio.gather(*(inboxes.send(each, CI) for each in drafts), return_exceptions=True)

    assert [type(each) for each in found] == [Sent] * LIMITS.max_inbox + [InboxFull] * LIMITS.max_inbox
