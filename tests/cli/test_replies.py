"""`postino reply` answers a message by its id."""

from __future__ import annotations


def test_a_reply_goes_back_in_the_thread_of_its_message(postino) -> None:
    asked = postino.json(
        "send", "rp-bob", "who?", "--from", "rp-ann", "--thread", "Red build: who?", "--expects", "reply"
    )
    assert "expects a reply" in postino.ok("read", "rp-bob")

    said = postino.ok("reply", asked["id"], "me", "--from", "rp-bob", "--id", "rp-r1", "--expects", "none")
    again = postino.json("reply", asked["id"], "me", POSTINO_AGENT_NAME="rp-bob")

    assert said.startswith("sent to rp-ann, id rp-r1\n")
    assert again["to"] == "rp-ann"
    shown = postino.ok("read", "rp-ann")
    assert "thread Red build: who?" in shown and f"reply to {asked['id']}" in shown and "expects no reply" in shown


def test_a_reply_that_leads_nowhere_says_what_to_do(postino) -> None:
    assert "no message rp-none is known in the inbox of rp-bob" in postino.no(
        3, "reply", "rp-none", "x", "--from", "rp-bob"
    )
    assert "agent name missing" in postino.no(2, "reply", "rp-none", "x")
    assert "ID" in postino.no(2, "reply")
