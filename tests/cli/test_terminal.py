"""What a person at a terminal gets: questions, wrapped bodies, a pager. A real pseudo terminal, the real command."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import termios
import threading
from dataclasses import replace
from typing import Any

import pytest

from postino.cli import render
from postino.cli.demo import TRY
from postino.cli.story import Story
from postino.client import Client
from postino.paths import Home
from tests.waiting import PATIENCE_S

COLUMNS, ROWS = 60, 12


def at_terminal(postino: Any, *args: str, say: str = "", **settings: str) -> tuple[int, str]:
    """Run a command on a terminal at which a person answers `say`; return the exit code and all that is shown."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    env = {"TERM": "xterm", "NO_COLOR": "1", "PAGER": "cat"} | settings
    shown = b""
    with replace(postino, settings=env).open(*args, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        os.write(ours, say.encode())
        with contextlib.suppress(OSError):  # EIO: the other side has closed
            while part := os.read(ours, 65_536):
                shown += part
        os.close(ours)
        code = process.wait(30)
    return code, shown.decode().replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("args", "question"),
    [
        (
            ["clear", "t1-old"],
            "Delete every message in the inbox of t1-bob (now the name of t1-old), which has 1 message?",
        ),
        (["clear", "--broadcasts"], "Delete all broadcasts, for every agent?"),
        (["agents", "--cleanup"], "Forget every agent that is offline and has no mail?"),
        (["agents", "--forget", "t1-bob"], "Forget t1-bob?"),
        (["token", "revoke", "t1-ci"], "Revoke every token of t1-ci?"),
    ],
)
def test_what_deletes_asks_and_does_nothing_without_a_yes(postino: Any, args: list[str], question: str) -> None:
    if not postino.json("read", "t1-bob", "--peek")["total"]:
        postino.ok("send", "t1-old", "keep me")
        postino.ok("rename", "t1-old", "t1-bob")
    for answer in ("n\n", "\n", "nonsense\n"):
        code, shown = at_terminal(postino, *args, say=answer)
        assert (code, question in shown, "nothing was done" in shown) == (3, True, True), shown
    assert postino.json("read", "t1-bob", "--peek")["total"] == 1


def test_a_yes_or_the_option_or_no_terminal_deletes(postino: Any) -> None:
    for args, say in ((["clear", "t2-bob"], "y\n"), (["clear", "t2-bob", "--yes"], "")):
        postino.ok("send", "t2-bob", "hello")
        code, shown = at_terminal(postino, *args, say=say)
        assert (code, "deleted 1 message of t2-bob" in shown) == (0, True), shown
    postino.ok("send", "t2-bob", "hello")
    assert postino.ok("clear", "t2-bob") == "deleted 1 message of t2-bob\n"


def test_where_there_is_nothing_to_delete_nobody_is_asked(postino: Any) -> None:
    postino.ok("send", "t5-bob", "hello")
    code, shown = at_terminal(postino, "dead", "t5-bob", "--clear", say="n\n")
    assert (code, "[y/N]" in shown) == (0, False) and shown.endswith("deleted 0 dead letters of t5-bob\n")
    postino.ok("clear", "t5-bob")
    code, shown = at_terminal(postino, "clear", "t5-bob", say="n\n")
    assert (code, "[y/N]" in shown) == (0, False) and shown.endswith("deleted 0 messages of t5-bob\n")


def test_a_question_about_dead_letters_counts_them_and_not_the_inbox(bare: Any) -> None:
    bare.serve(POSTINO_MAX_DELIVERIES="1")
    with Client(Home(bare.home).socket) as client:
        for number in range(3):
            client.send(to="bob", body=str(number), sender="ann")
        client.nack("bob", [each["id"] for each in client.read("bob", limit=2)["items"]])
    code, shown = at_terminal(bare, "dead", "bob", "--clear", say="n\n")
    assert (code, "Delete all dead letters of bob, which has 2 dead letters?" in shown) == (3, True), shown
    assert "deleted 2 dead letters of bob" in at_terminal(bare, "dead", "bob", "--clear", say="y\n")[1]
    assert bare.json("check", "bob")["unreadMessages"] == 1


