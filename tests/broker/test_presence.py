"""Presence: who is online is told once, and an old connection cannot undo what a new one is."""

from __future__ import annotations

import asyncio

import pytest

from postino.broker import Broker
from postino.errors import AgentBusy, StaleSession, UnknownAgent

CHANGES = ("agent_online", "agent_offline")


def told(events) -> list[tuple[str, str]]:
    return [(each.type.removeprefix("agent_"), str(each.data["agent"])) for each in events]


async def silence(broker: Broker, *sessions: str) -> None:
    """Let a session's last sign of life be too old, as a silence of 30 s does."""
    now = await broker._store.now_ms()
    for session in sessions:
        await broker._store.call("ZADD", broker._store.keys.shared("presence"), now - 1, session)


async def online(broker: Broker, agent: str) -> bool:
    return (await broker.agents.one(agent)).online


async def test_a_session_is_online_from_join_to_leave(broker: Broker, hello, events) -> None:
    await broker.sessions.join(hello("s-1", name="bob"))
    assert await online(broker, "bob")

    await broker.sessions.leave("s-1", 1)

    assert not await online(broker, "bob")
    assert (await broker.agents.one("bob")).last_seen is not None
    assert told(await events(broker, *CHANGES)) == [("online", "bob"), ("offline", "bob")]


async def test_to_read_is_a_sign_of_life_of_a_known_agent(broker: Broker) -> None:
    await broker.agents.heartbeat("bob")
    await broker.mail.read("bob", "script")  # the first one is noted in any case
    first = (await broker.agents.one("bob")).last_seen

    while (found := (await broker.agents.one("bob")).last_seen) == first:
        await broker.mail.read("bob", "script")

    assert found > first


async def test_an_agent_is_online_until_its_last_session_leaves(broker: Broker, hello, events) -> None:
    await broker.sessions.join(hello("s-1", name="bob"))
    await broker.sessions.join(hello("s-2", name="bob"))
    await broker.sessions.leave("s-1", 1)
    assert await online(broker, "bob")
    assert told(await events(broker, *CHANGES)) == [("online", "bob")]

    await broker.sessions.leave("s-2", 1)

    assert told(await events(broker, *CHANGES)) == [("online", "bob"), ("offline", "bob")]


async def test_leaving_gives_leases_back_at_once_and_labels_them(broker: Broker, hello, send, events) -> None:
    await broker.sessions.join(hello("s-1", name="bob"))
    for id in ("m1", "m2", "m3"):
        await send(broker, id)
    await broker.mail.read("bob", "s-1", limit=2)
    await broker.mail.ack("bob", "s-1", ["m1"])

    await broker.sessions.leave("s-1", 1)

    assert [each.data["ids"] for each in await events(broker, "msg_release")] == [["m2"]]
    assert (await broker.mail.state("bob", "m2")).state == "queued"
    batch = await broker.mail.read("bob", "s-2")
    assert [(each.id, each.delivery, each.redelivered) for each in batch.items] == [("m2", 2, True), ("m3", 1, False)]


async def test_a_message_its_reader_never_acknowledges_dies_also_by_leaving(open_broker, hello, send) -> None:
    broker = await open_broker(max_deliveries=3)
    await send(broker, "poison")
    for number in range(3):
        await broker.sessions.join(hello(f"s-{number}", name="bob"))
        assert [each.delivery for each in (await broker.mail.read("bob", f"s-{number}")).items] == [number + 1]
        await broker.sessions.leave(f"s-{number}", 1)

    assert (await broker.mail.read("bob", "last")).items == []
    assert (await broker.mail.state("bob", "poison")).state == "dead"


async def test_a_consumer_with_nothing_pending_goes_with_its_session(broker: Broker, hello, send) -> None:
    await send(broker, "m1")
    await broker.sessions.join(hello("s-1", name="bob"))
    await broker.mail.read("bob", "s-1")
    await broker.mail.ack("bob", "s-1", ["m1"])

    await broker.sessions.leave("s-1", 1)

    assert await broker._store.call("XINFO", "CONSUMERS", broker._store.keys.of("inbox", "bob"), "agents") == []


