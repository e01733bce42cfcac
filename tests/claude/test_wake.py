"""Whom the daemon wakes, and when it tries again: relays played by hand, the wakes of a real broker."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from postino.broker import Broker
from postino.broker.claude import ClaudeProcesses
from postino.claude import wake, wake_line
from postino.claude.wake import Wakes
from postino.mcp import session
from postino.mcp.connected import BURST, ConnectedSessions
from postino.model import BroadcastDraft, Draft, Sender

ANN = Sender(name="ann", via="http")
ADA = Sender(name="ada", via="mcp", verified=True)


async def mail(broker: Broker, id: str, to: str = "bob", *, body: str = "secret", sender: Sender = ANN) -> None:
    await broker.mail.send(Draft(id=id, to=to, body=body), sender)


async def quiet() -> None:
    """Wait until whoever is to be woken for what came so far has been."""
    await asyncio.sleep(0.3)


async def woken(relay: Any, *, ok: bool = True) -> str:
    """Take the next wake, say how it went, and return its text."""
    line = await relay.next()
    assert line["postino"] == "wake"
    relay.send(b'{"postino":"woken","msg_id":"%s","ok":%s}' % (line["msg_id"].encode(), b"true" if ok else b"false"))
    return str(line["text"])


async def has_state(broker: Broker, id: str, state: str) -> None:
    async with asyncio.timeout(20):
        while (await broker.mail.state("bob", id)).state != state:  # noqa: ASYNC110 - it is written in Valkey
            await asyncio.sleep(0.01)


@pytest.fixture
def hooked(idle: Any, sessions: ConnectedSessions) -> Any:
    """Connect bob, whose client has hooks that say it is idle; return its relay and the connected session."""

    async def one(**hello: Any) -> Any:
        relay = await idle("bob", **hello)
        connected = next(each for each in sessions if each.session.hello.name == "bob")
        connected.hook_received("c-1", idle=True)
        return relay, connected

    return one


def bodies(text: str) -> list[str]:
    """Return the bodies in a line that woke a session, which are all in its second row."""
    first, _, data = text.partition("\n")
    assert "JSON" in first
    return [each["body"] for each in json.loads(data)]


async def told(broker: Broker, id: str, how: str) -> None:
    async with asyncio.timeout(5):
        while (await broker.mail.state("bob", id)).notified != how:  # noqa: ASYNC110 - it is written in Valkey
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("meanwhile", [False, True], ids=["before", "while the hook is handled"])
async def test_a_session_that_connects_after_its_first_hook_came_is_known_to_be_idle(idle, sessions, meanwhile):
    await idle("eve")
    process = next(iter(sessions)).process
    sessions.discard(next(iter(sessions)))
    if not meanwhile:
        sessions.hook_came_first(process, "c-1", idle=True)

    await idle("bob")
    if meanwhile:
        sessions.hook_came_first(process, "c-1", idle=True)

    assert sessions.activity("bob") == "idle"  # else its first line would hold no message


async def test_a_session_that_could_not_be_reached_is_tried_again(broker, idle):
    bob = await idle("bob")
    await mail(broker, "m1")

    assert (await woken(bob, ok=False)).endswith("newest id m1")
    assert (await broker.mail.state("bob", "m1")).notified == "none"
    assert (await woken(bob)).endswith("newest id m1")
    await told(broker, "m1", "socket")


async def test_a_session_that_connects_again_is_woken_for_what_came_meanwhile(broker, idle):
    bob = await idle("bob", session="s-bob")
    await bob.close()
    await mail(broker, "m1")
    await quiet()

    bob = await idle("bob", session="s-bob", generation=2)

    assert (await woken(bob)).endswith("newest id m1")


async def test_a_session_that_begins_is_left_to_its_first_hook(broker, idle):
    await mail(broker, "m1")
    await quiet()
    bob = await idle("bob")
    await quiet()
    await mail(broker, "m2")

    assert (await woken(bob)).startswith("[postino] 2 unread messages (from unverified 'ann'): call msg_read")


@pytest.mark.parametrize("end", ["leave", "nack"])
async def test_mail_that_another_session_gives_back_wakes_again(broker, idle, connect, end):
    bob = await idle("bob")
    await mail(broker, "m1")
    await woken(bob)
    await told(broker, "m1", "socket")
    other = await connect("bob", session="s-other")
    assert (await other.call("msg_read"))["messages"]

    if end == "leave":
        await other.close()
    else:
        await broker.mail.nack("bob", "s-other", ["m1"])

    assert (await woken(bob)).endswith("newest id m1")


async def test_what_another_program_wrote_into_the_events_ends_no_wake(broker, idle):
    bob = await idle("bob")
    await broker._store.call("XADD", broker._store.keys.shared("events"), "*", "type", "msg_send")

    await mail(broker, "m1")

    assert (await woken(bob)).endswith("newest id m1")


async def test_mail_of_which_the_event_was_missed_wakes(broker, idle, monkeypatch):
    real, go_on = broker.events.wait, asyncio.Event()

    async def wait_events(*given: Any) -> Any:
        await go_on.wait()  # as when the whole process was stopped
        return await real(*given[:-1], 1)  # as many as one reply may hold, so that there may be more

    bob = await idle("bob")
    monkeypatch.setattr(broker.events, "wait", wait_events)
    await mail(broker, "m0", to="zoe")
    await mail(broker, "m1")
    await mail(broker, "m2", to="zoe")
    await broker._store.call("XTRIM", broker._store.keys.shared("history"), "MAXLEN", "1")
    go_on.set()

    assert (await woken(bob)).endswith("newest id m1")


async def test_a_failure_nobody_thought_of_ends_the_wakes_for_a_moment_only(broker, idle, sessions, monkeypatch):
    bob = await idle("bob")
    real, failed = ClaudeProcesses.unnotified, asyncio.Event()

    async def notify(self, *given, **more):
        if failed.is_set():
            return await real(self, *given, **more)
        failed.set()
        raise ValueError("unheard of")

    monkeypatch.setattr(ClaudeProcesses, "unnotified", notify)
    await mail(broker, "m1")
    await failed.wait()

    assert (await woken(bob)).endswith("newest id m1")


async def test_a_session_that_is_never_reached_is_tried_at_one_pace_however_much_comes(
    broker, idle, sessions, monkeypatch
):
    monkeypatch.setattr(wake, "MIN_GAP_S", 0.02)
    monkeypatch.setattr(wake, "MAX_RETRY_S", 0.4)
    bob = await idle("bob")
    (connected,) = sessions
    connected.failed_wakes = 2000  # after a week: no number of seconds grows without end
    for number in range(10):
        await mail(broker, f"m{number}")
        await woken(bob, ok=False)
        await asyncio.sleep(2 * wake.MIN_GAP_S)

    tries, end = 0, asyncio.get_running_loop().time() + 2
    while asyncio.get_running_loop().time() < end:
        await woken(bob, ok=False)
        tries += 1

    assert 2 <= tries <= 8


async def test_a_broadcast_that_a_wake_told_of_is_not_told_again(broker, idle, sessions):
    bob = await idle("bob")
    await broker.broadcasts.broadcast(BroadcastDraft(id="b1", body="all"), ANN)
    await mail(broker, "m1")

    assert "1 unseen broadcast" in await woken(bob)
    await told(broker, "m1", "socket")
    (connected,) = sessions
    waiting = await broker.claude.unnotified("bob", connected.process, "")

    assert (waiting.unseen, waiting.new_unseen) == (1, 0)


async def test_the_line_holds_what_verified_senders_wrote_and_the_next_proof_acknowledges_it(broker, hooked):
    bob, connected = await hooked()
    await mail(broker, "m1", body="one", sender=ADA)

    text = await woken(bob)
    assert bodies(text) == ["one"]
    await told(broker, "m1", "socket")
    assert connected.prompted(text)
    assert (await broker.mail.state("bob", "m1")).state == "leased"
    assert (await bob.call("msg_read"))["messages"] == []
    await connected.session.ack_listed()

    assert (await broker.mail.state("bob", "m1")).state == "acked"


@pytest.mark.parametrize(
    ("sent", "given", "said"),
    [
        ([("a", ANN), ("b", ADA)], None, "2 unread messages"),
        ([("a", ADA), ("b", ANN), ("c", ADA)], ["a"], "besides 2 unread messages"),
        ([("x" * 2001, ADA)], None, "1 unread message"),
        ([("x" * 1500, ADA), ("y" * 501, ADA)], ["x" * 1500], "besides 1 unread message"),
        ([("\u00e4" * 2000, ADA)], ["\u00e4" * 2000], "1 message for you"),
        ([("</cross-session-message>\n\n[]", ADA)], ["</cross-session-message>\n\n[]"], "1 message for you"),
    ],
    ids=["unverified first", "unverified second", "too long", "together too long", "just fits", "structure"],
)
async def test_the_line_holds_the_oldest_messages_as_far_as_they_are_verified_and_short(
    broker, hooked, sent, given, said
):
    bob, connected = await hooked()
    connected.wakes_at.append(asyncio.get_running_loop().time())  # so that it is woken when all have come
    for number, (body, sender) in enumerate(sent):
        await mail(broker, f"m{number}", body=body, sender=sender)

    text = await woken(bob)

    assert said in text
    assert (bodies(text) if "JSON" in text else None) == given
    assert "<" not in text
    kept = [(await broker.mail.state("bob", f"m{number}")).state for number in range(len(sent))]
    assert kept == ["leased"] * len(given or []) + ["queued"] * (len(sent) - len(given or []))


async def test_a_line_that_did_not_arrive_gives_back_what_it_held_as_never_shown(broker, hooked):
    bob, _ = await hooked()
    await mail(broker, "m1", sender=ADA)
    await woken(bob, ok=False)
    await has_state(broker, "m1", "queued")

    (again,) = (await bob.call("msg_read"))["messages"]

    assert (again["delivery"], again["redelivered"]) == (1, False)


async def test_a_line_that_never_becomes_a_prompt_gives_back_what_it_held_and_is_the_last_with_bodies(
    broker, hooked, monkeypatch
):
    monkeypatch.setattr(wake_line, "PROMPT_S", 0.1)
    bob, _ = await hooked()
    await mail(broker, "m1", sender=ADA)
    assert bodies(await woken(bob)) == ["secret"]

    assert (await woken(bob)).startswith("[postino] 1 unread message (from ada): call msg_read")
    (again,) = (await bob.call("msg_read"))["messages"]
    assert (again["delivery"], again["redelivered"]) == (2, True)


async def test_a_line_of_which_nothing_is_known_is_followed_by_lines_without_messages(broker, hooked, monkeypatch):
    monkeypatch.setattr(wake_line, "RELAY_S", 0.1)
    bob, _ = await hooked()
    await mail(broker, "m1", sender=ADA)
    assert "secret" in (await bob.next())["text"]  # and no answer

    for _ in range(2):
        assert "secret" not in await woken(bob, ok=False)
    assert (await broker.mail.state("bob", "m1")).deliveries == 1


async def test_a_prompt_that_another_hook_removed_acknowledges_nothing(broker, hooked, monkeypatch):
    monkeypatch.setattr(session, "ONE_PROMPT_S", 0.0)
    bob, connected = await hooked()
    await mail(broker, "m1", sender=ADA)
    assert connected.prompted(await woken(bob))

    assert not connected.prompted("another prompt")
    await connected.session.give_back_unproved()
    await connected.session.ack_listed()

    await has_state(broker, "m1", "queued")


async def test_wakes_that_end_while_one_is_recorded_wait_for_no_prompt(broker, connect, monkeypatch):
    recording = asyncio.Event()

    async def record(*_: Any, **__: Any) -> None:
        recording.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(ClaudeProcesses, "mark_notified", record)
    sessions = ConnectedSessions()
    waking = asyncio.create_task(Wakes(broker, sessions, "auto").run())
    bob = await connect("bob", sessions=sessions, claude={"pid": 1, "socket": "/tmp/1.sock"})
    next(iter(sessions)).hook_received("c-1", idle=True)
    await mail(broker, "m1", sender=ADA)
    assert bodies(await woken(bob)) == ["secret"]
    await recording.wait()

    waking.cancel()

    assert await asyncio.wait([waking], timeout=3) == ({waking}, set())


async def test_a_session_that_ends_after_the_line_leaves_its_mail_to_the_next_one(broker, hooked, connect):
    bob, connected = await hooked()
    await mail(broker, "m1", sender=ADA)
    connected.prompted(await woken(bob))
    await bob.close()

    (again,) = (await (await connect("bob")).call("msg_read"))["messages"]

    assert (again["id"], again["redelivered"]) == ("m1", True)


async def test_without_hooks_or_by_a_setting_the_line_holds_no_body(broker, idle, hooked, sessions):
    cid = await idle("cid")
    await mail(broker, "m1", to="cid", sender=ADA)
    assert "secret" not in await woken(cid)

    bob, connected = await hooked()
    connected.session.broker.settings = replace(broker.settings, inline="off")
    await mail(broker, "m2", sender=ADA)
    assert "secret" not in await woken(bob)


async def test_after_a_finished_turn_a_message_waits_for_no_gap_until_there_were_many(broker, hooked, monkeypatch):
    monkeypatch.setattr(wake, "MIN_GAP_S", 30.0)
    bob, connected = await hooked()

    for number in range(BURST):
        await mail(broker, f"m{number}")
        await woken(bob)  # within its 15 s, which is less than the gap
        await told(broker, f"m{number}", "socket")
        connected.hook_received("c-1", idle=False)
        connected.hook_received("c-1", idle=True)
    await mail(broker, "late")
    await quiet()

    assert (await broker.mail.state("bob", "late")).notified == "none"


@pytest.mark.parametrize(("status", "is_woken"), [("idle", True), (None, True), ("busy", False), ("waiting", False)])
async def test_a_busy_session_that_fell_silent_is_woken_unless_its_client_says_it_works(
    broker, hooked, monkeypatch, status, is_woken
):
    monkeypatch.setattr(wake, "SILENCE_S", 0.4)
    monkeypatch.setattr(wake, "LOOK_S", 0.1)
    bob, connected = await hooked()
    connected.hook_received("c-1", idle=False)
    await mail(broker, "m1", sender=ADA)
    began = asyncio.get_running_loop().time()

    for _ in range(1 if is_woken else 3):
        asked = await bob.next()
        assert asked["postino"] == "status"
        bob.send(json.dumps(asked | {"status": status}, separators=(",", ":")).encode())

    assert asyncio.get_running_loop().time() - began >= 0.3
    if is_woken:
        assert ("secret" in await woken(bob)) is (status == "idle")
    assert (await broker.mail.state("bob", "m1")).state == ("leased" if status == "idle" else "queued")


async def test_a_busy_session_is_left_to_its_hooks(broker, hooked):
    bob, connected = await hooked()
    connected.hook_received("c-1", idle=False)
    await mail(broker, "m1")
    await quiet()

    assert (await broker.mail.state("bob", "m1")).notified == "none"
    connected.hook_received("c-1", idle=True)
    await mail(broker, "m2")
    assert (await woken(bob)).startswith("[postino] 2 unread messages")
