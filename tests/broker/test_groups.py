"""Several recipients: all of them or none, in one step; and groups, which are lists that last."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from postino.broker import Broker
from postino.broker.history_filter import Search
from postino.errors import BadField, BadName, EmptyGroup, GroupFull, InboxFull, KeyReused, UnknownGroup
from postino.model import Draft, Sender
from postino.several import ManyDraft, SentMany, addressed
from postino.values import MAX_GROUPS, MAX_MEMBERS
from tests.broker.mailrooms import imported, raw

CI = Sender(name="ci", via="http")
ADA = Sender(name="ada", via="mcp", verified=True)


async def send_many(broker: Broker, id: str, to: str | list[str], sender: Sender = CI, body: str = "hello") -> SentMany:
    draft = Draft(id=id, to=addressed(to)[0], body=body)
    return await broker.groups.send_many(ManyDraft(to=to, draft=draft), sender)


async def unread(broker: Broker, *names: str) -> list[int]:
    return [(await broker.mail.peek(each, 1, 0))[1] for each in names]


async def test_each_of_a_list_gets_a_message_of_its_own(broker: Broker, events) -> None:
    await broker.agents.heartbeat("ada")
    await broker.mail.send(Draft(id="first", to="bob", body="x"), CI)
    sent = await send_many(broker, "m1", ["ada", "bob"])
    one = await broker.mail.read("ada", "c-1", ack_now=True)

    assert [(each.to, each.seq, each.created, each.known, each.online) for each in sent.recipients] == [
        ("ada", 1, True, True, True),
        ("bob", 2, True, False, False),
    ]
    assert (sent.created, sent.group, sent.durability) == (True, None, "fsync")
    assert sent.recipients[0].reach == "online: gets it with its next read"
    assert [(each.id, each.to, each.body) for each in one.items] == [("m1", "ada", "hello")]
    assert (await broker.mail.state("ada", "m1")).state == "acked"
    assert (await broker.mail.state("bob", "m1")).state == "queued"
    assert [each.data["to"] for each in await events(broker, "msg_send")][1:] == ["ada", "bob"]


async def test_the_history_has_one_entry_found_by_each_recipient_and_with_the_state_of_each(broker: Broker) -> None:
    await send_many(broker, "m1", ["ada", "bob", "eve"], body="to all")
    await broker.mail.read("bob", "c-1", ack_now=True)
    pages = [await broker.history.search(Search(agent=each)) for each in ("ada", "bob", "eve", "ci", "dan")]
    entry = pages[0].items[0]

    assert [len(page.items) for page in pages] == [1, 1, 1, 1, 0]
    assert (entry.to, entry.state, entry.altered) == ("ada, bob, eve", "queued", entry.tree)  # both are unset
    assert [(each.to, each.state) for each in entry.recipients] == [
        ("ada", "queued"),
        ("bob", "acked"),
        ("eve", "queued"),
    ]
    assert [len((await broker.history.search(Search(agent="ci", with_=each))).items) for each in ("eve", "dan")] == [
        1,
        0,
    ]
    assert (await broker.history.search(Search(agent="ada", with_="eve"))).items == []  # neither wrote to the other
    assert len((await broker.history.search(Search(q="m1"))).items) == 1


async def test_a_repeat_is_stored_once_for_each_and_reaches_whoever_lacked_it(broker: Broker) -> None:
    await send_many(broker, "m1", ["ada", "bob"])
    again, wider = await send_many(broker, "m1", ["bob", "ada"]), await send_many(broker, "m1", ["ada", "eve"])

    assert (again.created, [each.created for each in again.recipients]) == (False, [False, False])
    assert (wider.created, [each.created for each in wider.recipients]) == (True, [False, True])
    assert await unread(broker, "ada", "bob", "eve") == [1, 1, 1]
    assert [each.to for each in (await broker.history.search(Search(agent="ci"))).items] == ["eve", "ada, bob"]


async def test_a_reader_sees_who_else_of_a_list_got_a_message(broker: Broker) -> None:
    many = [f"a{number:02}" for number in range(12)]
    await send_many(broker, "m1", ["ada", "bob"])
    await send_many(broker, "m2", ["ada", *many])
    await send_many(broker, "m3", ["ada"])
    await send_many(broker, "m1", ["ada", "bob", "eve"])  # the same message, to one more
    got = (await broker.mail.read("ada", "c-1", ack_now=True)).items
    (eve,) = (await broker.mail.read("eve", "c-1")).items

    assert [(each.sent_to, each.sent_to_total, each.altered) for each in got] == [
        (["ada", "bob"], msgspec.UNSET, msgspec.UNSET),
        (["ada", *many[:9]], 13, msgspec.UNSET),
        (msgspec.UNSET, msgspec.UNSET, msgspec.UNSET),
    ]
    assert eve.sent_to == ["ada", "bob", "eve"]


async def test_one_id_with_other_content_for_one_stores_nothing(broker: Broker) -> None:
    await broker.mail.send(Draft(id="m1", to="bob", body="other"), CI)
    with pytest.raises(KeyReused, match="for bob"):
        await send_many(broker, "m1", ["ada", "bob"])

    assert await unread(broker, "ada", "bob") == [0, 1]


async def test_one_full_inbox_refuses_the_message_for_all(open_broker, events) -> None:
    broker = await open_broker(max_inbox=2)
    for number in range(2):
        await broker.mail.send(Draft(id=f"m{number}", to="bob", body="x"), CI)
    with pytest.raises(InboxFull, match="bob already holds 2"):
        await send_many(broker, "many", ["ada", "bob", "eve"])

    assert await unread(broker, "ada", "bob", "eve") == [0, 2, 0]
    assert len(await events(broker, "msg_send")) == 2
    assert "ada" not in (await broker.agents.names()).agents
    await broker.mail.read("bob", "c-1", ack_now=True)
    assert (await send_many(broker, "many", ["ada", "bob", "eve"])).created


@pytest.mark.parametrize(
    ("to", "error", "words"),
    [
        (["ada", "b b"], BadName, "to[1]"),
        (["ada", "all"], BadName, "reserved"),
        (["ada", "ADA"], BadField, "twice"),
        (["ada", "#team"], BadName, "a group cannot be in a list"),
        ([], BadField, "0 names"),
        ([f"a{number}" for number in range(51)], BadField, "51 names"),
        ("#all", BadName, "reserved"),
        ("#", BadName, "to must be"),
        ("##team", BadName, "to must be"),
    ],
)
def test_a_wrong_recipient_is_refused_before_anything_is_stored(to, error, words: str) -> None:
    with pytest.raises(error, match=words.replace("[", r"\[").replace("]", r"\]")) as refused:
        addressed(to)

    assert refused.value.detail["field"].startswith("to")


async def test_an_alias_is_followed_and_two_names_of_one_agent_are_refused(broker: Broker) -> None:
    await broker.agents.heartbeat("bob")
    await broker.agents.rename("bob", "robert")
    sent = await send_many(broker, "m1", ["ada", "bob"])
    with pytest.raises(BadField, match="robert and bob are names of one agent, robert"):
        await send_many(broker, "m2", ["robert", "ada", "bob"])

    assert [each.to for each in sent.recipients] == ["ada", "robert"]
    assert await unread(broker, "ada", "robert") == [1, 1]


async def test_a_group_reaches_its_members_but_not_the_sender(broker: Broker) -> None:
    joined = [await broker.groups.add("Team", each) for each in ("ada", "bob", "eve")]
    again = await broker.groups.add("team", "eve")
    sent = await send_many(broker, "m1", "#TEAM", ADA)
    await broker.groups.remove("team", "eve")
    await send_many(broker, "m2", "#team")

    assert [(each.group, each.members, each.changed, each.known) for each in joined] == [
        ("Team", 1, True, False),
        ("Team", 2, True, False),
        ("Team", 3, True, False),
    ]
    assert (again.changed, again.members) == (False, 3)
    assert (sent.group, [each.to for each in sent.recipients]) == ("Team", ["bob", "eve"])
    assert [(await broker.agents.one(each)).groups for each in ("bob", "eve")] == [["team"], []]
    assert await unread(broker, "ada", "bob", "eve") == [1, 2, 1]
    assert [each.group for each in (await broker.mail.peek("bob", 2, 0))[0]] == ["Team", "Team"]
    assert [each.to for each in (await broker.history.search(Search(agent="bob"))).items] == ["#Team", "#Team"]


async def test_a_group_of_nobody_is_told_and_an_unknown_one_with_the_nearest_names(broker: Broker) -> None:
    await broker.groups.add("team", "ada")
    with pytest.raises(EmptyGroup, match="nobody but ada"):
        await send_many(broker, "m1", "#team", ADA)
    with pytest.raises(UnknownGroup, match="did you mean #team") as unknown:
        await send_many(broker, "m1", "#taem")
    not_there = await broker.groups.remove("teem", "ada")
    await broker.groups.remove("team", "ada")  # the last member ends it
    with pytest.raises(UnknownGroup):
        await send_many(broker, "m1", "#team")

    assert unknown.value.detail["names"] == ["team"]
    assert (not_there.changed, not_there.names) == (False, ["team"])
    assert not_there.note == "there is no group #teem; did you mean #team?"
    assert await broker.groups.page(50, 0) == ([], 0)


async def test_an_agent_and_a_group_of_one_name_are_told_apart(broker: Broker) -> None:
    await broker.groups.add("Team", "ada")
    await broker.agents.heartbeat("reviewer")
    one = await broker.mail.send(Draft(id="m1", to="team", body="x"), CI)
    some = await send_many(broker, "m2", ["reviewer", "team"])
    with pytest.raises(UnknownGroup, match="no group #Reviewer; reviewer is an agent: write to it without #"):
        await send_many(broker, "m3", "#Reviewer")

    assert one.names == ["#Team"]
    waits = "nobody of that name has been seen; the message waits for one; there is a group #Team"
    assert (one.reach.removesuffix("; online: reviewer"), some.recipients[1].reach) == (waits, waits)
    assert [each.names for each in some.recipients] == [[], ["#Team"]]
    with pytest.raises(UnknownGroup, match=r"^there is no group #team2; did you mean #Team\?$"):
        await broker.mail.send(Draft(id="m4", to="team2", body="x"), CI)  # a mailbox is no group
        await send_many(broker, "m5", "#team2")


async def test_a_group_has_two_hundred_members_and_a_message_reaches_all_in_one_step(broker: Broker) -> None:
    await asyncio.gather(*(broker.groups.add("all-of-us", f"a{number}") for number in range(MAX_MEMBERS)))
    with pytest.raises(GroupFull, match="already has 200 members"):
        await broker.groups.add("all-of-us", "one-more")
    await broker.agents.names()
    before = broker.round_trips
    sent = await send_many(broker, "m1", "#all-of-us")

    assert len(sent.recipients) == MAX_MEMBERS
    assert (
        broker.round_trips - before <= 7
    )  # the group, the present names, the message, groups of these names, the nearest
    entry = (await broker.history.search(Search(agent="a199"))).items[0]
    assert (len(entry.recipients), {each.state for each in entry.recipients}) == (MAX_MEMBERS, {"queued"})


async def test_an_agent_is_in_so_many_groups_at_most(broker: Broker) -> None:
    for number in range(MAX_GROUPS):
        await broker.groups.add(f"g{number}", "ada")
    with pytest.raises(GroupFull, match="in 64 groups"):
        await broker.groups.add("one-more", "ada")

    assert len((await broker.agents.one("ada")).groups) == MAX_GROUPS


async def test_a_rename_keeps_the_membership_and_who_takes_the_old_name_later_has_none(broker: Broker) -> None:
    await broker.groups.add("team", "ada")
    await broker.groups.add("team", "bob")
    await broker.groups.add("other", "robert")  # put there before the rename
    await broker.agents.heartbeat("bob")
    await broker.agents.rename("bob", "robert")
    sent = await send_many(broker, "m1", "#team")

    assert [each.to for each in sent.recipients] == ["ada", "robert"]
    assert (await broker.agents.one("robert")).groups == ["team", "other"]
    assert [each.members for each in (await broker.groups.page(50, 0))[0]] == [["robert"], ["ada", "robert"]]
    await broker.groups.remove("team", "bob")  # its alias
    assert [each.members for each in (await broker.groups.page(50, 0))[0]] == [["robert"], ["ada"]]


async def test_a_forgotten_agent_leaves_its_groups(broker: Broker) -> None:
    await broker.groups.add("team", "ada")
    await broker.groups.add("team", "bob")
    await broker.agents.forget("bob")

    assert [each.to for each in (await send_many(broker, "m1", "#team")).recipients] == ["ada"]
    await broker.groups.add("team", "bob")
    assert (await broker.agents.one("bob")).groups == ["team"]


@pytest.mark.parametrize("change", ["joins", "leaves", "is renamed"])
async def test_a_group_that_changes_while_a_message_is_sent_is_read_again(broker: Broker, monkeypatch, change) -> None:
    for each in ("ada", "bob"):
        await broker.groups.add("team", each)
    send, changes = broker.groups.send, [change]

    async def meanwhile(names, many, sender, record=""):
        match changes and changes.pop():
            case "joins":
                await broker.groups.add("team", "eve")
            case "leaves":
                await broker.groups.remove("team", "bob")
            case "is renamed":
                await broker.agents.rename("bob", "robert")
        return await send(names, many, sender, record)

    monkeypatch.setattr(broker.groups, "send", meanwhile)
    sent = await send_many(broker, "m1", "#team")
    reached = {"joins": ["ada", "bob", "eve"], "leaves": ["ada"], "is renamed": ["ada", "robert"]}[change]

    assert sorted(each.to for each in sent.recipients) == reached
    assert await unread(broker, *reached) == [1] * len(reached)


async def test_groups_and_what_was_sent_to_several_survive_an_export(open_broker, broker: Broker) -> None:
    await broker.groups.add("Team", "ada")
    await broker.groups.add("Team", "bob")
    await send_many(broker, "m1", "#team")
    await send_many(broker, "m2", [f"{'n' * 60}{number:02}" for number in range(50)])
    second = await open_broker(key_prefix="grouped:")
    await imported(second, await raw(broker))

    assert (await second.groups.page(50, 0))[0][0].members == ["ada", "bob"]
    assert (await second.agents.one("ada")).groups == ["team"]
    (listed,) = (await second.mail.peek(f"{'n' * 60}07", 1, 0))[0]
    assert (len(listed.sent_to), listed.sent_to_total, listed.altered) == (10, 50, msgspec.UNSET)
    for entry, before in zip(
        (await second.history.search(Search(agent="ci"))).items,
        (await broker.history.search(Search(agent="ci"))).items,
        strict=True,
    ):
        assert (entry.to, entry.recipients, entry.altered) == (before.to, before.recipients, before.altered)
    assert not (await send_many(second, "m1", "#team")).created
    assert not (await send_many(second, "m2", [f"{'n' * 60}{number:02}" for number in range(50)])).created


async def test_groups_of_another_prefix_are_others(open_broker, broker: Broker) -> None:
    await broker.groups.add("team", "ada")
    other = await open_broker(key_prefix="ungrouped:")

    with pytest.raises(UnknownGroup):
        await send_many(other, "m1", "#team")


async def test_two_lists_sent_at_once_in_opposite_order_reach_all_in_one_order(broker: Broker) -> None:
    names = [f"a{number}" for number in range(20)]
    sends = [send_many(broker, f"m{at}", names if at % 2 else names[::-1]) for at in range(20)]
    await asyncio.gather(*sends)
    orders = {tuple(each.id for each in (await broker.mail.peek(name, 50, 0))[0]) for name in names}

    assert len(orders) == 1
