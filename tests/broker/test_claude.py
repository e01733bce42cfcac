"""One Claude process, one agent; and it is notified of each message once."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from postino.broker import Broker, Hello
from postino.errors import UnknownAgent

PROCESS = "host:100:5"


@pytest.fixture
def claude():
    """The hello of a relay whose Claude process is `pid`."""

    def one(session: str, pid: int = 100, claude: str = "c1", **more) -> Hello:
        known = {"generation": 1, "host": "host", "directory": "/d", "claude_pid": pid, "claude_start": "5"}
        return Hello(session=session, claude_session_id=claude, **(known | more))

    return one


async def found(broker: Broker, agent: str = "bob", claude: str = "c1", session: str = ""):
    return await broker.claude.unnotified(agent, PROCESS, claude, session=session)


async def told(broker: Broker, agent: str = "bob", claude: str = "c1", broadcasts: bool = True, **more):
    waiting = await found(broker, agent, claude)
    await broker.claude.mark_notified(waiting, PROCESS, claude, broadcasts=broadcasts, **more)
    return waiting


async def test_nothing_waits_for_an_agent_nobody_has_written_to(broker: Broker) -> None:
    waiting = await told(broker)

    assert (waiting.unread, waiting.unseen, waiting.new_unread, waiting.new_unseen) == (0, 0, 0, 0)


async def test_a_message_is_new_once_and_waits_until_it_is_read(broker: Broker, send) -> None:
    await send(broker, "m1", sender="ann")

    first, second = await told(broker, how="hook"), await told(broker)

    assert (first.unread, first.new_unread, first.new_senders, first.new_ids) == (1, 1, ["ann?"], ["m1"])
    assert (second.unread, second.new_unread, second.senders, second.new_ids) == (1, 0, ["ann?"], [])
    assert (await broker.mail.state("bob", "m1")).notified == "hook"


async def test_only_what_came_since_is_new(broker: Broker, send) -> None:
    await send(broker, "m1", sender="ann")
    await told(broker)
    await send(broker, "m2", sender="cid")

    waiting = await told(broker)

    assert (waiting.unread, waiting.new_unread, waiting.senders, waiting.new_senders) == (
        2,
        1,
        ["ann?", "cid?"],
        ["cid?"],
    )


async def test_three_senders_are_named_at_most_the_oldest_message_first(broker: Broker, send) -> None:
    for number, sender in enumerate(["d", "c", "d", "b", "a"]):
        await send(broker, f"m{number}", sender=sender)

    assert (await told(broker)).senders == ["d?", "c?", "b?"]


async def test_a_leased_message_does_not_wait(broker: Broker, send) -> None:
    await send(broker, "m1")
    await broker.mail.read("bob", "s-1")

    waiting = await told(broker)

    assert (waiting.unread, waiting.new_unread, waiting.senders) == (0, 0, [])


async def test_looking_tells_nothing(broker: Broker, send) -> None:
    await send(broker, "m1")

    await found(broker)

    assert (await told(broker)).new_unread == 1
    assert (await broker.mail.state("bob", "m1")).notified == "none"


async def test_what_is_told_of_messages_alone_leaves_broadcasts_new(broker: Broker, send, say) -> None:
    await send(broker, "m1")
    await say(broker, "b1")

    await told(broker, broadcasts=False)
    second, third = await told(broker), await told(broker)

    assert (second.new_unread, second.new_unseen, second.unseen) == (0, 1, 1)
    assert (third.new_unseen, third.unseen) == (0, 1)


async def test_another_claude_session_of_the_process_has_been_told_nothing(broker: Broker, send) -> None:
    await send(broker, "m1")
    await told(broker, greeted=True)

    after_clear = await told(broker, claude="c2")

    assert (after_clear.new_unread, after_clear.greeted) == (1, False)


async def test_a_rename_makes_nothing_new(broker: Broker, send, claude) -> None:
    await broker.sessions.join(claude("s-1", name="bob"))
    await send(broker, "m1")
    await told(broker, greeted=True)

    await broker.agents.rename("bob", "bea")
    waiting = await told(broker, "bob")

    assert (waiting.agent, waiting.unread, waiting.new_unread, waiting.greeted) == ("bea", 1, 0, True)


async def test_the_agent_of_the_session_counts_not_an_older_name_for_it(broker: Broker, send, claude) -> None:
    await broker.sessions.join(claude("s-1", name="bob"))
    await broker.agents.rename("bob", "bea")
    await broker.sessions.join(claude("s-2", pid=200, name="bo"))
    await broker.agents.rename("bea", "bob")
    await broker.agents.rename("bob", "bella")
    await send(broker, "m1", to="bella")

    for stale in ("bob", "bea", "bo", "nobody"):
        waiting = await found(broker, stale, session="s-1")
        assert (waiting.agent, waiting.unread) == ("bella", 1)


async def test_a_silent_session_counts_for_its_agent_after_a_rename(broker: Broker, send, claude) -> None:
    await broker.sessions.join(claude("s-1", name="bob"))
    await broker._store.call("ZADD", broker._store.keys.shared("presence"), 1, "s-1")
    await broker._live.expire_presence()
    await broker.agents.rename("bob", "bea")  # does not change the record of a session that is offline
    await send(broker, "m1", to="bea")

    for name in ("bob", "bea"):
        waiting = await found(broker, name, session="s-1")
        assert (waiting.agent, waiting.unread) == ("bea", 1)


async def test_a_process_in_use_is_remembered_though_nothing_is_told(broker: Broker, claude) -> None:
    hello = claude("s-1")
    agent = (await broker.sessions.join(hello)).agent
    waiting = await broker.claude.unnotified(agent, hello.process, "c1")
    await broker.claude.mark_notified(waiting, hello.process, "c1", greeted=True)
    await aged(broker, f"process:{hello.process}")

    await broker.claude.unnotified(agent, hello.process, "c1")
    await broker._live.forget_sessions()

    assert (await broker.claude.unnotified(agent, hello.process, "c1")).greeted


async def test_a_session_is_resumed_under_the_name_that_was_given_to_it_while_it_was_silent(broker, claude) -> None:
    old = (await broker.sessions.join(claude("s-1"))).agent
    await broker._store.call("ZADD", broker._store.keys.shared("presence"), 1, "s-1")
    await broker._live.expire_presence()
    await broker.agents.rename(old, "robert")
    await broker.sessions.keepalive("s-1", 1)
    await aged(broker, "claude:c1")

    await broker.sessions.leave("s-1", 1)
    await broker._live.forget_sessions()

    assert (await broker.sessions.join(claude("s-2", pid=200, directory="/elsewhere"))).agent == "robert"


async def aged(broker: Broker, record: str) -> None:
    """Let what is kept be as old as a time to live."""
    key = broker._store.keys.shared("sessions")
    kept = msgspec.json.decode(await broker._store.call("HGET", key, record))
    kept["at"] -= broker.settings.msg_ttl * 1000 + 1000
    await broker._store.call("HSET", key, record, msgspec.json.encode(kept))


async def test_a_requeued_message_is_new_again(open_broker, send) -> None:
    broker = await open_broker(max_deliveries=1)
    await send(broker, "m1")
    await told(broker)
    await broker.mail.read("bob", "s-1")
    await broker.mail.nack("bob", "s-1", ["m1"])

    await broker.dead.requeue("bob", None)

    assert (await told(broker)).new_unread == 1


async def test_a_message_that_comes_back_is_new_again(broker: Broker, send, hello) -> None:
    await send(broker, "m1", sender="ann")
    await send(broker, "m2", sender="cid")
    await told(broker)
    await broker.sessions.join(hello("s-2", name="bob"))
    await broker.mail.read("bob", "s-2")

    await broker.sessions.leave("s-2", 1)
    first, second = await told(broker), await told(broker)

    assert (first.new_ids, first.new_senders) == (["m1", "m2"], ["ann", "cid"])
    assert second.new_ids == []


async def test_a_message_whose_lease_ended_is_new_again(open_broker, send, due) -> None:
    broker = await open_broker(message_lease=1)
    await send(broker, "m1")
    await told(broker)
    await broker.mail.read("bob", "script")
    assert (await found(broker)).new_unread == 0

    await due(broker)

    assert (await told(broker)).new_ids == ["m1"]


async def test_what_came_while_it_was_told_is_new_to_the_next(broker: Broker, send, say) -> None:
    await send(broker, "m1")
    waiting = await found(broker)
    await send(broker, "m2")
    await say(broker, "b1")

    await broker.claude.mark_notified(waiting, PROCESS, "c1", broadcasts=True)
    then = await found(broker)

    assert (then.unread, then.new_ids, then.new_unseen) == (2, ["m2"], 1)


async def test_what_is_told_late_sets_no_mark_back(broker: Broker, send) -> None:
    await send(broker, "m1")
    early = await found(broker)
    await send(broker, "m2")
    await told(broker)

    await broker.claude.mark_notified(early, PROCESS, "c1")

    assert (await found(broker)).new_ids == []


async def test_the_relay_takes_over_from_the_hook_that_was_first(broker: Broker, claude) -> None:
    _, first = await broker.claude.stand_in(claude("whatever"))
    assert await broker.agents.online() == [first]

    joined = await broker.sessions.join(claude("s-1"))

    assert (joined.agent, joined.shared) == (first, 0)
    assert (await broker.agents.one(joined.agent)).sessions == 1
    assert await broker.claude.session_of(PROCESS) == "s-1"


async def test_two_processes_in_one_directory_are_two_agents_whoever_comes_first(broker: Broker, claude) -> None:
    _, one = await broker.claude.stand_in(claude("", pid=100, claude="c1"))
    _, two = await broker.claude.stand_in(claude("", pid=200, claude="c2"))

    second = await broker.sessions.join(claude("s-2", pid=200, claude="c2"))
    first = await broker.sessions.join(claude("s-1", pid=100, claude="c1"))

    assert one != two
    assert (first.agent, second.agent) == (one, two)


async def test_a_hook_that_comes_just_after_the_relay_speaks_for_it(broker: Broker, claude) -> None:
    await broker.sessions.join(claude("s-0", pid=200, claude="other"))
    joined = await broker.sessions.join(claude("s-1"))  # between the hook's look for it and its joining

    session, agent = await broker.claude.stand_in(claude(""))

    assert (session, agent) == ("s-1", joined.agent)
    assert (await broker.agents.one(agent)).sessions == 1


async def test_whoever_comes_first_hook_and_relay_are_one_agent(broker: Broker, claude) -> None:
    for number in range(20):
        relay = claude(f"s-{number}", pid=300 + number, claude=f"c-{number}")

        (_, hooked), joined = await asyncio.gather(broker.claude.stand_in(relay), broker.sessions.join(relay))

        assert hooked == await broker.sessions.agent_of(relay.session) == joined.agent
        assert await broker.claude.session_of(relay.process) == relay.session


async def test_clients_that_are_not_claude_leave_no_trace_of_their_process(broker: Broker, claude) -> None:
    first = await broker.sessions.join(claude("s-1", claude=None, directory="/a"))
    await broker.sessions.leave("s-1", 1)

    assert (await broker.sessions.join(claude("s-2", claude=None, directory="/b"))).agent != first.agent


async def test_a_process_whose_relay_comes_again_is_the_same_agent(broker: Broker, claude) -> None:
    await broker.sessions.join(claude("s-0", pid=200, claude="other"))
    before = await broker.sessions.join(claude("s-1"))
    await broker.claude.bind("s-1", PROCESS, "c1")
    await broker.sessions.leave("s-1", 1)

    assert (await broker.sessions.join(claude("s-2", claude="throw-away"))).agent == before.agent


async def test_two_relays_under_one_parent_are_two_agents(broker: Broker, claude) -> None:
    one = await broker.sessions.join(claude("s-1"))
    await broker.claude.bind("s-1", PROCESS, "c1")

    assert (await broker.sessions.join(claude("s-2"))).agent != one.agent


async def test_clear_keeps_the_agent_and_a_later_resume_of_either_session_finds_it(broker: Broker, claude) -> None:
    await broker.sessions.join(claude("s-0", pid=200, claude="other"))
    agent = (await broker.sessions.join(claude("s-1"))).agent

    assert await broker.claude.bind("s-1", PROCESS, "c2") == agent
    await broker.sessions.leave("s-1", 1)

    for session in ("c1", "c2"):
        again = await broker.sessions.join(claude(f"s-{session}", pid=300, claude=session))
        assert again.agent == agent
        await broker.sessions.leave(f"s-{session}", 1)


async def test_continue_takes_the_recorded_agent_once_a_hook_names_the_session(broker: Broker, claude) -> None:
    await broker.sessions.join(claude("s-1"))
    await broker.agents.rename((await broker.sessions.agent_of("s-1")), "reviewer")
    await broker.sessions.leave("s-1", 1)
    guessed = (await broker.sessions.join(claude("s-2", pid=200, claude="throw-away", directory="/else"))).agent

    agent = await broker.claude.bind("s-2", "host:200:5", "c1")

    assert guessed != agent
    assert agent == await broker.sessions.agent_of("s-2") == "reviewer"
    assert [each.name for each in (await broker.agents.page(50, 0))[0]] == ["reviewer"]


async def test_an_agent_that_is_online_is_not_taken_by_a_resume(broker: Broker, claude) -> None:
    first = (await broker.sessions.join(claude("s-1"))).agent
    second = (await broker.sessions.join(claude("s-2", pid=200, claude="throw-away"))).agent

    assert await broker.claude.bind("s-2", "host:200:5", "c1") == second != first


@pytest.mark.parametrize("by", ["join", "meet"])
async def test_a_second_process_on_a_session_does_not_take_its_name_from_the_resume(broker: Broker, claude, by) -> None:
    first = await broker.sessions.join(claude("s-1", pid=1))
    second = await broker.sessions.join(claude("s-2", pid=2, claude="c1" if by == "join" else "c2"))
    if by == "meet":
        await broker.claude.bind("s-2", "host:2:5", "c1")
    await broker.sessions.leave("s-2", 1)
    await broker.sessions.leave("s-1", 1)

    resumed = await broker.sessions.join(claude("s-3", pid=3))

    assert second.agent != first.agent == resumed.agent


async def test_a_named_session_keeps_its_name_whatever_it_resumes(broker: Broker, claude) -> None:
    await broker.sessions.join(claude("s-1"))
    await broker.sessions.leave("s-1", 1)
    await broker.sessions.join(claude("s-2", pid=200, claude="c9", name="bob"))

    assert await broker.claude.bind("s-2", "host:200:5", "c1") == "bob"


async def test_the_agent_left_for_a_recorded_one_stays_when_it_has_mail(broker: Broker, claude, send) -> None:
    await broker.sessions.join(claude("s-1"))
    await broker.agents.rename((await broker.sessions.agent_of("s-1")), "reviewer")
    await broker.sessions.leave("s-1", 1)
    guessed = (await broker.sessions.join(claude("s-2", pid=200, claude="throw-away", directory="/else"))).agent
    await send(broker, "m1", to=guessed)

    await broker.claude.bind("s-2", "host:200:5", "c1")

    assert (await broker.agents.one(guessed)).online is False


async def test_a_reconnect_does_not_forget_the_session_that_clear_began(broker: Broker, claude) -> None:
    agent = (await broker.sessions.join(claude("s-1"))).agent
    await broker.claude.bind("s-1", PROCESS, "c2")

    await broker.sessions.join(msgspec.structs.replace(claude("s-1"), generation=2))
    await broker.agents.rename(agent, "bea")
    await broker.sessions.leave("s-1", 2)

    assert (await broker.sessions.join(claude("s-9", pid=300, claude="c2", directory="/elsewhere"))).agent == "bea"


async def test_a_session_nobody_knows_cannot_be_met(broker: Broker) -> None:
    with pytest.raises(UnknownAgent):
        await broker.claude.bind("s-none", PROCESS, "c1")
