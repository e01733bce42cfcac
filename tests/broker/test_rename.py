"""A rename takes everything along, and the former name leads to the new one."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from postino.broker import Broker
from postino.errors import AliasLimit, NameTaken, StoreAway, UnknownAgent, UnknownMessage


async def lying(broker: Broker, agent: str) -> list[str]:
    return [each.id for each in (await broker.mail.peek(agent, 50, 0))[0]]


async def test_a_rename_takes_everything_along(open_broker, hello, send, say, events) -> None:
    broker = await open_broker(max_deliveries=2)
    await broker.sessions.join(hello("s-1", name="bob"))
    for id in ("dead", "leased", "acked", "waiting"):
        await send(broker, id)
    for _ in range(2):
        await broker.mail.read("bob", "s-1", limit=1)
        await broker.mail.nack("bob", "s-1", ["dead"])
    await broker.mail.read("bob", "s-1", limit=2)
    await broker.mail.ack("bob", "s-1", ["acked"])
    await say(broker, "b1")
    await broker.broadcasts.read("bob", 10)

    renamed = await broker.agents.rename("bob", "robert")

    assert (renamed.name, renamed.old, renamed.aliases) == ("robert", "bob", ["bob"])
    assert await lying(broker, "robert") == ["leased", "waiting"]
    assert [each.id for each in (await broker.dead.part("robert", 50)).items] == ["dead"]
    states = [(await broker.mail.state("robert", id)).state for id in ("dead", "leased", "acked", "waiting")]
    assert states == ["dead", "leased", "acked", "queued"]
    assert not (await send(broker, "acked", to="robert")).created
    check = await broker.agents.check("robert")
    assert (check.unread_messages, check.unseen_broadcasts) == (1, 0)
    agent = await broker.agents.one("robert")
    assert (agent.online, agent.sessions, agent.aliases) == (True, 1, ["bob"])
    assert await broker.sessions.agent_of("s-1") == "robert"
    assert (await broker.mail.ack("robert", "s-1", ["leased"])).acknowledged == ["leased"]
    assert [each.data for each in await events(broker, "agent_rename")] == [{"agent": "robert", "old": "bob"}]


async def test_a_former_name_works_everywhere(open_broker, send) -> None:
    broker = await open_broker(max_deliveries=1)
    await send(broker, "m0")
    await broker.agents.rename("bob", "robert")

    sent = await send(broker, "m1", to="bob")

    assert (sent.to, sent.seq) == ("robert", 2)
    assert await lying(broker, "bob") == ["m0", "m1"]
    assert (await broker.agents.check("bob")).agent == "robert"
    assert (await broker.agents.one("bob")).name == "robert"
    assert [each.to for each in (await broker.mail.read("bob", "s1")).items] == ["robert", "robert"]
    assert (await broker.mail.extend("bob", "s1", ["m1"])).acknowledged == ["m1"]
    assert (await broker.mail.nack("bob", "s1", ["m0"])).dead == ["m0"]
    assert (await broker.dead.part("bob", 50)).total == 1
    assert await broker.dead.requeue("bob", ["m0"]) == ["m0"]
    assert (await broker.mail.state("bob", "m0")).to == "robert"
    assert await broker.mail.clear("bob") == 2
    assert (await broker.agents.heartbeat("bob")).name == "robert"


async def test_the_same_id_to_the_former_and_the_present_name_is_one_message(broker: Broker, send) -> None:
    await send(broker, "m1")
    await broker.agents.rename("bob", "robert")

    assert not (await send(broker, "m1", to="bob")).created
    assert not (await send(broker, "m1", to="robert")).created


async def test_a_chain_of_renames_leads_every_name_to_the_last(broker: Broker, send) -> None:
    await send(broker, "m1", to="a")
    for old, new in (("a", "b"), ("b", "c"), ("c", "d")):
        await broker.agents.rename(old, new)

    for name in ("a", "b", "c", "d"):
        assert (await send(broker, f"to-{name}", to=name)).to == "d"
    assert set((await broker.agents.one("d")).aliases) == {"a", "b", "c"}
    assert (await broker.agents.page(50, 0))[1] == 1


async def test_an_owner_takes_a_former_name_back(broker: Broker, send) -> None:
    await send(broker, "m1", to="a")
    await broker.agents.rename("a", "b")

    renamed = await broker.agents.rename("b", "a")

    assert (renamed.name, renamed.aliases) == ("a", ["b"])
    assert await lying(broker, "b") == ["m1"]


async def test_a_rename_by_a_former_name_renames_the_present_agent(broker: Broker, send) -> None:
    await send(broker, "m1", to="a")
    await broker.agents.rename("a", "b")

    renamed = await broker.agents.rename("a", "c")

    assert (renamed.old, renamed.name, set(renamed.aliases)) == ("b", "c", {"a", "b"})


async def test_repeating_a_rename_changes_nothing(broker: Broker, send, events) -> None:
    await send(broker, "m1")
    await broker.agents.rename("bob", "robert")

    assert (await broker.agents.rename("bob", "robert")).name == "robert"
    assert (await broker.agents.rename("robert", "robert")).aliases == ["bob"]
    assert len(await events(broker, "agent_rename")) == 1


async def test_a_name_nobody_has_cannot_be_renamed(broker: Broker) -> None:
    await broker.agents.heartbeat("alice")

    with pytest.raises(UnknownAgent) as refusal:
        await broker.agents.rename("alicf", "bob")

    assert refusal.value.detail["names"] == ["alice"]


async def test_the_name_of_an_online_agent_is_taken(broker: Broker, send) -> None:
    await broker.agents.heartbeat("online")
    await send(broker, "m1")

    with pytest.raises(NameTaken):
        await broker.agents.rename("bob", "online")

    assert await lying(broker, "bob") == ["m1"]


@pytest.mark.parametrize("kind", ["waiting", "leased", "dead"])
async def test_the_name_of_an_agent_with_mail_is_taken_and_nothing_changes(open_broker, send, kind: str) -> None:
    broker = await open_broker(max_deliveries=1)
    await send(broker, "m0", to="former")
    await broker.agents.rename("former", "other")
    if kind != "waiting":
        await broker.mail.read("other", "s1")
    if kind == "dead":
        await broker.mail.nack("other", "s1", ["m0"])
    await send(broker, "m1")

    with pytest.raises(NameTaken):
        await broker.agents.rename("bob", "other")

    assert await lying(broker, "bob") == ["m1"]
    assert (await broker.agents.one("former")).name == "other"
    assert (await send(broker, "m2", to="former")).to == "other"
    assert (await broker.agents.one("other")).aliases == ["former"]


async def test_the_name_of_an_offline_agent_without_mail_is_free_and_its_former_names_go(broker: Broker, send) -> None:
    await broker.agents.heartbeat("first")
    await broker.agents.rename("first", "idle")
    await broker.agents.offline("idle")
    await send(broker, "m1")

    renamed = await broker.agents.rename("bob", "idle")

    assert renamed.aliases == ["bob"]
    assert await lying(broker, "idle") == ["m1"]
    with pytest.raises(UnknownAgent):
        await broker.agents.one("first")


async def test_a_displaced_agents_place_and_ids_do_not_pass_to_the_new_owner(broker: Broker, send, say) -> None:
    await say(broker, "b1")
    await broker.broadcasts.read("idle", 10)
    await send(broker, "old", to="idle")
    await broker.mail.read("idle", "s1", ack_now=True)
    await send(broker, "m1")

    await broker.agents.rename("bob", "idle")

    assert (await broker.agents.check("idle")).unseen_broadcasts == 1
    with pytest.raises(UnknownMessage):
        await broker.mail.state("idle", "old")


async def test_a_former_name_stays_taken_while_its_owner_is_online(open_broker, hello, send, eventually) -> None:
    broker = await open_broker(msg_ttl=1)
    await broker.sessions.join(hello("s-1", name="owner"))
    await broker.agents.rename("owner", "present")
    await broker.agents.heartbeat("other")
    await send(broker, "marker", to="clock")

    async def ttl_over() -> bool:
        return (await broker.mail.state("clock", "marker")).state == "expired"

    await eventually(ttl_over, "the name is one time to live old")
    with pytest.raises(NameTaken):
        await broker.agents.rename("other", "owner")
    await broker.sessions.leave("s-1", 1)

    assert (await broker.agents.rename("other", "owner")).name == "owner"
    assert (await broker.agents.one("present")).aliases == []
    assert (await send(broker, "m1", to="owner")).to == "owner"


async def test_a_former_name_stays_taken_for_one_ttl(broker: Broker, send) -> None:
    await broker.agents.heartbeat("owner")
    await broker.agents.rename("owner", "present")
    await broker.agents.offline("present")
    await broker.agents.heartbeat("other")

    with pytest.raises(NameTaken):
        await broker.agents.rename("other", "owner")

    assert (await broker.agents.one("owner")).name == "present"


async def test_a_former_name_stays_taken_while_its_owner_has_mail(open_broker, send, eventually) -> None:
    broker = await open_broker(msg_ttl=2)
    await send(broker, "m0", to="owner")
    await broker.agents.rename("owner", "present")
    await send(broker, "marker", to="clock")

    async def ttl_over() -> bool:
        return (await broker.mail.state("clock", "marker")).state == "expired"

    await eventually(ttl_over, "the name is one time to live old")
    await send(broker, "fresh", to="present")
    await broker.agents.heartbeat("other")

    with pytest.raises(NameTaken):
        await broker.agents.rename("other", "owner")


async def test_thirty_two_former_names_are_kept_and_no_more(broker: Broker, send) -> None:
    await send(broker, "m1", to="n0")
    for number in range(32):
        await broker.agents.rename(f"n{number}", f"n{number + 1}")

    with pytest.raises(AliasLimit):
        await broker.agents.rename("n32", "n33")

    assert (await send(broker, "m2", to="n0")).to == "n32"
    assert (await broker.agents.rename("n32", "n5")).name == "n5"  # one of its own needs no more room


async def renamed_32_times(broker: Broker) -> None:
    await broker.mail.read("n0", "s1")
    for number in range(32):
        await broker.agents.rename(f"n{number}", f"n{number + 1}")


async def ttl_over(broker: Broker, send, eventually) -> None:
    await send(broker, "marker", to="clock")

    async def over() -> bool:
        return (await broker.mail.state("clock", "marker")).state == "expired"

    await eventually(over, "a time to live has passed")


async def test_at_the_limit_the_oldest_former_name_gives_way_once_it_is_unused(open_broker, send, eventually) -> None:
    broker = await open_broker(msg_ttl=1)
    await renamed_32_times(broker)
    await ttl_over(broker, send, eventually)

    renamed = await broker.agents.rename("n32", "n33")

    assert renamed.aliases == [f"n{number}" for number in range(1, 33)]
    with pytest.raises(UnknownAgent):
        await broker.agents.one("n0")


async def test_a_refused_rename_takes_no_former_name_from_anybody(open_broker, send, eventually) -> None:
    broker = await open_broker(msg_ttl=1)
    await broker.mail.read("owner", "s1")
    await broker.agents.rename("owner", "present")
    await ttl_over(broker, send, eventually)  # the former name may be taken
    await renamed_32_times(broker)

    with pytest.raises(AliasLimit):
        await broker.agents.rename("n32", "owner")

    assert (await broker.agents.one("present")).aliases == ["owner"]


async def test_of_two_agents_that_want_one_name_one_gets_it(broker: Broker, hello, send) -> None:
    for number in range(8):
        await broker.sessions.join(hello(f"s-{number}", name=f"a{number}"))
        await send(broker, f"m{number}", to=f"a{number}")

    answers = await asyncio.gather(
        *(broker.agents.rename(f"a{number}", "wanted") for number in range(8)), return_exceptions=True
    )

    assert sum(isinstance(each, NameTaken) for each in answers) == 7
    everything = [await lying(broker, f"a{number}") for number in range(8)]
    assert everything == [[f"m{number}"] for number in range(8)]


async def test_mail_sent_while_a_name_changes_again_and_again_is_not_lost(broker: Broker, send) -> None:
    await send(broker, "first", to="n0")

    async def rename() -> None:
        for number in range(20):
            await broker.agents.rename(f"n{number}", f"n{number + 1}")

    async def write() -> None:
        for number in range(60):
            sent = None
            while sent is None:
                with contextlib.suppress(StoreAway):  # outcome none: the name moved on faster than it was followed
                    sent = await send(broker, f"m{number:02}", to="n0")

    await asyncio.gather(rename(), write())

    assert await lying(broker, "n20") == ["first", *(f"m{number:02}" for number in range(49))]
    assert (await broker.agents.one("n0")).message_count == 61
