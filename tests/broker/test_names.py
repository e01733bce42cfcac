"""What a session is called: derived names never collide, chosen ones may be shared."""

from __future__ import annotations

import asyncio
import re

import pytest

from postino.broker import Broker
from postino.broker.sessions import directory_name, earlier_name
from postino.errors import BadName, UnknownAgent
from postino.values import check_name

HOME = {"host": "laptop", "directory": "/home/me/project"}


async def test_an_explicit_name_wins(broker: Broker, hello) -> None:
    joined = await broker.sessions.join(hello(name="alice", terminal="ABCDEFGH", **HOME))

    assert (joined.agent, joined.shared, joined.derived) == ("alice", 0, False)


@pytest.mark.parametrize("name", ["all", "Human", "system", "postino", "-x", "a b", "x" * 65, "ä"])
async def test_an_explicit_name_that_cannot_be_one_is_refused(broker: Broker, hello, name: str) -> None:
    with pytest.raises(BadName):
        await broker.sessions.join(hello(name=name))

    assert (await broker.agents.page(50, 0))[1] == 0


async def test_a_terminal_names_its_session(broker: Broker, hello) -> None:
    assert (await broker.sessions.join(hello(terminal="1A2b.-_9", **HOME))).agent == "agent-1A2b.-_9"


async def test_a_directory_names_its_first_live_session_and_each_further_one_is_its_own(broker: Broker, hello) -> None:
    first, second, third = [await broker.sessions.join(hello(**HOME)) for _ in range(3)]
    elsewhere = await broker.sessions.join(hello(host="laptop", directory="/elsewhere"))
    other_host = await broker.sessions.join(hello(host="server", directory="/home/me/project"))

    names = [each.agent for each in (first, second, third, elsewhere, other_host)]
    assert len(set(names)) == 5
    assert all(each.derived and each.shared == 0 for each in (first, second, third))
    own, folder, another = "agent-[0-9a-f]{8}", "project-[0-9a-f]{4}", "elsewhere-[0-9a-f]{4}"
    for name, form in zip(names, (folder, own, own, another, folder), strict=True):
        assert re.fullmatch(form, name)


@pytest.mark.parametrize(
    ("directory", "form"),
    [
        ("/", "agent-"),
        ("/home/me/.config", "config-"),
        ("/home/me/My App (2)", "My-App-2-"),
        ("/srv/caf\u00e9", "cafe-"),
        ("/srv/\u043f\u0440\u043e\u0435\u043a\u0442", "agent-"),
        ("/srv/" + "x" * 200, "x" * 40 + "-"),
        ("/srv/a\ufffdb\x1b[0m", "ab-0m-"),
        ("/srv/all", "all-"),
    ],
)
async def test_any_folder_makes_a_name(broker: Broker, hello, directory: str, form: str) -> None:
    name = (await broker.sessions.join(hello(host="laptop", directory=directory))).agent

    assert check_name(name) and re.fullmatch(re.escape(form) + "[0-9a-f]{4}", name)


async def test_a_directory_keeps_what_it_had_under_the_earlier_form_of_its_name(broker: Broker, hello, send) -> None:
    earlier = earlier_name(hello(**HOME))
    await broker.sessions.join(hello("s-old", name=earlier))
    await broker.sessions.leave("s-old", 1)
    await send(broker, "m1", to=earlier)

    first, second = await asyncio.gather(*(broker.sessions.join(hello(**HOME)) for _ in range(2)))
    await send(broker, "m2", to=earlier)

    folder, own = sorted((first.agent, second.agent), reverse=True)
    assert folder.startswith("project-") and own.startswith("agent-")
    assert (await broker.agents.one(folder)).aliases == [earlier]
    assert [each.id for each in (await broker.mail.peek(folder, 50, 0))[0]] == ["m1", "m2"]


async def test_a_session_that_still_has_the_earlier_form_keeps_it_beside_further_ones(broker: Broker, hello) -> None:
    earlier = earlier_name(hello(**HOME))
    await broker.sessions.join(hello("s-old", name=earlier))

    beside = (await broker.sessions.join(hello(**HOME))).agent

    assert await broker.sessions.agent_of("s-old") == earlier
    assert beside.startswith("agent-") and beside != earlier
    assert (await broker.agents.one(earlier)).sessions == 1


