"""send, read, check, history, dead, clear: what they print, what they change, how they refuse."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import time
from pathlib import Path

import pytest

from postino.broker.nearest import FRESH_S
from postino.client import Client
from tests.waiting import until


def test_what_was_sent_is_read_once(postino) -> None:
    sent = postino.ok("send", "m1-bob", "hello there", "--from", "m1-ada")
    assert sent.startswith("sent to m1-bob, id ")
    assert postino.ok("check", "--agent", "m1-bob").startswith("m1-bob: 1 unread message, ")
    head, body, _, note = postino.ok("read", "--agent", "m1-bob").splitlines()
    assert re.match(r"m1-ada  (just now|\d+ s ago)  id ", head)
    assert body == "    hello there"
    assert note == "Not verified, as any program of this user can use the name: m1-ada"
    assert postino.ok("read", "--agent", "m1-bob") == "No messages for m1-bob.\n"
    assert postino.ok("check", "--agent", "m1-bob").startswith("m1-bob: 0 unread messages,")


def test_the_json_of_every_mail_command(postino) -> None:
    sent = postino.json(
        "send", "m2-bob", "hello", "--from", "m2-ada", "--id", "m2:1", "--thread", "t", "--reply-to", "r"
    )
    assert sent["ok"] and sent["created"] and not sent["known"]
    assert (sent["id"], sent["to"], sent["seq"]) == ("m2:1", "m2-bob", 1)
    again = postino.json(
        "send", "m2-bob", "hello", "--from", "m2-ada", "--id", "m2:1", "--thread", "t", "--reply-to", "r"
    )
    assert again == sent | {"created": False, "known": again["known"]}
    check = postino.json("check", "--agent", "m2-bob")
    assert check == {"agent": "m2-bob", "unreadMessages": 1, "unseenBroadcasts": check["unseenBroadcasts"]}
    peek = postino.json("read", "--peek", "--agent", "m2-bob")
    assert (peek["total"], peek["items"][0]["id"]) == (1, "m2:1")
    read = postino.json("read", "--agent", "m2-bob")
    assert not read["more"]
    assert (
        read["items"][0].items()
        >= {
            "id": "m2:1",
            "from": "m2-ada",
            "to": "m2-bob",
            "body": "hello",
            "via": "cli",
            "verified": False,
            "thread": "t",
            "reply_to": "r",
            "delivery": 1,
            "redelivered": False,
        }.items()
    )
    entry = postino.json("history", "--agent", "m2-bob", "--limit", "1")["items"][0]
    assert (entry["id"], entry["state"], entry["reader"]) == ("m2:1", "acked", read["consumer"][:8])
    assert postino.json("dead", "--agent", "m2-bob")["items"] == []
    assert postino.json("dead", "--agent", "m2-bob", "--clear") == {"ok": True, "cleared": 0}
    assert postino.json("clear", "--agent", "m2-bob") == {"ok": True, "cleared": 0}


def test_the_name_comes_from_the_environment_too(postino) -> None:
    postino.ok("send", "m3-bob", "hello", POSTINO_AGENT_NAME="m3-ada")
    item = postino.json("read", POSTINO_AGENT_NAME="m3-bob")["items"][0]
    assert (item["from"], item["to"]) == ("m3-ada", "m3-bob")
    assert postino.ok("send", "m3-bob", "hello")
    item = postino.json("read", "--from", "m3-bob", POSTINO_AGENT_NAME="m3-ada")["items"][0]
    assert (item["from"], item["verified"]) == (postino.json("whoami")["agent"], True)


@pytest.mark.parametrize(
    ("command", "rest"), [("dead", ["--clear"]), ("dead", ["--requeue"]), ("clear", []), ("rename", ["new-name"])]
)
def test_who_changes_an_inbox_must_say_whose(postino, command, rest) -> None:
    sentence = postino.no(2, command, *rest)
    way = "--agent NAME" if command == "rename" else "NAME"
    assert sentence == f"agent name missing: give `postino {command} {way}` or set POSTINO_AGENT_NAME"


@pytest.mark.parametrize("command", ["read", "check", "dead", "clear", "broadcasts"])
def test_a_bare_name_says_whose_as_agent_does(postino, command) -> None:
    postino.json("broadcasts", "--agent", "m3-broadcasts")  # what other tests have said to all is seen before
    by_option = postino.json(command, "--agent", f"m3-{command}", POSTINO_AGENT_NAME="m3-other")
    answer = postino.json(command, f"m3-{command}", POSTINO_AGENT_NAME="m3-other")
    assert answer | {"consumer": None} == by_option | {"consumer": None}
    postino.ok(command, f"m3-{command}", "--agent", f"m3-{command}")
    sentence = postino.no(2, command, "m3-bob", "--agent", "m3-ada")
    assert sentence == "NAME is 'm3-bob' and --agent is 'm3-ada'; give only one of them"


def test_clearing_all_broadcasts_takes_no_name(postino) -> None:
    assert "give no name with it" in postino.no(2, "clear", "m3-bob", "--broadcasts")


def test_a_body_from_standard_input_arrives_byte_for_byte(postino) -> None:
    body = "diff --git a b\n-old\n+néw\n\n"
    postino.ok("send", "m4-bob", "-", stdin=body.encode())
    assert postino.json("read", "--agent", "m4-bob")["items"][0]["body"] == body


def test_a_body_that_begins_with_a_dash_needs_two(postino) -> None:
    assert "put -- before one" in postino.no(2, "send", "m5-bob", "--force", "is", "bad")
    postino.ok("send", "m5-bob", "--", "--force is bad")
    assert postino.json("read", "--agent", "m5-bob")["items"][0]["body"] == "--force is bad"


BAD_SENDS = [
    (["m6-bob", ""], b"", "body"),
    (["m6-bob", "-"], b"", "body"),
    (["m6-bob", "-"], b"\xff\xfe", "UTF-8 at byte 0"),
    (["m6-bob", "-"], b"x" * 32_769, "32,769 characters; a message has at most 32,768 characters; --tail"),
    (
        ["m6-bob", "-"],
        b"x" * (3 << 20),
        "standard input has 3,145,728 bytes; a message has at most 32,768 characters; --tail",
    ),
    (["m6-bob", "-", "--tail", "0"], b"x", "--tail"),
    (["m6-bob", "-"], b"red \x1b[31m", "U+001B at position 4"),
    (["m6-bob", os.fsdecode(b"\xff")], b"", "body"),
    (["", "hello"], b"", "to"),
    (["no spaces", "hello"], b"", "to"),
    (["../x", "hello"], b"", "to"),
    (["all", "hello"], b"", "reserved"),
    (["m6-bob", "hello", "--from", "human"], b"", "reserved"),
    (["m6-bob", "hello", "--from", ""], b"", "from"),
    (["m6-bob", "hello", "--id", ""], b"", "id"),
    (["m6-bob", "hello", "--id", "a b"], b"", "id"),
    (["m6-bob", "hello", "--id", "x" * 129], b"", "id"),
    (["m6-bob"], b"", "BODY"),
    ([], b"", "TO"),
    (["m6-bob", "hello", "there"], b"", "unrecognized"),
    (["m6-bob", "hello", "there"], b"", "quote a text"),
    (["m6-bob", "hello", "--thred", "t"], b"", "unrecognized arguments: --thred t; did you mean --thread?"),
]


def test_bad_input_to_send_is_one_sentence_and_stores_nothing(postino) -> None:
    for args, stdin, word in BAD_SENDS:
        assert word in postino.no(2, "send", *args, stdin=stdin)
    assert postino.json("read", "--peek", "--agent", "m6-bob")["total"] == 0


@pytest.mark.parametrize(
    "args",
    [
        ["read", "--limit", "0"],
        ["read", "--limit", "201"],
        ["read", "--limit", "many"],
        ["read", "--wait", "-1"],
        ["read", "--wait", "nan"],
        ["read", "--wait", "soon"],
        ["read", "stray"],
        ["read", "--agent", ".."],
        ["read", "--agent", "a/b"],
        ["check", "--agent", "a b"],
        ["check", "--agent", ""],
        ["history", "--limit", "-1"],
        ["history", "--before", "yesterday"],
        ["history", "--before", "٣-٣"],
        ["history", "--before", f"{1 << 64}-0"],
        ["history", "--with", "a b"],
        ["history", "--agent", ""],
        ["dead", "--requeue", "a b"],
        ["dead", "--clear", "--requeue"],
        ["clear", "--agent", "x" * 65],
    ],
)
def test_bad_input_is_exit_2(postino, args) -> None:
    who = [] if "--agent" in args or args[0] == "history" else ["--agent", "m7-bob"]
    postino.no(2, *args, *who)


def test_a_refusal_is_exit_3(postino) -> None:
    postino.ok("send", "m8-bob", "one", "--id", "m8")
    assert "m8 was already accepted" in postino.no(3, "send", "m8-bob", "another", "--id", "m8")


def test_escapes_of_a_sender_are_shown_not_obeyed(postino) -> None:
    postino.ok("send", "m9-bob", "one\rtwo\r\nm9-ada  just now  id x")
    out = postino.ok("read", "--agent", "m9-bob")
    assert "\r" not in out
    assert out.splitlines()[1:] == ["    one\\rtwo", "    m9-ada  just now  id x"]


def test_no_colour_without_a_terminal(postino) -> None:
    postino.ok("send", "m10-bob", "hello")
    assert "\x1b" not in postino.ok("read", "--agent", "m10-bob")


@pytest.mark.parametrize(("variable", "coloured"), [("", True), ("1", False)])
def test_colour_on_a_terminal_unless_no_color(postino, variable, coloured) -> None:
    postino.ok("send", "m11-bob", "hello")
    master, slave = os.openpty()
    env = postino.env | {"NO_COLOR": variable, "TERM": "xterm"}
    with postino.open("history", "--limit", "1", env=env, stdout=slave) as process:
        os.close(slave)
        process.wait(20)
    assert (b"\x1b[" in os.read(master, 65_536)) is coloured
    os.close(master)


def test_read_waits_for_a_message(postino) -> None:
    with postino.open("read", "--agent", "m12-bob", "--wait", "20", "--json") as process:
        postino.ok("send", "m12-bob", "at last")
        out, _ = process.communicate(timeout=20)
    assert [item["body"] for item in json.loads(out)["items"]] == ["at last"]


def test_read_waits_no_longer_than_told(postino) -> None:
    began = time.monotonic()
    out = postino.ok("read", "--agent", "m13-bob", "--wait", "0.3")
    assert out.startswith("No messages for m13-bob.\n")
    assert 0.3 < time.monotonic() - began < 5


def test_read_says_that_more_wait(postino) -> None:
    for number in range(3):
        postino.ok("send", "m14-bob", f"number {number}")
    assert postino.ok("read", "--agent", "m14-bob", "--limit", "2").endswith("\nThere are more.\n")
    assert postino.ok("read", "--peek", "--agent", "m14-bob", "--limit", "1").endswith("number 2\n")


def state_of(postino, agent: str) -> dict[str, object]:
    return postino.json("history", "--agent", agent, "--limit", "1")["items"][0]


def test_what_was_printed_to_nobody_is_not_acknowledged(postino) -> None:
    postino.ok("send", "m15-bob", "x" * 30_000)
    for _ in range(3):
        postino.ok("send", "m15-bob", "y" * 30_000)
    with postino.open("read", "--agent", "m15-bob") as process:
        process.stdout.close()
        assert process.wait(20) == 0
        assert process.stderr.read() == b""
    again = postino.json("read", "--agent", "m15-bob")["items"]
    assert [item["redelivered"] for item in again] == [True] * 4


def test_a_full_disk_is_one_sentence_and_acknowledges_nothing(postino) -> None:
    postino.ok("send", "m16-bob", "hello")
    with Path("/dev/full").open("wb") as full, postino.open("read", "--agent", "m16-bob", stdout=full) as process:
        assert process.wait(20) == 3
        assert process.stderr.read() == b"postino: No space left on device\n"
    assert postino.json("read", "--agent", "m16-bob")["items"][0]["redelivered"]


def test_a_read_killed_before_its_output_was_taken_has_acknowledged_nothing(postino) -> None:
    for _ in range(4):
        postino.ok("send", "m17-bob", "z" * 30_000)  # more than a pipe holds: it blocks in the middle of printing
    with postino.open("read", "--agent", "m17-bob") as process:
        assert select.select([process.stdout], [], [], 20)[0]
        assert state_of(postino, "m17-bob")["state"] == "leased"
        process.kill()
        process.wait(5)
    assert state_of(postino, "m17-bob")["state"] == "leased"


def test_an_interrupted_wait_is_quiet(postino) -> None:
    with postino.open("read", "--agent", "m18-bob", "--wait", "20") as process:
        time.sleep(0.5)  # whenever it comes, the claim holds; mostly it comes while waiting
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert out == b""
    assert b"Traceback" not in err


def test_clear_takes_what_waits(postino) -> None:
    postino.ok("send", "m21-bob", "one")
    postino.ok("send", "m21-bob", "two", "--id", "m21-2")
    assert postino.ok("clear", "--agent", "m21-bob") == "deleted 2 messages of m21-bob\n"
    assert state_of(postino, "m21-bob")["state"] == "cleared"
    head, fate, *_ = postino.ok("show", "m21-2").splitlines()
    assert head.endswith("  id m21-2") and "cleared" not in head
    assert fate.startswith("cleared at ")  # no dead letter
    assert fate.count("cleared") == 1


def test_an_unseen_recipient_is_told_with_near_names(postino) -> None:
    postino.ok("send", "m22-builder", "hello")
    postino.ok("read", "--agent", "m22-builder")
    for command in ("check", "read", "broadcasts"):  # they make nobody known
        postino.ok(command, "--agent", "m22-bulder")
    time.sleep(FRESH_S)  # the daemon reads the names no more often
    out = postino.ok("send", "m22-bulder", "hello")
    assert "nobody of that name has been seen; the message waits for one; did you mean m22-builder?" in out
    assert "\noffline for less than a minute: will be told at its next start\n" in postino.ok(
        "send", "m22-builder", "hi"
    )


@pytest.mark.parametrize("rest", [[], ["--peek"]])
def test_an_inbox_of_nobody_is_told_with_near_names(postino, rest) -> None:
    postino.ok("send", "m26-reviewer", "hello")
    postino.ok("read", "m26-reviewer")
    name = f"m26-reveiwer{len(rest)}"
    out = postino.ok("read", name, *rest)
    assert out.startswith(f"No messages for {name}.\nNo agent of that name has been seen. Similar names: ")
    assert "m26-reviewer" in out
    assert postino.ok("read", name, *rest) == out  # reading has not made it known
    assert postino.ok("read", "m26-reviewer") == "No messages for m26-reviewer.\n"


def test_a_terminal_without_utf8_gets_escapes_and_the_mail_is_read(postino) -> None:
    postino.ok("send", "m23-bob", "naïve → ok")
    assert "    na\\xefve \\u2192 ok\n" in postino.ok("read", "--agent", "m23-bob", PYTHONIOENCODING="ascii")
    item = postino.json("history", "--agent", "m23-bob", PYTHONIOENCODING="ascii")["items"][0]
    assert (item["body"], item["state"]) == ("naïve → ok", "acked")


def test_a_dead_letter_is_listed_and_comes_back(bare) -> None:
    bare.serve(POSTINO_MAX_DELIVERIES="1")
    bare.ok("send", "bob", "x" * 30_000, "--from", "ada", "--id", "1")
    for number in range(2, 5):
        bare.ok("send", "bob", "y" * 30_000, "--from", "ada", "--id", f"{number}")
    with bare.open("read", "--agent", "bob") as process:  # nobody takes its output: given back, for the last time
        process.stdout.close()
        process.wait(20)
    bare.ok("send", "eve", "hello", "--id", "5")
    with Client(bare.home / "daemon.sock") as client:
        client.nack("eve", [item["id"] for item in client.read("eve")["items"]])
    assert bare.ok("dead") == (
        "AGENT  DEAD LETTERS\nbob    4\neve    1\n\n"
        "`postino dead NAME` prints them, `postino dead NAME --requeue` moves them back into the inbox.\n"
    )
    assert bare.json("dead", "--limit", "1") == {"items": [{"agent": "bob", "dead": 4}], "total": 2}
    assert "1 more agent.\n" in bare.ok("dead", "--limit", "1")
    assert [each["id"] for each in bare.json("dead", POSTINO_AGENT_NAME="eve")["items"]] == ["5"]
    listed = bare.json("dead", "--agent", "bob")
    assert [(item["id"], item["reason"]) for item in listed["items"]] == [
        (f"{number}", "max_deliveries") for number in range(1, 5)
    ]
    assert bare.ok("dead", "--agent", "bob").count("dead: max_deliveries") == 4
    assert bare.json("dead", "--agent", "bob", "--requeue", "2", "1") == {"ok": True, "requeued": ["2", "1"]}
    assert bare.ok("dead", "--agent", "bob", "--requeue") == "requeued 2 messages\n"
    again = bare.ok("read", "--agent", "bob", "--limit", "1").splitlines()[0]
    assert "  redelivered  id " in again  # by a count that began anew
    assert bare.json("read", "--agent", "bob")["items"][0]["delivery"] == 1
    assert bare.ok("dead", "--agent", "bob") == "No dead letters of bob.\n"
    assert bare.ok("dead", "--agent", "bob", "--clear") == "deleted 0 dead letters of bob\n"


def test_without_dead_letters_anywhere_that_is_said(bare) -> None:
    bare.ok("send", "bob", "hello")
    assert bare.ok("dead") == "No agent has dead letters.\n"
    assert bare.no(2, "dead", "--limit", "0") == "--limit must be at least 1, not 0"


def test_a_name_that_was_read_as_an_id_is_told(postino) -> None:
    assert "give it before --requeue" in postino.no(2, "dead", "--requeue", "m30-bob")


def test_the_notices_of_system_can_be_looked_up(bare) -> None:
    bare.serve(POSTINO_MAX_DELIVERIES="1")
    bare.ok("read", "ada")  # only who reads is told
    bare.ok("send", "bob", "hello", "--from", "ada", "--id", "n1")
    with Client(bare.home / "daemon.sock") as client:
        client.nack("bob", [item["id"] for item in client.read("bob")["items"]])
    found = until(lambda: bare.json("history", "--agent", "system")["items"], "system has written")
    assert [(item["from"], item["to"], item["reply_to"]) for item in found] == [("system", "ada", "n1")]
    assert bare.json("history", "--agent", "ada", "--with", "system")["items"] == found
    assert "No messages or broadcasts match." in bare.ok("history", "--agent", "bob", "--with", "system")


def test_a_log_of_any_length_is_read_to_its_end_and_its_last_lines_are_sent(postino) -> None:
    log = b"".join(b"\x1b[32mline %d\x1b[0m\n" % number for number in range(200_000))  # 3.6 MB
    with postino.open("send", "m30-bob", "-", "--tail", "3", "--strip-ansi") as process:
        out, err = process.communicate(log, timeout=30)  # raises BrokenPipeError if it is not read
    assert (process.returncode, err) == (0, b""), out
    postino.ok("broadcast", "-", "--tail", "1", "--id", "m30-b", stdin=b"one\ntwo\n")

    (item,) = postino.json("read", "m30-bob")["items"]
    assert item["body"] == "[the last 3 lines]\nline 199997\nline 199998\nline 199999\n"
    entry = postino.json("history", "--search", "m30-b")["items"][0]
    assert entry["body"] == "[the last line]\ntwo\n"


def test_a_log_that_is_cut_in_the_middle_of_a_character_is_sent_all_the_same(postino) -> None:
    postino.ok("send", "m41-bob", "-", "--tail", "5", stdin=b"x" + "é".encode() * 1_500_000)

    (item,) = postino.json("read", "m41-bob")["items"]
    note, _, rest = item["body"].partition("\n")
    assert (note, set(rest)) == ("[the end of the last line]", {"é"})