def test_a_persons_mail_is_not_deleted_where_nobody_can_be_asked(postino: Any) -> None:
    with Client(Home(postino.home).socket) as client:
        client.register_person("t4-robert")
    for name in ("t4-robert", "human"):
        postino.ok("send", name, "unopened", "--id", f"t4-{name}")
        refusal = postino.no(2, "clear", name)
        assert refusal.startswith(f"{name} is ") and "--yes" in refusal
        assert postino.json("show", f"t4-{name}")["items"][0]["state"] == "queued"
        assert postino.ok("clear", name, "--yes").endswith(f" of {name}\n")
        assert postino.json("show", f"t4-{name}")["items"][0]["state"] == "cleared"


def test_broadcasts_are_not_deleted_where_nobody_can_be_asked(bare: Any) -> None:
    bare.serve()
    bare.ok("broadcast", "for all", "--from", "ann")
    assert "--yes" in bare.no(2, "clear", "--broadcasts")
    assert bare.json("broadcasts", "--all")["total"] == 1
    assert bare.ok("clear", "--broadcasts", "--yes") == "deleted 1 broadcast\n"


def test_reading_the_mail_of_an_agent_that_is_online_asks(postino: Any) -> None:
    postino.ok("send", "t3-bob", "for its session")
    with Client(Home(postino.home).socket) as client:
        client.heartbeat("t3-bob")
        code, shown = at_terminal(postino, "read", "t3-bob", say="n\n")
        assert (code, "t3-bob is online" in shown, "for its session" in shown) == (3, True, False), shown
        assert "for its session" in at_terminal(postino, "read", "t3-bob", "--peek")[1]
        client.heartbeat("t3-bob")
        assert "for its session" in at_terminal(postino, "read", "t3-bob", "--yes")[1]
        client.heartbeat("t3-bob")
        online = {each["name"]: each["online"] for each in postino.json("agents", "--online")["items"]}
        assert online["t3-bob"] and all(online.values())
    listed = [line.split()[:2] for line in postino.ok("agents", "--online").splitlines()]
    assert ["t3-bob", "online"] in listed and not any("offline" in line for line in listed)


def test_no_line_of_a_body_begins_where_postino_begins_its_own(postino: Any) -> None:
    body = f"{'word ' * 30}\n{'x' * 150}\n{'漢' * 70}\nshort\n\ttab {'y' * 70}"
    postino.ok("send", "t4-bob", body, "--from", "t4-ada")
    code, shown = at_terminal(postino, "read", "t4-bob", "--peek")
    lines = shown.splitlines()
    wrapped = lines[1 : lines.index("")]
    assert (code, len(wrapped) > 12) == (0, True), shown
    for line in wrapped:
        assert line.startswith("    ")
        assert sum(2 if each == "漢" else 8 if each == "\t" else 1 for each in line) <= COLUMNS, line
    assert re.sub(r"\s", "", "".join(wrapped)) == re.sub(r"\s", "", body)
    assert f"    {body.splitlines()[1]}\n" in postino.ok("read", "t4-bob", "--peek"), "not wrapped where no terminal is"


def test_a_long_list_is_paged_and_the_newest_is_last(postino: Any, tmp_path: Any) -> None:
    for number in range(8):
        postino.ok("send", "t5-bob", f"message {number}", "--id", f"t5-{number}")
    kept = tmp_path / "paged"
    pager = tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\nexec cat > {kept}\n")
    pager.chmod(0o755)
    _, shown = at_terminal(postino, "history", "--agent", "t5-bob", "--limit", "7", PAGER=str(pager))
    assert shown == ""
    order = re.findall(r"message (\d)", kept.read_text())
    assert order == [str(number) for number in range(1, 8)]
    assert kept.read_text().startswith("For older ones: postino history --agent=t5-bob")
    assert "message 7" in at_terminal(postino, "history", "--agent", "t5-bob", PAGER="/no/such/pager")[1]
    assert "message 7" in at_terminal(postino, "history", "--agent", "t5-bob", "--limit", "1", PAGER=str(pager))[1]
    assert order == re.findall(r"message (\d)", postino.ok("history", "--agent", "t5-bob", "--limit", "7"))


