"""The event stream: live, resumable, filtered, bounded, and a sign of life for who holds it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from postino.rest import events


@dataclass(frozen=True)
class Told:
    """One event as it came."""

    id: str | None
    event: str
    data: dict[str, Any]


class Stream:
    """A stream being read."""

    def __init__(self, content: Any) -> None:
        self._content = content

    async def next(self, seconds: float = 5) -> Told:
        fields: dict[str, str] = {}
        async with asyncio.timeout(seconds):
            while True:
                line = (await self._content.readline()).decode()
                assert line, "the stream has ended"
                line = line.rstrip("\r\n")
                if line.startswith(":"):
                    continue
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "data" in fields:
                    return Told(fields.get("id"), fields["event"], json.loads(fields["data"]))

    async def types(self, count: int) -> list[str]:
        return [(await self.next()).data["type"] for _ in range(count)]

    async def rest(self, seconds: float = 15) -> list[str]:
        """Read to the end; return what was said last."""
        async with asyncio.timeout(seconds):
            text = (await self._content.read()).decode()
        return [json.loads(line[6:])["type"] for line in text.splitlines() if line.startswith("data: ")]


@contextlib.asynccontextmanager
async def listening(api: Any, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    async with api.client.get(f"/api/events{query}", headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.headers["Content-Type"] == "text/event-stream"
        yield Stream(answer.content)


async def test_the_first_event_says_connected_and_where(api: Any) -> None:
    await api.send()
    async with listening(api) as stream:
        first = await stream.next()

    assert (first.event, first.data["type"]) == ("update", "connected")
    assert first.id is not None and first.id != "0-0"


@pytest.mark.parametrize("query", ["", "?since=1-1"], ids=["anew", "resumed"])
async def test_a_stream_says_when_it_began(api: Any, query: str) -> None:
    await api.send()
    before = (await api.get("stats")).json["time"]
    async with listening(api, query) as stream:
        said = [(await stream.next()).data for _ in range(2 if query else 1)]
    after = (await api.get("stats")).json["time"]

    assert [each["type"] for each in said] == (["connected", "gap"] if query else ["connected"])
    assert all(before <= each["timestamp"] <= after for each in said)


async def test_what_happens_is_told_without_bodies(api: Any) -> None:
    async with listening(api) as stream:
        await stream.next()
        await api.send("bob", "the secret", id="m1", **{"from": "alice"})
        told = await stream.next()

    assert told.event == "update"
    assert (told.data["type"], told.data["id"], told.data["to"], told.data["from"]) == (
        "msg_send",
        "m1",
        "bob",
        "alice",
    )
    assert "secret" not in json.dumps(told.data)
    assert told.data["timestamp"].endswith("Z")


async def test_a_whole_life_is_told_in_order(api: Any) -> None:
    async with listening(api) as stream:
        await stream.next()
        await api.post("agents/bob/heartbeat")
        told = await stream.types(1)  # before the next: what is sent is told first of all that happened in its ms
        await api.send("bob", id="m1")
        await api.read("bob")
        await api.post("messages/bob/ack", {"ids": ["m1"], "consumer": "c1"})
        told += await stream.types(3)
        await api.post("broadcasts", {"body": "all"})
        assert told + await stream.types(1) == ["agent_online", "msg_send", "msg_read", "msg_ack", "broadcast"]


async def test_nothing_is_replayed_unasked(api: Any) -> None:
    await api.send(id="before")
    async with listening(api) as stream:
        await stream.next()
        await api.send(id="after")
        assert (await stream.next()).data["id"] == "after"


@pytest.mark.parametrize("by", ["header", "query"])
async def test_a_stream_resumes_where_it_ended_without_loss_or_repeat(api: Any, by: str) -> None:
    async with listening(api) as stream:
        await stream.next()
        await api.send(id="m0")
        last = (await stream.next()).id
    for number in range(1, 4):
        await api.send(id=f"m{number}")

    resumed = (
        listening(api, **{"Last-Event-ID": last}) if by == "header" else listening(api, f"?since={last}")  # type: ignore[arg-type]
    )
    async with resumed as stream:
        assert (await stream.next()).data["type"] == "connected"
        await api.send(id="m4")
        assert [(await stream.next()).data["id"] for _ in range(4)] == ["m1", "m2", "m3", "m4"]


@pytest.mark.parametrize("by", ["header", "query"])
async def test_a_stream_resumes_after_any_event_and_after_a_time(api: Any, by: str) -> None:
    async with listening(api, "?since=0") as stream:
        await stream.next()
        for number in range(3):
            await api.send("bob", id=f"m{number}")
            await api.read("bob", ack="now")
        told = [await stream.next() for _ in range(9)]
    while (await api.get("stats")).json["time"] <= told[-1].data["timestamp"]:
        pass  # until the next ms, so that what is sent from now on is after that time
    assert {"h", "e"} == {letter for each in told for letter in "eh" if each.id and letter in each.id}

    for at, each in enumerate(told):
        resumed = listening(api, f"?since={each.id}") if by == "query" else listening(api, **{"Last-Event-ID": each.id})
        async with resumed as stream:
            assert (await stream.next()).data["since"] == each.id
            await api.send("eve", id=f"new-{at}")
            assert [(await stream.next()).data for _ in told[at + 1 :]] == [one.data for one in told[at + 1 :]]
            assert [(await stream.next()).data["id"] for _ in range(at + 1)] == [f"new-{n}" for n in range(at + 1)]

    ms = int((told[-1].id or "").partition("-")[0])
    async with listening(api, f"?since={ms}-99999") as stream:  # as ids were, when all events were in one stream
        await stream.next()
        assert [(await stream.next()).data["id"] for _ in told] == [f"new-{at}" for at in range(len(told))]


async def test_a_stream_resumes_from_connected_alone(api: Any) -> None:
    async with listening(api) as stream:
        last = (await stream.next()).id
    await api.send(id="missed")

    async with listening(api, f"?since={last}") as stream:
        await stream.next()
        assert (await stream.next()).data["id"] == "missed"


async def test_a_long_backlog_is_replayed_in_pages(api: Any, broker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "REPLAY", 10)
    for number in range(25):
        await api.send(id=f"m{number}")

    async with listening(api, "?since=0") as stream:
        await stream.next()
        assert [(await stream.next()).data["id"] for _ in range(25)] == [f"m{number}" for number in range(25)]


async def test_a_place_that_is_not_kept_any_more_is_told_as_a_gap(api: Any) -> None:
    await api.send(id="m1")
    async with listening(api, "?since=1-1") as stream:
        assert await stream.types(3) == ["connected", "gap", "msg_send"]


async def test_the_last_place_that_can_be_is_a_gap_too(api: Any) -> None:
    async with listening(api, f"?since={10**15 - 1}-{(1 << 64) - 1}") as stream:
        assert await stream.types(2) == ["connected", "gap"]


async def test_a_place_of_another_valkey_is_a_gap_and_the_stream_goes_on(api: Any) -> None:
    async with listening(api, "?since=99999999999999-0") as stream:
        assert await stream.types(2) == ["connected", "gap"]
        await api.send(id="m1")
        assert (await stream.next()).data["id"] == "m1"


async def test_what_concerns_system_can_be_asked_for(api: Any) -> None:
    async with listening(api, "?agent=system") as stream:
        assert await stream.types(1) == ["connected"]


async def test_events_are_filtered_by_type(api: Any) -> None:
    async with listening(api, "?type=msg_ack,broadcast") as stream:
        await stream.next()
        await api.send("bob", id="m1")
        await api.read("bob", ack="now")
        told = await stream.types(1)
        await api.post("broadcasts", {"body": "all"})
        assert told + await stream.types(1) == ["msg_ack", "broadcast"]


async def test_events_are_filtered_by_agent_as_sender_or_recipient(api: Any) -> None:
    async with listening(api, "?agent=bob") as stream:
        await stream.next()
        await api.send("eve", id="foreign")
        await api.send("eve", id="from-bob", **{"from": "bob"})
        await api.send("bob", id="to-bob")
        await api.post("broadcasts", {"body": "all"})
        told = [await stream.next() for _ in range(3)]

    assert [each.data["id"] for each in told[:2]] == ["from-bob", "to-bob"]
    assert told[2].data["type"] == "broadcast"


async def test_an_agent_is_online_while_it_holds_a_stream_as_itself(api: Any, until: Any) -> None:
    async with listening(api, **{"X-Postino-As": "bob"}) as first:
        await first.next()
        async with listening(api, **{"X-Postino-As": "bob"}) as second:
            await second.next()
        assert (await api.get("agents/bob")).json["online"] is True

    async def offline() -> bool:
        return not (await api.get("agents/bob")).json["online"]

    await until(offline, "bob is offline")


async def test_one_stream_too_many_is_refused_and_places_are_given_back(
    api: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST", 2)
    async with listening(api), listening(api):
        answer = await api.get("events")
        assert (answer.status, answer.json["code"], answer.json["retryable"]) == (503, "too_many", True)
        assert answer.headers["Retry-After"]

    async def free() -> bool:
        async with api.client.get("/api/events") as again:
            return bool(again.status == 200)

    await until(free, "a place is free")


async def test_a_reader_that_does_not_read_is_dropped_and_the_others_are_not(
    api: Any, broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "SEND_S", 0.5)
    for number in range(200):
        await api.send(id=f"{number:0128}")
    slow = await _reader_that_does_not_read(api)
    async with listening(api, "?type=msg_read") as quick:
        await quick.next()
        listeners = len(broker.events._subscriptions)
        async with asyncio.timeout(30):
            while len(broker.events._subscriptions) == listeners:  # an event has 26 kB; the kernel takes some MB
                await api.read(limit=200, resume=True)
                assert len((await quick.next()).data["ids"]) == 200
    slow.close()


async def test_an_event_that_cannot_be_read_is_a_gap_and_the_stream_goes_on(api: Any, broker: Any) -> None:
    async with listening(api, "?type=msg_send") as stream:
        await stream.next()
        await broker._store.call("XADD", broker._store.keys.shared("events"), "1-0", "e", "msg_ack\nids")
        await api.send()
        gap, sent = await stream.next(), await stream.next()
    assert [each.data["type"] for each in (gap, sent)] == ["gap", "msg_send"]

    async with listening(api, f"?since={gap.id}") as again:
        assert await again.types(2) == ["connected", "msg_send"]
    async with listening(api, "?since=0-0&type=msg_send") as again:
        assert await again.types(3) == ["connected", "gap", "msg_send"]


async def test_a_burst_that_overflows_the_queue_ends_the_stream_with_its_reason(
    api: Any, broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "QUEUE", 3)
    async with listening(api) as stream:
        first = await stream.next()
        for subscription in list(broker.events._subscriptions):  # as one read of the events hands them over: at once
            for number in range(5):
                subscription.put(_event(first.id, number))
        assert (await stream.rest())[-1] == "dropped"


async def test_a_stream_ends_at_once_when_the_application_stops(api: Any) -> None:
    async with listening(api) as stream:
        await stream.next()
        loop = asyncio.get_running_loop()
        began = loop.time()
        await api.client.server.close()
        assert loop.time() - began < 1
        assert await stream.rest(1) == []


async def test_a_client_that_leaves_is_noticed_at_once(api: Any, broker: Any, until: Any) -> None:
    async def listeners() -> int:
        return len(broker.events._subscriptions)

    before = await listeners()
    async with listening(api) as stream:
        await stream.next()
        assert await listeners() == before + 1

    async def gone() -> bool:
        return await listeners() == before

    await until(gone, "nobody listens any more", 2)


def _event(after: str | None, number: int) -> Any:
    from postino.model import Event

    ms = int((after or "0-0").partition("-")[0])
    return Event(id=f"{ms + 1}-{number}e{ms}-0", type="msg_send", data={})


async def _reader_that_does_not_read(api: Any) -> socket.socket:
    """Open a stream with the smallest receive buffer and never read it."""
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    slow.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(slow, ("127.0.0.1", api.port))
    await loop.sock_sendall(slow, b"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % api.port)
    return slow
