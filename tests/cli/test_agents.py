"""agents, rename."""

from __future__ import annotations

import pytest

from tests.waiting import until


def named(postino, name: str) -> dict[str, object] | None:
    items = postino.json("agents", "--limit", "200")["items"]
    return next((item for item in items if item["name"] == name), None)


def test_agents_are_listed_with_what_waits_for_them(postino) -> None:
    postino.ok("send", "a1-bob", "hello")
    assert named(postino, "a1-bob").items() >= {"name": "a1-bob", "online": False, "messageCount": 1}.items()
    assert postino.json("agents", "a1-bob") == named(postino, "a1-bob")
    rows = postino.ok("agents", "--limit", "200").splitlines()
    assert rows[0].split()[:5] == ["NAME", "MAIL", "LAST", "SEEN", "SESSIONS"]
    assert ["a1-bob", "offline", "1", "never", "0"] in [row.split() for row in rows]


def test_a_rename_moves_the_mail_and_keeps_the_old_name_as_an_alias(postino) -> None:
    postino.ok("send", "a2-bob", "hello")
    assert postino.ok("rename", "a2-bob", "a2-rob") == "renamed a2-bob to a2-rob\n"
    answer = postino.json("rename", "a2-bert", "--agent", "a2-rob")
    assert (answer["ok"], answer["name"], answer["old"]) == (True, "a2-bert", "a2-rob")
    assert set(answer["aliases"]) == {"a2-bob", "a2-rob"}
    heading = postino.ok("agents", "a2-bert").splitlines()[0]
    assert heading.split() == ["NAME", "MAIL", "LAST", "SEEN", "SESSIONS", "ALSO", "KNOWN", "AS"], "no empty column"
    assert postino.json("read", "--agent", "a2-bob")["items"][0]["body"] == "hello"
    assert postino.ok("rename", "a2-tim", POSTINO_AGENT_NAME="a2-bert") == "renamed a2-bert to a2-tim\n"


def test_a_name_in_use_is_refused(postino) -> None:
    postino.ok("send", "a3-bob", "hello")
    postino.ok("send", "a3-eve", "hello")
    assert "a3-eve" in postino.no(3, "rename", "a3-bob", "a3-eve").lower()


def test_an_agent_that_must_exist_and_does_not_is_exit_3_with_the_nearest(postino) -> None:
    postino.ok("send", "a4-builder", "hello")
    postino.ok("read", "--agent", "a4-builder")
    # the daemon may remember the names it knows for a second
    until(lambda: "a4-builder" in postino.no(3, "agents", "a4-bilder"), "the name is near")
    postino.no(3, "rename", "a4-nobody-at-all", "a4-x")
    said = postino.no(3, "agents", "--forget", "a4-nobody-at-all")
    assert said == "there is no agent named a4-nobody-at-all; `postino agents` lists all there are"


def test_forgetting_takes_those_that_are_gone_and_have_no_mail(postino) -> None:
    postino.ok("send", "a5-bob", "hello")
    said = postino.no(3, "agents", "--forget", "a5-bob")
    assert said == "a5-bob has mail: 1 in the inbox (`postino clear a5-bob` deletes that)"
    postino.ok("read", "--agent", "a5-bob")
    assert postino.ok("agents", "--forget", "a5-bob") == "forgot a5-bob\n"
    assert named(postino, "a5-bob") is None


def test_a_verb_that_is_an_option_is_named(postino) -> None:
    assert "did you mean --forget?" in postino.no(2, "agents", "forget", "m2-ann")


def test_cleanup_forgets_them_all(postino) -> None:
    postino.ok("send", "a6-bob", "hello")
    postino.ok("send", "a6-eve", "hello")
    postino.ok("read", "--agent", "a6-bob")
    assert "a6-bob" in postino.json("agents", "--cleanup")["forgotten"]
    assert named(postino, "a6-bob") is None
    assert named(postino, "a6-eve") is not None


@pytest.mark.parametrize(
    "args",
    [
        ["agents", "--limit", "x"],
        ["agents", "--offset", "-1"],
        ["agents", "a b"],
        ["agents", "a7-bob", "--cleanup"],
        ["agents", "--forget", "a/b"],
        ["rename"],
        ["rename", "a7-a", "b c"],
        ["rename", "a7-a", "system"],
        ["rename", "a7-a", "a7-b", "--agent", "a7-c"],
        ["rename", "a7-a", "a7-b", "a7-c"],
    ],
)
def test_bad_input_is_exit_2(postino, args) -> None:
    postino.no(2, *args)