async def test_an_idle_consumer_with_nothing_pending_is_swept_and_a_busy_one_stays(broker: Broker, send) -> None:
    await send(broker, "m1")
    await send(broker, "m2")
    await broker.mail.read("bob", "idle", limit=1, ack_now=True)
    await broker.mail.read("bob", "busy", limit=1)

    await broker.mail.sweep("bob", 0)

    consumers = await broker._store.call("XINFO", "CONSUMERS", broker._store.keys.of("inbox", "bob"), "agents")
    assert "busy" in str(consumers)
    assert "idle" not in [each["name"] if isinstance(each, dict) else each[1] for each in consumers]
    assert (await broker.mail.ack("bob", "busy", ["m2"])).acknowledged == ["m2"]


async def test_an_old_connection_cannot_take_a_new_one_offline(broker: Broker, hello, send) -> None:
    await broker.sessions.join(hello("s-1", name="bob"))
    await broker.sessions.join(hello("s-1", 2, name="bob"))
    await send(broker, "m1")
    await broker.mail.read("bob", "s-1")

    await broker.sessions.leave("s-1", 1)

    assert await online(broker, "bob")
    assert (await broker.mail.state("bob", "m1")).state == "leased"


async def test_an_old_connection_cannot_join_again_or_prolong(broker: Broker, hello) -> None:
    await broker.sessions.join(hello("s-1", 2, name="bob"))

    with pytest.raises(StaleSession):
        await broker.sessions.join(hello("s-1", 1, name="bob"))
    await silence(broker, "s-1")
    await broker.sessions.keepalive("s-1", 1)

    assert not await online(broker, "bob")


async def test_a_new_connection_gives_back_what_the_old_one_held(broker: Broker, hello, send, events) -> None:
    await broker.sessions.join(hello("s-1", name="bob"))
    await send(broker, "m1")
    await broker.mail.read("bob", "s-1")

    await broker.sessions.join(hello("s-1", 2, name="bob"))

    batch = await broker.mail.read("bob", "s-1")
    assert [(each.id, each.delivery, each.redelivered) for each in batch.items] == [("m1", 2, True)]
    assert told(await events(broker, *CHANGES)) == [("online", "bob")]


async def test_a_silent_session_is_taken_offline_and_told_once(broker: Broker, hello, events) -> None:
    await broker.sessions.join(hello("s-1", name="bob"))
    await broker.sessions.join(hello("s-2", name="bob"))
    await broker.sessions.join(hello("s-3", name="alice"))
    await silence(broker, "s-1", "s-2")
    assert not await online(broker, "bob")

    assert await broker._live.expire_presence() == 2
    assert await broker._live.expire_presence() == 0

    assert told(await events(broker, "agent_offline")) == [("offline", "bob")]
    assert (await broker.agents.one("bob")).sessions == 0
    assert await online(broker, "alice")


async def test_a_clock_that_was_stepped_back_keeps_nobody_online_for_the_length_of_the_step(
    broker: Broker, hello, events
) -> None:
    await broker.sessions.join(hello("s-1", name="bob"))
    presence, hour_ms = broker._store.keys.shared("presence"), 3_600_000
    await broker._store.call("ZINCRBY", presence, hour_ms, "s-1")  # as the sign of life of an hour ahead has left it

    await broker._live.expire_presence()

    left_ms = float(await broker._store.call("ZSCORE", presence, "s-1")) - await broker._store.now_ms()
    assert 0 < left_ms <= 30_000
    assert await online(broker, "bob")


async def test_leaving_after_the_silence_was_noticed_tells_nothing_new(broker: Broker, hello, events) -> None:
    await broker.sessions.join(hello("s-1", name="bob"))
    await silence(broker, "s-1")
    await broker._live.expire_presence()

    await broker.sessions.leave("s-1", 1)

    assert told(await events(broker, *CHANGES)) == [("online", "bob"), ("offline", "bob")]


async def test_leaving_before_the_silence_was_noticed_is_told(broker: Broker, hello, events) -> None:
    await broker.sessions.join(hello("s-1", name="bob"))
    await silence(broker, "s-1")

    await broker.sessions.leave("s-1", 1)
    await broker._live.expire_presence()

    assert told(await events(broker, *CHANGES)) == [("online", "bob"), ("offline", "bob")]


