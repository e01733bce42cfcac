"""The least rights that docs/deployment.md gives a user: everything works with them, and nothing else is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

import postino
from postino.broker import Broker
from postino.config import Settings
from postino.errors import StoreAway
from postino.model import BroadcastDraft, Draft, Sender
from postino.paths import Home
from postino.store.store import Store
from tests.broker.mailrooms import closing
from tests.nodes import Node, copies
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(180)
DOCUMENT = (Path(postino.__file__).parents[1] / "docs" / "deployment.md").read_text()
CI = Sender(name="ci", via="http")


def documented() -> list[str]:
    """Return the words of the command that the document gives."""
    found = re.search(r"^ACL SETUSER postino .*?(?=^```)", DOCUMENT, re.DOTALL | re.MULTILINE)
    assert found is not None
    return re.sub(r"\\\n", " ", found[0]).replace("'", "").split()


@pytest.fixture(scope="module")
def alone() -> Iterator[Node]:
    """A server without replicas for this file."""
    with copies(0) as nodes:
        yield nodes[0]


def with_user(node: Node, *more: str) -> str:
    """Make the documented user, changed by `more` rules; return the address with its password."""
    node.ask("ACL", "DELUSER", "postino")
    node.ask(*documented(), *more)
    return f"redis://postino:SECRET@127.0.0.1:{node.port}"


async def opened(url: str, home: Home) -> Broker:
    return await Broker.open(Settings(home=home, valkey_url=url, replicas=1))


async def test_the_documented_rights_are_enough_for_everything(home: Home) -> None:
    with copies(1) as nodes:
        async with closing(opened(with_user(nodes[0]), home)) as broker:
            await eventually(lambda: _healthy(broker), "it is healthy")
            sent = await broker.mail.send(Draft(id="m1", to="bob", body="x"), CI)
            assert sent.durability == "replicated"
            await broker.mail.send(Draft(id="m2", to="bob", body="x"), CI)
            batch = await broker.mail.read("bob", "s1", limit=10)
            assert [each.id for each in batch.items] == ["m1", "m2"]
            await broker.mail.extend("bob", "s1", ["m1"])
            await broker.mail.nack("bob", "s1", ["m1"])
            await broker.mail.ack("bob", "s1", ["m2"])
            await broker.broadcasts.broadcast(BroadcastDraft(id="b1", body="x"), CI)
            assert (await broker.broadcasts.read("bob", 10)).items
            await broker.agents.heartbeat("bob")
            await broker.agents.rename("bob", "bert")
            await broker.mail.clear("bert")
            await broker.dead.clear("bert")
            await broker.stats()
            assert (await broker.health()).warnings == []
            assert [line async for line in broker.transfer.export()]
        assert nodes[0].ask("ACL", "LOG") == []


async def _healthy(broker: Broker) -> bool:
    return (await broker.health()).ok


def test_the_documented_rights_let_nothing_else_pass(alone: Node) -> None:
    with_user(alone)

    with Redis(port=alone.port, username="postino", password="SECRET") as client:
        for command in ("FLUSHALL", "KEYS *", "CONFIG SET appendfsync no", "GET {po}:x", "HGETALL other", "ACL LIST"):
            with pytest.raises(NoPermissionError):
                client.execute_command(*command.split())


@pytest.mark.parametrize("command", [each[1:] for each in documented() if each.startswith("+")])
async def test_each_documented_right_is_needed_or_said_to_be_missing(alone: Node, command: str) -> None:
    store = Store(with_user(alone, f"-{command}"), "po:", replicas=1)
    store.open()
    try:
        await store.connect(patience_s=20)
        said = " ".join(store.warnings)
        with pytest.raises(StoreAway) as refused:
            await store.try_write()
        said += refused.value.message
    except StoreAway as error:
        said = error.message
    await store.close()

    name = command.partition("|")[0]
    assert name in ("hello", "client", "cluster", "info", "select") or name.upper() in said.upper(), said
