"""An altered record of a group costs that group: the others are listed, written to and changed."""

from __future__ import annotations

import pytest

from postino.broker import Broker
from postino.errors import UnknownGroup
from postino.model import Draft, Sender
from postino.several import ManyDraft
from tests.broker.mailrooms import exported

CI = Sender(name="ci", via="http")
each_record = pytest.mark.parametrize(
    "record",
    [
        "", "x", "inf", "7", "{}", '{"agent":7}', '{"name":"team","since":1',
        '{"name":"team","since":"x","members":[]}',
        '{"name":"team","since":1,"members":7}', '{"name":"team","since":1,"members":[7]}',
        '{"name":7,"since":1,"members":["ann"]}', '{"name":"team","since":1e300,"members":["ann"]}',
        '{"name":"team","since":9999999999999999,"members":["ann"]}', '{"name":"team","since":-1,"members":["ann"]}',
    ],
)  # fmt: skip


async def send(broker: Broker, group: str) -> list[str]:
    draft = Draft(id=f"to-{group}", to=group, body="x")
    return [each.to for each in (await broker.groups.send_many(ManyDraft(to=f"#{group}", draft=draft), CI)).recipients]


@each_record
async def test_a_group_whose_record_cannot_be_read_is_none_until_somebody_joins_it(broker: Broker, record: str) -> None:
    for group in ("team", "other"):
        for name in ("ann", "bob"):
            await broker.groups.add(group, name)
    await broker._store.call("HSET", broker._store.keys.shared("groups"), "team", record)

    assert [each.name for each in (await broker.groups.page(10, 0))[0]] == ["other"]
    assert await send(broker, "other") == ["ann", "bob"]
    with pytest.raises(UnknownGroup, match="record of #team was altered"):
        await send(broker, "team")
    await broker.mail.send(Draft(id="m1", to="team", body="x"), CI)  # no agent's name: groups of it are looked for
    await exported(broker)
    assert not (await broker.groups.remove("team", "ann")).changed
    await broker.agents.rename("ann", "anna")
    joined = await broker.groups.add("team", "bob")
    assert (joined.group, joined.changed, joined.members) == ("team", True, 1)
    assert await send(broker, "team") == ["bob"]
    assert {each.name: each.members for each in (await broker.groups.page(10, 0))[0]} == {
        "other": ["anna", "bob"], "team": ["bob"],
    }  # fmt: skip
