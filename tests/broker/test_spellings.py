"""Two spellings that differ only in case are one agent, whose name is the one that came first."""

from __future__ import annotations

import pytest

from postino.broker import Broker, Hello
from postino.broker.history_filter import Search
from postino.errors import BadField, NameTaken, UnknownAgent
from postino.model import Draft, Sender
from postino.several import ManyDraft
from tests.broker.mailrooms import imported
from tests.broker.mailrooms import raw as raw_export

CI = Sender(name="ci", via="http")
FORMS = ("Reviewer", "reviewer", "REVIEWER")


async def send(broker: Broker, id: str, to: str, sender: str = "ci") -> str:
    return (await broker.mail.send(Draft(id=id, to=to, body="x"), Sender(name=sender, via="http"))).to


async def raw(broker: Broker, name: str) -> str | None:
    return await broker._store.call("HGET", broker._store.keys.shared("agents"), name)


@pytest.mark.parametrize("first", FORMS)
async def test_mail_to_any_spelling_is_in_one_inbox_under_the_first(broker: Broker, first: str) -> None:
    await send(broker, "m0", first)
    reached = {await send(broker, f"m-{form}", form) for form in FORMS}

    assert reached == {first}
    assert list((await broker.agents.names()).agents) == [first]
    for form in FORMS:
        assert (await broker.agents.one(form)).name == first
        assert (await broker.agents.check(form)).unread_messages == 4
        assert (await broker.mail.state(form, "m0")).to == first
        assert len((await broker.history.search(Search(agent=form))).items) == 4
        assert len((await broker.history.search(Search(to=form, with_="CI"))).items) == 4
    assert [each.id for each in (await broker.mail.read("reviewer", "c", limit=1)).items] == ["m0"]
    assert (await broker.mail.ack("REVIEWER", "c", ["m0"])).acknowledged == ["m0"]
    assert (await broker.agents.one("rEVIEWER")).aliases == []


@pytest.mark.parametrize("form", ("reviewer", "REVIEWER", "rEVIEWER"))
async def test_a_read_under_another_spelling_is_of_the_same_agent(broker: Broker, form: str) -> None:
    await send(broker, "m1", "Reviewer")

    assert [each.id for each in (await broker.mail.read(form, "c")).items] == ["m1"]
    assert list((await broker.agents.names()).agents) == ["Reviewer"]


async def test_a_sender_is_found_under_any_spelling(broker: Broker) -> None:
    await broker.agents.heartbeat("Reviewer")
    for number, form in enumerate(FORMS):
        await send(broker, f"m{number}", "bob", sender=form)

    for form in FORMS:
        assert len((await broker.history.search(Search(agent=form))).items) == 3
        assert len((await broker.history.search(Search(from_=form))).items) == 3
        assert len((await broker.history.search(Search(agent="bob", with_=form))).items) == 3


async def test_a_session_and_a_heartbeat_under_another_spelling_are_of_the_same_agent(broker: Broker) -> None:
    await broker.agents.heartbeat("Reviewer")
    joined = await broker.sessions.join(Hello(session="s-1", generation=1, name="REVIEWER"))
    await broker.agents.heartbeat("reviewer")

    assert (joined.agent, joined.shared) == ("Reviewer", 1)
    assert (await broker.agents.one("reviewer")).sessions == 2
    assert await broker.agents.online() == ["Reviewer"]


async def test_an_agent_may_change_the_case_of_its_own_name(broker: Broker) -> None:
    await send(broker, "m1", "reviewer")
    there = await broker.agents.rename("reviewer", "Reviewer")
    assert await send(broker, "m2", "reviewer") == "Reviewer"
    back = await broker.agents.rename("REVIEWER", "reviewer")

    assert (there.name, back.name, back.old) == ("Reviewer", "reviewer", "Reviewer")
    assert await send(broker, "m3", "REVIEWER") == "reviewer"
    assert (await broker.agents.check("Reviewer")).unread_messages == 3


async def test_a_former_case_of_a_name_is_never_free_for_another_agent(broker: Broker) -> None:
    for id, to in (("m1", "Bob"), ("m2", "dave")):
        await send(broker, id, to)
    await broker.agents.rename("Bob", "BOB")
    await broker.mail.clear("BOB")
    await broker._store.call("HSET", broker._store.keys.shared("agents"), "Bob", "@BOB 1000")  # unused for long

    with pytest.raises(NameTaken, match="former name of BOB"):
        await broker.agents.rename("dave", "Bob")


async def test_a_rename_to_another_spelling_of_a_taken_name_is_refused_and_of_a_free_one_takes_the_first(
    broker: Broker,
) -> None:
    await send(broker, "m1", "Reviewer")
    await broker.agents.heartbeat("bob")
    with pytest.raises(NameTaken, match="Reviewer has mail"):
        await broker.agents.rename("bob", "reviewer")
    await broker.mail.clear("reviewer")
    renamed = await broker.agents.rename("bob", "REVIEWER")

    assert (renamed.name, (await broker.agents.one("reviewer")).name) == ("Reviewer", "Reviewer")
    assert list((await broker.agents.names()).agents) == ["Reviewer"]