async def test_where_both_forms_have_mail_neither_is_lost(broker: Broker, hello, send) -> None:
    earlier, name = earlier_name(hello(**HOME)), directory_name(hello(**HOME))
    await send(broker, "m1", to=earlier)
    await send(broker, "m2", to=name)

    joined = await broker.sessions.join(hello(**HOME))

    assert joined.agent == earlier
    assert [await broker.mail.length(each) for each in (earlier, name)] == [1, 1]


async def test_a_note_left_for_a_directory_is_found_by_tomorrows_session(broker: Broker, hello, send) -> None:
    today = hello(**HOME)
    name = (await broker.sessions.join(today)).agent
    await broker.sessions.leave(today.session, 1)
    await send(broker, "note", to=name)

    tomorrow = await broker.sessions.join(hello(**HOME))

    assert tomorrow.agent == name
    assert [each.id for each in (await broker.mail.peek(tomorrow.agent, 50, 0))[0]] == ["note"]


@pytest.mark.parametrize("terminal", ["", "toolong9x", "a b", "ä", "$(x)"])
async def test_a_terminal_that_cannot_be_a_name_is_passed_over(broker: Broker, hello, terminal: str) -> None:
    plain = (await broker.sessions.join(hello("s-1", **HOME))).agent
    await broker.sessions.leave("s-1", 1)

    assert (await broker.sessions.join(hello("s-2", terminal=terminal, **HOME))).agent == plain


async def test_a_session_without_terminal_and_directory_has_a_name_of_its_own(broker: Broker, hello) -> None:
    one, two = await broker.sessions.join(hello("s-1")), await broker.sessions.join(hello("s-2"))

    assert one.agent != two.agent
    assert one.derived


async def test_forty_sessions_that_start_at_once_get_forty_names(broker: Broker, hello) -> None:
    joined = await asyncio.gather(*(broker.sessions.join(hello(terminal="SAMETERM", **HOME)) for _ in range(40)))

    assert len({each.agent for each in joined}) == 40
    assert all(each.shared == 0 for each in joined)


async def test_a_chosen_name_may_be_shared_and_each_is_told(broker: Broker, hello) -> None:
    joined = [await broker.sessions.join(hello(name="team")) for _ in range(3)]

    assert [each.shared for each in joined] == [0, 1, 2]
    assert (await broker.agents.one("team")).sessions == 3


async def test_a_session_that_reconnects_keeps_its_agent(broker: Broker, hello) -> None:
    first = await broker.sessions.join(hello("s-1", **HOME))
    await broker.sessions.join(hello("s-2", **HOME))

    again = await broker.sessions.join(hello("s-1", 2, **HOME))

    assert (again.agent, again.shared, again.derived) == (first.agent, 0, True)


async def test_a_session_that_reconnects_after_a_rename_keeps_the_new_name(broker: Broker, hello) -> None:
    await broker.sessions.join(hello("s-1", name="alice"))
    await broker.agents.rename("alice", "alicia")

    assert (await broker.sessions.join(hello("s-1", 2, name="alice"))).agent == "alicia"


async def test_two_live_sessions_do_not_share_a_derived_name_even_after_one_was_away(broker: Broker, hello) -> None:
    first = await broker.sessions.join(hello("s-1", **HOME))
    await broker.sessions.leave("s-1", 1)
    second = await broker.sessions.join(hello("s-2", **HOME))
    assert second.agent == first.agent

    back = await broker.sessions.join(hello("s-1", 2, **HOME))

    assert back.agent != second.agent
    assert back.shared == 0
    assert (await broker.agents.one(second.agent)).sessions == 1
    assert await broker.sessions.agent_of("s-1") == back.agent


async def silent(broker: Broker, session: str) -> None:
    """Let the last sign of life of a session be too long ago, as after a sleep of its machine."""
    presence, now = broker._store.keys.shared("presence"), await broker._store.now_ms()
    await broker._store.call("ZADD", presence, now - 1, session)


async def test_two_live_sessions_do_not_share_a_derived_name_even_after_one_slept(broker: Broker, hello) -> None:
    asleep = hello("s-1", **HOME)
    first = await broker.sessions.join(asleep)
    await silent(broker, "s-1")
    second = await broker.sessions.join(hello("s-2", **HOME))
    assert second.agent == first.agent

    await broker.sessions.keepalive("s-1", 1)

    with pytest.raises(UnknownAgent):  # and so it joins again
        await broker.sessions.agent_of("s-1")
    assert (await broker.sessions.join(asleep)).agent != second.agent
    assert (await broker.agents.one(second.agent)).sessions == 1


