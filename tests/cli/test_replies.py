"""`postino reply` answers a message by its id."""

from __future__ import annotations

import signal


def test_a_reply_goes_back_in_the_thread_of_its_message(postino) -> None:
    asked = postino.json(
        "send", "rp-bob", "who?", "--from", "rp-ann", "--thread", "Red build: who?", "--expects", "reply"
    )
    assert "expects a reply" in postino.ok("read", "rp-bob")

    said = postino.ok("reply", asked["id"], "me", "--from", "rp-bob", "--id", "rp-r1", "--expects", "none")
    again = postino.json("reply", asked["id"], "me", POSTINO_AGENT_NAME="rp-bob")
    assert "\na further answer: you have answered" in postino.ok("reply", asked["id"], "me!", "--from", "rp-bob")

    assert said.startswith("sent to rp-ann, id rp-r1\n")
    assert again["to"] == "rp-ann"
    assert again["note"] == f"a further answer: you have answered {asked['id']} before, by rp-r1"
    shown = postino.ok("read", "rp-ann")
    assert "thread Red build: who?" in shown and f"reply to {asked['id']}" in shown and "expects no reply" in shown


def test_a_send_that_answers_a_message_stays_in_its_thread(postino) -> None:
    asked = postino.json("send", "rp-dan", "who?", "--from", "rp-eve", "--thread", "Red build: who?")
    for more in ((), ("--thread", "another")):
        postino.ok("send", "rp-eve", "me", "--reply-to", asked["id"], "--from", "rp-dan", *more)
    assert [each["thread"] for each in postino.json("read", "rp-eve")["items"]] == ["Red build: who?", "another"]


def test_a_reply_that_leads_nowhere_says_what_to_do(postino) -> None:
    said = postino.no(3, "reply", "rp-none", "x", "--from", "rp-bob")
    assert "no message rp-none is known in the inbox of rp-bob" in said and "--reply-to ID` answers any" in said
    assert "agent name missing" in postino.no(2, "reply", "rp-none", "x", CLAUDE_PID="1")
    assert "ID" in postino.no(2, "reply")


def test_a_question_prints_its_reply_and_acknowledges_it(postino) -> None:
    with postino.open("ask", "ak-bob", "who?", "--from", "ak-ann", "--id", "ak-q1", "--timeout", "30") as asking:
        item = postino.json("read", "ak-bob", "--wait", "20")["items"][0]
        postino.ok("reply", item["id"], "it was me", "--from", "ak-bob", "--id", "ak-r1")
        out, err = asking.communicate(timeout=30)

    assert (asking.returncode, err) == (0, b"")
    assert "it was me" in out.decode() and "Not verified" in out.decode()
    assert postino.json("history", "--search", "ak-r1")["items"][0]["state"] == "acked"


def test_a_question_without_an_answer_says_so_and_exits_with_3(postino) -> None:
    said = postino.no(3, "ask", "ak-nobody", "who?", "--from", "ak-eve", "--id", "ak-q2", "--timeout", "0.1")
    assert "no reply from ak-nobody (nobody of that name has been seen" in said and "--id ak-q2 waits on" in said

    postino.ok("reply", "ak-q2", "late", "--from", "ak-nobody")
    again = postino.json("ask", "ak-nobody", "who?", "--from", "ak-eve", "--id", "ak-q2", "--timeout", "0.1")
    assert (again["created"], again["reply"]["body"]) == (False, "late")


def test_an_interrupted_question_names_the_id_under_which_to_wait_on(postino) -> None:
    with postino.open("ask", "ak-carl", "who?", "--from", "ak-eve", "--timeout", "60") as asking:
        item = postino.json("read", "ak-carl", "--wait", "20")["items"][0]
        asking.send_signal(signal.SIGINT)
        _, err = asking.communicate(timeout=30)

    assert asking.returncode == 130 and f"with --id {item['id']} waits on" in err.decode()


def test_a_question_to_oneself_or_of_nobody_is_refused(postino) -> None:
    assert "wait for itself" in postino.no(2, "ask", "ak-me", "x", "--from", "ak-me", "--timeout", "1")
    assert "agent name missing" in postino.no(2, "ask", "ak-bob", "x", CLAUDE_PID="1")
    assert "must be 0 to 86400" in postino.no(2, "ask", "ak-bob", "x", "--from", "ak-me", "--timeout", "-1")