def test_a_failure_in_json_has_its_code(postino: Any) -> None:
    for args, code, word in (
        (["send", "t6-bob", "", "--json"], 2, "bad_field"),
        (["agents", "t6-nobody", "--json"], 3, "unknown_agent"),
        (["send", "--json"], 2, "bad_request"),
        (["history", "--json", "--before", "x"], 2, "bad_page"),
    ):
        done = postino.run(*args)
        assert (done.code, done.err, done.out.count("\n")) == (code, "", 1), done
        assert f'"ok": false, "code": "{word}"' in done.out
    assert postino.run("send", "t6-bob", "--", "--json").out.startswith("sent to")


def test_watch_shows_the_bodies(postino: Any) -> None:
    with postino.open("watch", "--bodies", "--agent", "t7-bob") as process:
        process.stdout.readline()  # connected
        postino.ok("send", "t7-bob", "two\nlines", "--from", "t7-ada")
        lines = [process.stdout.readline().decode() for _ in range(3)]
        process.terminate()
        process.communicate(timeout=30)
    assert "t7-ada → t7-bob" in lines[0]
    assert lines[1:] == [f"{' ' * 10}two\n", f"{' ' * 10}lines\n"]


def test_the_log_is_shown_with_what_is_added_and_nothing_a_terminal_obeys(bare: Any) -> None:
    log = Home(bare.home).log
    assert "has no lines yet" in bare.ok("logs")
    log.write_text("".join(f"line {number}\n" for number in range(60)) + "evil \x1b[2J\n")
    log.chmod(0o600)
    assert bare.ok("logs").splitlines()[0] == "line 11"
    assert bare.ok("logs", "--lines", "1") == "evil \\u{1b}[2J\n"
    with bare.open("logs", "--follow", "--lines", "1") as process:
        killer = threading.Timer(PATIENCE_S, process.kill)  # ends a readline that waits in vain
        killer.start()
        assert process.stdout.readline().startswith(b"evil")
        with log.open("a") as file:
            file.write("added\n")
        assert process.stdout.readline() == b"added\n"
        log.unlink()
        log.write_text("in a new file\n")
        assert process.stdout.readline() == b"in a new file\n"
        killer.cancel()
        process.kill()


def test_on_a_terminal_the_log_is_for_a_person_and_in_a_pipe_as_it_is(bare: Any) -> None:
    entry = {"error": "no\x1b[2J room", "event": "store_away", "level": "warning", "timestamp": "2026-12-01T05:01:25Z"}
    lines = [json.dumps(entry), json.dumps(entry | {"exception": "Traceback:\n  two"}), '{"event": 1}', "[1]", "words"]
    Home(bare.home).log.write_text("".join(f"{each}\n" for each in lines))
    Home(bare.home).log.chmod(0o600)
    said = "2026-12-01 05:01:25  warning  store_away  error no\\u{1b}[2J room"
    code, shown = at_terminal(bare, "logs", TZ="UTC")
    assert (code, shown.splitlines()) == (0, [said, said, "    Traceback:", "      two", *lines[2:]])
    assert bare.ok("logs").splitlines() == lines


def test_the_demo_pauses_at_a_terminal_only(postino: Any) -> None:
    story = Story(render.Ink(False), 0.05)
    story.line("you", "a step")
    story.line("you", "another")
    assert "--pause S" in postino.ok("demo", "--help")
    assert "postino install" in TRY


def test_a_second_serve_says_on_a_terminal_what_runs_already(bare: Any) -> None:
    bare.serve()
    found = bare.json("status")
    code, shown = at_terminal(bare, "serve")
    assert code == 0
    assert shown == (
        f"postino: a daemon runs already for {bare.home} (pid {found['pid']}, {found['url']}), so none was started; "
        "`postino logs --follow` shows its log, `postino down` stops it\n"
    )
    assert json.loads(bare.run("serve").err)["pid"] == found["pid"]


def test_a_person_who_reads_on_a_terminal_is_told_how_to_answer(postino: Any) -> None:
    me = postino.json("whoami")["agent"]
    postino.ok("send", me, "Which branch?", "--from", "t9-ada")
    assert "Which branch?" in postino.ok("read", "--peek")
    assert "postino reply" not in postino.ok("read", "--peek")
    code, shown = at_terminal(postino, "read")
    assert (code, shown.count("`postino reply ID TEXT` answers one")) == (0, 1)
    assert "postino reply" not in at_terminal(postino, "read")[1], "nothing is left to answer"
