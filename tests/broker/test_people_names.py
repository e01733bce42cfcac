"""The names of people: which they get and keep, beside those of agents and groups."""

from __future__ import annotations

from typing import Any

import pytest

from postino.broker import Broker
from postino.errors import NameReserved, NameTaken, UnknownAgent
from postino.model import Draft
from tests.broker.test_people import open_ids


async def test_human_is_no_sender_and_no_name_to_take(people: Broker) -> None:
    with pytest.raises(NameReserved):
        Draft(id="m1", to="all", body="hello")
    with pytest.raises(UnknownAgent):
        await people.people.seen("human", ["m1"])
    with pytest.raises(UnknownAgent, match="people: ann, robert"):
        await people.people.inbox("bob", 10)


async def test_a_person_and_an_agent_never_share_a_name(people: Broker, hello: Any) -> None:
    with pytest.raises(NameTaken, match="is a person"):
        await people.sessions.join(hello(name="robert"))
    await people.sessions.join(hello(name="bob"))
    with pytest.raises(NameTaken, match="is a person"):
        await people.agents.rename("bob", "robert")
    with pytest.raises(NameTaken, match="agent that is online"):
        await people.people.register("bob")
    await people.mail.read("reader", "c1")
    with pytest.raises(NameTaken, match="reader is an agent"):
        await people.people.register("reader")
    await people.sessions.join(hello("s-1", name="eve"))
    await people.sessions.leave("s-1", 1)
    with pytest.raises(NameTaken, match="eve is an agent"):  # it has not read, but its session acted
        await people.people.register("eve")
    await people.people._table.register("eve", chosen=True)
    with pytest.raises(NameTaken, match="is a person"):
        await people.sessions.join(hello("s-1", 2, name="eve"))


async def test_a_member_of_a_group_keeps_its_name_from_people(people: Broker, hello: Any) -> None:
    await people.sessions.join(hello("s-1", name="adder"))
    await people.groups.add("team", "adder")
    await people.sessions.leave("s-1", 1)
    await people.agents.heartbeat("beats")
    await people.groups.add("team", "beats")
    await people.groups.add("team", "added")

    for name in ("adder", "beats"):
        with pytest.raises(NameTaken, match=f"{name} is an agent"):
            await people.people.register(name)
    assert (await people.people.register("added")).name == "added"  # somebody else has put it there


async def test_the_login_name_gives_way_to_an_agent_and_a_chosen_name_does_not(broker: Broker, send: Any) -> None:
    await send(broker, "m1", to="robert")
    await broker.mail.read("robert", "c1")

    await broker.people.settle("robert")
    assert await broker.people.own() == "robert"

    await broker.mail.read("root", "c1")
    table = broker.people._table
    with pytest.raises(NameTaken):
        await table.register("root", chosen=False)
    assert await table.register("root", chosen=True) == "root"


async def test_the_name_is_followed_by_dot_human_where_an_agent_is_online(broker: Broker, hello: Any) -> None:
    await broker.sessions.join(hello(name="robert"))

    await broker.people.settle("robert")

    assert await broker.people.own() == "robert.human"


async def test_a_rename_takes_everything_along(people: Broker, send: Any) -> None:
    await send(people, "m1", to="robert")
    await send(people, "m2", to="robert")
    await send(people, "h1", to="human")
    await people.people.seen("robert", ["m1", "h1"])
    await people.people.settle("robert")

    await people.agents.rename("robert", "bob")

    assert await people.people.own() == "bob"
    assert await open_ids(people, "bob") == {"m1": "bob", "m2": None, "h1": "bob"}
    assert (await people.people.seen("bob", ["h1"])).seen == ["h1"]
    assert (await people.people.done("robert", ["m1", "m2", "h1"])).done == ["m1", "m2", "h1"]