async def test_a_sign_of_life_after_a_silence_nobody_noticed_tells_nothing(broker: Broker, hello, events) -> None:
    await broker.sessions.join(hello("s-1", name="bob"))
    await broker.agents.heartbeat("web")
    await silence(broker, "s-1", "http:web")

    await broker.sessions.keepalive("s-1", 1)
    await broker.agents.heartbeat("web")

    assert await online(broker, "bob")
    assert told(await events(broker, *CHANGES)) == [("online", "bob"), ("online", "web")]


async def test_a_session_that_slept_comes_back_and_is_not_forgotten(open_broker, hello, events, eventually) -> None:
    broker = await open_broker(msg_ttl=1)
    await broker.sessions.join(hello("s-1", name="bob"))
    await broker.sessions.join(hello("marker", name="other"))
    await silence(broker, "s-1", "marker")
    await broker._live.expire_presence()

    await broker.sessions.keepalive("s-1", 1)

    async def marker_forgotten() -> bool:
        await broker._live.forget_sessions()
        return await broker._live.session("marker") is None

    await eventually(marker_forgotten, "ended sessions are forgotten")
    assert await broker.sessions.agent_of("s-1") == "bob"
    assert told(await events(broker, *CHANGES))[-1] == ("online", "bob")


async def test_a_session_that_comes_back_while_it_is_forgotten_stays(broker: Broker, hello) -> None:
    await broker.sessions.join(hello("s-1", name="bob"))
    await broker.sessions.leave("s-1", 1)
    seen = await broker._store.call("HGET", broker._store.keys.shared("sessions"), "s-1")

    await broker.sessions.join(hello("s-1", name="bob", generation=2))

    assert await broker._store.run("forget_session", "", {"session": "s-1", "record": seen}) == 0
    assert await broker.sessions.agent_of("s-1") == "bob"


async def test_an_http_agent_is_online_after_a_heartbeat_and_offline_when_it_says_so(broker: Broker, events) -> None:
    assert (await broker.agents.heartbeat("web")).online
    await broker.agents.heartbeat("web")
    assert (await broker.agents.one("web")).sessions == 1

    await broker.agents.offline("web")

    assert not await online(broker, "web")
    assert told(await events(broker, *CHANGES)) == [("online", "web"), ("offline", "web")]


async def test_going_offline_as_an_http_agent_leaves_its_sessions_online(broker: Broker, hello, events) -> None:
    await broker.sessions.join(hello("s-1", name="bob"))
    await broker.agents.heartbeat("bob")

    await broker.agents.offline("bob")

    assert await online(broker, "bob")
    assert told(await events(broker, *CHANGES)) == [("online", "bob")]


async def test_a_renamed_http_agent_goes_offline_at_once_too(broker: Broker) -> None:
    await broker.agents.heartbeat("web")
    await broker.agents.rename("web", "site")
    assert await online(broker, "site")

    await broker.agents.offline("site")

    assert not await online(broker, "site")


async def test_a_session_nobody_knows_has_no_agent_and_leaving_it_is_harmless(broker: Broker) -> None:
    with pytest.raises(UnknownAgent):
        await broker.sessions.agent_of("s-unknown")
    with pytest.raises(UnknownAgent):
        await broker.sessions.keepalive("s-unknown", 1)

    await broker.sessions.leave("s-unknown", 1)


async def test_agents_are_listed_by_name_with_what_waits_for_them(broker: Broker, hello, send) -> None:
    await broker.sessions.join(hello("s-1", name="Bob"))
    await broker.agents.heartbeat("alice")
    await send(broker, "m1", to="Bob")
    await send(broker, "m2", to="Bob")
    await send(broker, "m3", to="carol")
    await broker.mail.read("Bob", "s-1", limit=1)

    agents, total = await broker.agents.page(50, 0)

    seen = [(each.name, each.online, each.message_count, each.unread, each.last_seen is None) for each in agents]
    assert seen == [("alice", True, 0, 0, False), ("Bob", True, 2, 1, False), ("carol", False, 1, 1, True)]
    assert total == 3
    assert [each.name for each in (await broker.agents.page(1, 1))[0]] == ["Bob"]


