"""The command groups, and send to several."""

from __future__ import annotations


def test_several_agents_are_written_to_by_a_list_or_repeated(postino) -> None:
    sent = postino.ok("send", "axolotl,marmoset", "hello", "--to", "wombat", "--from", "g1-ci")
    listed = postino.json("history", "--agent", "wombat")["items"]

    assert sent.startswith("sent to 3 agents, id ")
    assert "axolotl, marmoset, wombat: nobody of that name has been seen" in sent
    assert [(each["to"], len(each["recipients"])) for each in listed] == [("axolotl, marmoset, wombat", 3)]
    assert "  to axolotl, marmoset, wombat  " in postino.ok("read", "marmoset")
    assert "g1-ci → axolotl, marmoset, wombat  just now  queued, 1 of 3 acked" in postino.ok(
        "history", "--agent", "g1-ci"
    )
    assert "twice" in postino.no(2, "send", "axolotl,AXOLOTL", "x")
    assert "to[1]" in postino.no(2, "send", "axolotl,,marmoset", "x")


def test_a_group_is_made_by_its_first_member_shown_and_left(postino) -> None:
    assert (
        postino.ok("groups", "join", "g2-Team", "--agent", "g2-ada") == "g2-ada joined #g2-Team, which has 1 member\n"
    )
    postino.ok("groups", "join", "#g2-team", "--agent", "g2-bob")
    postino.ok("groups", "join", "g2-team", "--agent", "g2-bob")
    sent = postino.json("send", "#g2-team", "hello", "--from", "g2-ada")

    assert [each["to"] for each in sent["recipients"]] == ["g2-bob"]
    assert "  to #g2-Team  " in postino.ok("read", "g2-bob", "--peek")
    assert postino.ok("groups", "members", "g2-team") == "g2-ada\ng2-bob\n"
    row = next(line for line in postino.ok("groups").splitlines() if "g2-Team" in line)
    assert row.split() == ["#g2-Team", "2", "g2-ada,", "g2-bob"]
    assert postino.ok("groups", "leave", "g2-team", "--agent", "g2-bob") == "g2-bob left #g2-Team, which has 1 member\n"
    assert "was not in" in postino.ok("groups", "leave", "g2-team", "--agent", "g2-bob")
    for verb in ("members", "leave"):
        assert "no group #g2-teem; did you mean #g2-Team?" in postino.no(
            3, "groups", verb, "g2-teem", *(["--agent", "g2-ada"] if verb == "leave" else [])
        )
        assert "`postino groups` lists them" in postino.no(
            3, "groups", verb, "nothing-like-it", *(["--agent", "g2-ada"] if verb == "leave" else [])
        )
    assert "there is a group #g2-Team" in postino.ok("send", "g2-team", "hello")
    assert "one agent" in postino.no(2, "ask", "g2-ada,g2-bob", "who?", "--from", "g2-eve")
    assert "group name missing" in postino.no(2, "groups", "join")