async def test_a_session_that_slept_does_not_act_under_a_derived_name_that_went_to_another(broker, hello, send) -> None:
    first = await broker.sessions.join(hello("s-1", **HOME))
    await silent(broker, "s-1")
    assert (await broker.sessions.join(hello("s-2", **HOME))).agent == first.agent

    with pytest.raises(UnknownAgent):
        await broker.sessions.agent_of("s-1")


async def test_a_session_whose_own_name_was_resumed_by_another_gets_a_further_one(broker: Broker, hello) -> None:
    first = await broker.sessions.join(hello("s-1", claude_session_id="c-1"))
    await silent(broker, "s-1")
    resumed = await broker.sessions.join(hello("s-2", claude_session_id="c-1"))
    assert resumed.agent == first.agent

    await broker.sessions.keepalive("s-1", 1)
    back = await broker.sessions.join(hello("s-1", claude_session_id="c-1"))

    assert (back.agent, back.shared) == (f"{first.agent}-2", 0)


@pytest.mark.parametrize("way", ["prolong", "meet", "leave", "join"])
async def test_a_rename_reaches_a_session_that_was_silent(broker: Broker, hello, send, way) -> None:
    await broker.sessions.join(hello("s-1", name="alice"))
    await send(broker, "m1", to="alice")
    await broker.mail.read("alice", "s-1")
    await silent(broker, "s-1")
    await broker._live.expire_presence()
    await broker.agents.rename("alice", "bob")

    if way == "prolong":
        await broker.sessions.keepalive("s-1", 1)
    elif way == "meet":
        await broker.claude.bind("s-1", "host:1:5", "c-1")
    elif way == "leave":
        await broker.sessions.leave("s-1", 1)
    else:
        await broker.sessions.join(hello("s-1", 2, name="alice"))
    await send(broker, "m2", to="alice")

    assert await broker.sessions.agent_of("s-1") == "bob"
    assert [(each.name, each.aliases) for each in (await broker.agents.page(9, 0))[0]] == [("bob", ["alice"])]
    assert [each.id for each in (await broker.mail.peek("bob", 9, 0))[0]] == ["m1", "m2"]
    if way == "leave":
        assert (await broker.agents.check("bob")).unread_messages == 2


async def test_a_session_that_chose_its_new_name_keeps_it_when_it_is_shared(broker: Broker, hello) -> None:
    name = (await broker.sessions.join(hello("s-1", **HOME))).agent
    await broker.agents.rename(name, "alice")
    await broker.sessions.join(hello("s-2", name="alice"))

    back = await broker.sessions.join(hello("s-1", 2, **HOME))

    assert (back.agent, back.shared) == ("alice", 1)


async def test_a_resumed_claude_session_takes_the_name_it_had(broker: Broker, hello) -> None:
    await broker.sessions.join(hello("s-1", name="alice", claude_session_id="c-1"))
    await broker.sessions.leave("s-1", 1)
    await broker.agents.rename("alice", "alicia")

    assert (await broker.sessions.join(hello("s-2", claude_session_id="c-1", **HOME))).agent == "alicia"


async def test_a_resumed_claude_session_does_not_take_the_name_of_a_live_one(broker: Broker, hello) -> None:
    await broker.sessions.join(hello("s-1", name="alice", claude_session_id="c-1"))

    assert (await broker.sessions.join(hello("s-2", claude_session_id="c-1", **HOME))).agent != "alice"


async def test_the_name_of_a_claude_session_is_kept_for_one_ttl_after_its_end(open_broker, hello, eventually) -> None:
    broker = await open_broker(msg_ttl=1)
    await broker.sessions.join(hello("s-1", name="alice", claude_session_id="c-1"))

    async def forgotten() -> bool:  # it lives longer than the record of its start
        await broker._live.forget_sessions()
        return await broker._live.session("claude:c-1") is None

    await eventually(forgotten, "the start is one time to live ago")
    await broker.sessions.leave("s-1", 1)

    assert (await broker.sessions.join(hello("s-2", claude_session_id="c-1", **HOME))).agent == "alice"


async def test_a_derived_name_that_was_renamed_leads_to_the_present_one(broker: Broker, hello) -> None:
    name = (await broker.sessions.join(hello("s-1", **HOME))).agent
    await broker.agents.rename(name, "alice")
    beside = await broker.sessions.join(hello("s-2", **HOME))
    await broker.sessions.leave("s-1", 1)

    assert beside.agent not in (name, "alice")
    assert (await broker.sessions.join(hello("s-3", **HOME))).agent == "alice"