async def test_only_an_agent_that_is_offline_and_without_mail_is_forgotten(open_broker, send, events) -> None:
    broker = await open_broker(max_deliveries=1)
    await broker.agents.heartbeat("online")
    await send(broker, "m1", to="written")
    await send(broker, "m2", to="dead")
    await broker.mail.read("dead", "s1")
    await broker.mail.nack("dead", "s1", ["m2"])
    for name in ("online", "written", "dead"):
        with pytest.raises(AgentBusy):
            await broker.agents.forget(name)
    await broker.mail.read("idle", "s1")
    await broker.agents.rename("idle", "gone")

    assert await broker.agents.cleanup() == ["gone"]

    with pytest.raises(UnknownAgent):
        await broker.agents.one("idle")
    with pytest.raises(UnknownAgent):
        await broker.agents.forget("gone")
    assert [each.data["agent"] for each in await events(broker, "agent_forget")] == ["gone"]
    assert (await broker.agents.page(50, 0))[1] == 3


async def test_the_ids_of_a_forgotten_agent_are_remembered_under_each_of_its_names(broker: Broker, send) -> None:
    await send(broker, "m1", to="r1")
    await broker.mail.read("r1", "s1", ack_now=True)
    await broker.agents.rename("r1", "r2")
    await broker.agents.forget("r2")

    for name in ("r1", "r2"):
        assert not (await send(broker, "m1", to=name)).created
        assert (await broker.mail.state(name, "m1")).state == "acked"


async def test_ids_under_a_former_name_have_a_time_to_live_and_are_kept_only_of_whom_may_be_forgotten(
    broker: Broker, send
) -> None:
    await send(broker, "m1", to="r1")
    await broker.agents.rename("r1", "r2")
    with pytest.raises(AgentBusy):
        await broker.agents.forget("r2")
    assert not await broker._store.call("EXISTS", broker._store.keys.of("index", "r1"))

    await broker.mail.read("r2", "s1", ack_now=True)
    await broker.agents.forget("r2")

    left = await broker._store.call("PTTL", broker._store.keys.of("index", "r1"))
    assert 0 < left <= broker.settings.msg_ttl * 1000


async def test_leaving_gives_back_however_much_a_session_holds(open_broker, hello, send) -> None:
    broker = await open_broker(max_inbox=2000)
    await broker.sessions.join(hello("s-1", name="bob"))
    for number in range(0, 1200, 100):
        await asyncio.gather(*(send(broker, f"m{number + each}") for each in range(100)))
    for _ in range(6):
        await broker.mail.read("bob", "s-1", limit=200)

    await broker.sessions.keepalive("s-1", 1)
    assert len((await broker.mail.read("bob", "s-1", limit=200, resume=True)).items) == 200
    await broker.sessions.leave("s-1", 1)

    assert (await broker.agents.check("bob")).unread_messages == 1200


async def test_an_agent_with_a_leased_message_is_not_forgotten(broker: Broker, send) -> None:
    await send(broker, "m1")
    await broker.mail.read("bob", "s1")

    assert await broker.agents.cleanup() == []
    assert (await broker.mail.ack("bob", "s1", ["m1"])).acknowledged == ["m1"]


async def test_an_agent_with_one_session_left_in_an_unnoticed_silence_goes_offline_once(
    broker: Broker, hello, events
) -> None:
    await broker.sessions.join(hello("s-1", name="bob"))
    await broker.sessions.join(hello("s-2", name="bob"))
    await silence(broker, "s-1")

    await broker.sessions.leave("s-2", 1)
    await broker._live.expire_presence()

    assert told(await events(broker, *CHANGES)) == [("online", "bob"), ("offline", "bob")]


async def test_a_sign_of_life_costs_the_same_however_many_others_are_online(broker: Broker, monkeypatch) -> None:
    async def everybody(_: object) -> set[str]:
        raise AssertionError("asked for every session that is online")

    await broker.agents.heartbeat("bob")
    monkeypatch.setattr("postino.store.sessions.SessionTable.live", everybody)

    assert (await broker.agents.heartbeat("bob")).online
    assert (await broker.agents.one("bob")).sessions == 1
    await broker.agents.offline("bob")
    assert not (await broker.agents.one("bob")).online