async def test_a_former_name_is_found_in_any_case_and_free_once_it_is_forgotten(broker: Broker) -> None:
    await broker.agents.heartbeat("Reviewer")
    await broker.agents.rename("reviewer", "Auditor")
    assert [await send(broker, f"m{form}", form) for form in (*FORMS, "auditor")] == ["Auditor"] * 4
    await broker.mail.clear("AUDITOR")
    await broker.agents.offline("auditor")
    await broker.agents.forget("auditor")

    assert [await raw(broker, name) for name in ("auditor", "Auditor", "reviewer", "Reviewer")] == [None] * 4
    with pytest.raises(UnknownAgent):
        await broker.agents.one("Reviewer")
    assert await send(broker, "again", "REVIEWER") == "REVIEWER"
    assert await send(broker, "again2", "reviewer") == "REVIEWER"


async def test_groups_and_lists_know_spellings(broker: Broker) -> None:
    await broker.agents.heartbeat("Reviewer")
    await broker.groups.add("team", "reviewer")
    again = await broker.groups.add("team", "REVIEWER")
    draft = Draft(id="m1", to="team", body="x")
    sent = await broker.groups.send_many(ManyDraft(to=["bob", "REVIEWER"], draft=draft), CI)
    await broker.agents.rename("bob", "Robert")
    with pytest.raises(BadField, match="BOB and robert are names of one agent, Robert"):
        await broker.groups.send_many(ManyDraft(to=["BOB", "robert"], draft=draft), CI)

    assert (again.agent, again.changed, again.members) == ("Reviewer", False, 1)
    assert [each.to for each in sent.recipients] == ["bob", "Reviewer"]


# older data, whose names have no spellings yet


async def test_the_names_of_older_data_are_found_in_any_case(broker: Broker, open_broker) -> None:
    await send(broker, "m1", "Reviewer")
    await broker.agents.heartbeat("Builder")
    await broker.agents.rename("Builder", "Maker")
    agents = broker._store.keys.shared("agents")
    await broker._store.call("HDEL", agents, "reviewer", "builder", "maker")
    assert (await broker.agents.check("reviewer")).unread_messages == 0
    upgraded = await open_broker()

    assert [await send(upgraded, f"n{name}", name) for name in ("reviewer", "BUILDER")] == ["Reviewer", "Maker"]
    assert (await upgraded.agents.check("reviewer")).unread_messages == 2
    assert (await upgraded.health()).warnings == (await broker.health()).warnings


async def test_two_agents_of_older_data_that_differ_in_case_stay_two_and_are_told_about(
    broker: Broker, open_broker
) -> None:
    await send(broker, "m1", "Reviewer")
    agents = broker._store.keys.shared("agents")
    await broker._store.call("HSET", agents, "reviewer", '{"since":1,"seen":2}')
    upgraded = await open_broker()
    reached = [await send(upgraded, f"n{form}", form) for form in FORMS]

    assert reached == ["Reviewer", "reviewer", "reviewer"]
    assert [(await upgraded.agents.check(form)).unread_messages for form in FORMS] == [2, 2, 2]
    (warning,) = [each for each in (await upgraded.health()).warnings if "differ only in case" in each]
    assert warning.startswith("the agents Reviewer and reviewer differ only in case")
    await upgraded.agents.rename("Reviewer", "auditor")
    await upgraded.stats()
    assert not [each for each in (await upgraded.health()).warnings if "differ only in case" in each]
    assert b'"name":"reviewer"' in b"".join(await raw_export(upgraded))


async def test_an_export_with_two_such_agents_is_imported_as_it_is(broker: Broker, open_broker) -> None:
    await send(broker, "m1", "Reviewer")
    await broker._store.call("HSET", broker._store.keys.shared("agents"), "reviewer", '{"since":1,"seen":2}')
    await send(broker, "m2", "reviewer")
    second = await open_broker(key_prefix="spelled:")
    await imported(second, await raw_export(broker))

    assert [(await second.agents.check(form)).unread_messages for form in FORMS[:2]] == [1, 1]


@pytest.mark.parametrize("joined", ("ROBERT", "Bob"))  # an agent of the file and a former name of it
async def test_an_import_takes_in_who_has_joined_under_another_spelling(
    first: Broker, second: Broker, joined: str
) -> None:
    await second.sessions.join(Hello(session="s-1", generation=1, name=joined))
    await second.agents.heartbeat(joined)

    await imported(second, await raw_export(first))

    names = list((await second.agents.names()).agents)
    assert len({name.lower() for name in names}) == len(names)
    assert await second.sessions.agent_of("s-1") == "robert"
    assert (await second.agents.one(joined)).sessions == 2
    assert (await second.mail.read(joined, "c")).items
