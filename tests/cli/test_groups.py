"""The command groups, and send to several."""

from __future__ import annotations


def test_several_agents_are_written_to_by_a_list_or_repeated(postino) -> None:
    sent = postino.ok("send", "axolotl,marmoset", "hello", "--to", "wombat", "--from", "g1-ci")
    listed = postino.json("history", "--agent", "wombat")["items"]

    assert sent.startswith("sent to 3 agents, id ")
    assert "axolotl, marmoset, wombat: nobody of that name has been seen" in sent
    assert [(each["to"], len(each["recipients"])) for each in listed] == [("axolotl, marmoset, wombat", 3)]
    assert "  to axolotl, marmoset, wombat  " in postino.ok("read", "marmoset")
    shown = postino.ok("history", "--agent", "g1-ci")
    assert shown.startswith("g1-ci → axolotl, marmoset, wombat  ") and "  queued, 1 of 3 acked  " in shown
    assert "twice" in postino.no(2, "send", "axolotl,AXOLOTL", "x")
    assert "to[1]" in postino.no(2, "send", "axolotl,,marmoset", "x")


def test_a_group_is_made_by_its_first_member_shown_and_left(postino) -> None:
    assert (
        postino.ok("groups", "join", "g2-Reviewers", "--agent", "g2-ada")
        == "g2-ada joined #g2-Reviewers, which has 1 member\n"
    )
    postino.ok("groups", "join", "#g2-reviewers", "--agent", "g2-bob")
    postino.ok("groups", "join", "g2-reviewers", "--agent", "g2-bob")
    sent = postino.json("send", "#g2-reviewers", "hello", "--from", "g2-ada")

    assert [each["to"] for each in sent["recipients"]] == ["g2-bob"]
    assert "  to #g2-Reviewers  " in postino.ok("read", "g2-bob", "--peek")
    assert postino.ok("groups", "members", "g2-reviewers") == "g2-ada\ng2-bob\n"
    row = next(line for line in postino.ok("groups").splitlines() if "g2-Reviewers" in line)
    assert row.split() == ["#g2-Reviewers", "2", "g2-ada,", "g2-bob"]
    assert (
        postino.ok("groups", "leave", "g2-reviewers", "--agent", "g2-bob")
        == "g2-bob left #g2-Reviewers, which has 1 member\n"
    )
    assert "was not in" in postino.ok("groups", "leave", "g2-reviewers", "--agent", "g2-bob")
    for words in (("members",), ("leave", "--agent", "g2-ada")):
        near, far = [postino.no(3, "groups", words[0], name, *words[1:]) for name in ("g2-revewers", "nothing-like-it")]
        assert near == "there is no group #g2-revewers; did you mean #g2-Reviewers?"
        assert far == "there is no group #nothing-like-it; `postino groups` lists them"
    assert "there is a group #g2-Reviewers" in postino.ok("send", "g2-reviewers", "hello")
    assert "one agent" in postino.no(2, "ask", "g2-ada,g2-bob", "who?", "--from", "g2-eve")
    assert "group name missing" in postino.no(2, "groups", "join")
    assert "; an agent is given by --agent NAME (see" in postino.no(2, "groups", "join", "g2-reviewers", "g2-ada")
