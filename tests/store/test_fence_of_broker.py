"""The fence of a whole broker: whatever it says is done is on a replica."""

from __future__ import annotations

import asyncio
import contextlib
import signal

import pytest

from postino.broker import Broker
from postino.config import Settings
from postino.errors import KeyReused, StoreAway
from postino.model import Draft, Sender, Sent
from postino.paths import Home
from postino.store import fence
from tests.broker.mailrooms import closing
from tests.nodes import Node, copies
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(180)


def broker_on(node: Node, home: Home) -> contextlib.AbstractAsyncContextManager[Broker]:
    return closing(Broker.open(Settings(home=home, valkey_url=f"redis://127.0.0.1:{node.port}", replicas=1)))


async def test_whatever_is_said_to_be_done_waits_for_replicas(pair: list[Node], home: Home) -> None:
    async with broker_on(pair[0], home) as broker:
        await broker.groups.add("team", "ada")
        await broker.agents.heartbeat("eve")
        await broker.agents.offline("eve")
        pair[1].signal(signal.SIGSTOP)

        outcomes = await asyncio.gather(
            broker.groups.add("team", "ben"),
            broker.groups.remove("team", "ada"),
            broker.people.register("cleo"),
            broker.agents.rename("ada", "ida"),
            broker.agents.forget("eve"),
            broker.mail.clear("ada"),
            broker.dead.requeue("ada", ["m1"]),
            broker.broadcasts.clear(),
            return_exceptions=True,
        )

    assert [type(each) for each in outcomes] == [StoreAway] * len(outcomes)


async def test_without_the_fence_a_failover_undoes_what_was_said_to_be_done(
    monkeypatch: pytest.MonkeyPatch, home: Home
) -> None:
    unfenced = fence.PROMISING - {"group_leave", "person"}
    monkeypatch.setattr("postino.store.store.PROMISING", unfenced)
    with copies(1) as (primary, replica):
        async with broker_on(primary, home) as broker:
            await broker.groups.add("team", "ada")
            replica.signal(signal.SIGSTOP)
            assert (await broker.groups.remove("team", "ada")).changed
            assert (await broker.people.register("cleo")).name == "cleo"
        primary.kill()
        replica.kill()  # else it would still find what waits in its socket
        replica.start()

        assert "ada" in replica.ask("HGET", "{po}:groups", "team")
        assert replica.ask("HEXISTS", "{po}:agents", "cleo") == 0


async def test_the_end_of_an_import_is_said_when_replicas_have_it(pair: list[Node], home: Home) -> None:
    async with broker_on(pair[0], home) as broker:
        await broker.transfer._table.begin("0123456789abcdef")
        pair[1].signal(signal.SIGSTOP)
        abandoning = asyncio.create_task(broker.transfer.abandon())
        await eventually(lambda: not pair[0].ask("HEXISTS", "{po}:meta", "imports4"), "the primary has it")
        with pytest.raises(StoreAway):
            await broker.mail.send(Draft(id="m1", to="bob", body="hello"), Sender(name="ci", via="http"))
        assert not abandoning.done()
        pair[1].signal(signal.SIGCONT)

        assert await abandoning is True
        assert pair[1].ask("HEXISTS", "{po}:meta", "imports4") == 0


async def test_a_daemon_that_starts_without_replicas_makes_its_user_a_person_later(
    pair: list[Node], home: Home
) -> None:
    async with broker_on(pair[0], home) as broker:
        pair[1].signal(signal.SIGSTOP)
        await broker.people.settle("zoe")
        assert await broker.people.own() is None
        pair[1].signal(signal.SIGCONT)

        assert await eventually(broker.people.own, "she is a person") == "zoe"
    pair[1].signal(signal.SIGSTOP)
    async with broker_on(pair[0], home) as broker:  # nothing is written now, so nothing waits
        await broker.people.settle("zoe")
        assert broker.people.here == "zoe"


async def test_joined_sends_share_a_fence_and_each_of_them_is_accepted_or_refused(pair: list[Node], home: Home) -> None:
    async with broker_on(pair[0], home) as broker:
        ci = Sender(name="ci", via="http")
        await broker.mail.send(Draft(id="m0", to="bob", body="hello"), ci)

        drafts = [Draft(id=f"m{number % 2 * number}", to="bob", body=f"body {number}") for number in range(40)]
        found = await asyncio.gather(*(broker.mail.send(each, ci) for each in drafts), return_exceptions=True)

        assert [type(each) for each in found] == [KeyReused, Sent] * 20
        assert pair[1].ask("XLEN", broker._store.keys.of("inbox", "bob")) == 21
